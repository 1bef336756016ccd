package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// KafkaConfig says what a real Kafka consists of.
type KafkaConfig struct {
	Nodes   int       // 1 or 3, each a broker and a controller; 0 means 1
	DataDir string    // "": a temporary folder, removed on Close. Otherwise a later start goes on with its records
	Extra   []string  // lines of server.properties, over those of ours
	Log     io.Writer // what is being done, in words; nil: nothing is said
}

// Kafka is a real cluster, its nodes child processes on loopback ports.
type Kafka struct {
	Brokers []string // host:port, in the order of node IDs

	java, jars string
	temp       *scratch

	mu    sync.Mutex // one Kill, Restart or Close at a time: each replaces or ends a child
	nodes []*node
}

// StartKafka returns once transactions commit; ctx bounds the start, not the
// cluster's life.
func StartKafka(ctx context.Context, c KafkaConfig) (_ *Kafka, err error) {
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.Nodes != 1 && c.Nodes != 3 {
		return nil, fmt.Errorf("start Kafka: %d nodes; it is 1 or 3, as two have no majority without each other", c.Nodes)
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	k := &Kafka{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start Kafka: %w", err), k.Close())
		}
	}()
	if k.java, err = findJava(ctx, kafkaJava); err != nil {
		return nil, err
	}
	if k.jars, err = (fetcher{java: k.java, pom: pom, log: c.Log}).kafka(ctx); err != nil {
		return nil, err
	}
	var dir string
	if dir, k.temp, err = folder(c.DataDir, "troupe-kafka-"); err != nil {
		return nil, err
	}
	cluster, err := clusterID(dir, c.Nodes)
	if err != nil {
		return nil, err
	}
	if err := k.plan(dir, c); err != nil {
		return nil, err
	}
	fmt.Fprintf(c.Log, "starting Kafka %s on %s, data and logs in %s\n", kafkaVersion, strings.Join(k.Brokers, ","), dir)
	if err := k.startAll(ctx, cluster); err != nil {
		return nil, err
	}
	return k, nil
}

// clusterID is the one that the folder was formatted with, or a new one. The
// number of nodes is kept with it: replicas on nodes that no longer exist would
// make every topic wait for them.
func clusterID(dir string, nodes int) (string, error) {
	file := filepath.Join(dir, "cluster")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		id := make([]byte, 16)
		_, _ = rand.Read(id) // never fails
		id[0] &= 0x7f        // no leading '-', which the format tool would take for a flag
		text := base64.RawURLEncoding.EncodeToString(id)
		if err := os.WriteFile(file, fmt.Appendf(nil, "%s %d\n", text, nodes), 0o644); err != nil {
			return "", fmt.Errorf("write cluster ID: %w", err)
		}
		return text, nil
	}
	if err != nil {
		return "", fmt.Errorf("read cluster ID: %w", err)
	}
	var text string
	var had int
	if _, err := fmt.Sscanf(string(b), "%s %d", &text, &had); err != nil {
		return "", fmt.Errorf("read cluster ID from %s: %w", file, err)
	}
	if had != nodes {
		return "", fmt.Errorf("%s holds the data of %d nodes, not of %d", dir, had, nodes)
	}
	return text, nil
}

// plan gives every node its folder and its ports, which it keeps through
// restarts: clients know them.
func (k *Kafka) plan(dir string, c KafkaConfig) error {
	ports, err := freePorts(2 * c.Nodes)
	if err != nil {
		return err
	}
	for i := range c.Nodes {
		n := &node{extra: c.Extra, id: i + 1, dir: filepath.Join(dir, fmt.Sprintf("node-%d", i+1)), broker: ports[2*i], controller: ports[2*i+1]}
		k.nodes = append(k.nodes, n)
		k.Brokers = append(k.Brokers, n.addr())
	}
	return nil
}

// startAll starts the nodes at the same time: none is ready before a majority
// has met.
func (k *Kafka) startAll(ctx context.Context, cluster string) error {
	for _, n := range k.nodes {
		if err := n.configure(k.nodes); err != nil {
			return err
		}
	}
	formatted, fctx := errgroup.WithContext(ctx)
	for _, n := range k.nodes {
		formatted.Go(func() error { return n.format(fctx, k.java, k.jars, cluster) })
	}
	if err := formatted.Wait(); err != nil {
		return err
	}
	for _, n := range k.nodes {
		if err := n.start(k.java, k.jars); err != nil {
			return err
		}
	}
	ready, rctx := errgroup.WithContext(ctx)
	for _, n := range k.nodes {
		ready.Go(func() error { return n.ready(rctx) })
	}
	if err := ready.Wait(); err != nil {
		return err
	}
	return rehearse(ctx, k.Brokers, len(k.nodes))
}

// Kill ends a node, by its ID (1, 2, 3), as a power cut does, and returns when
// it is gone. One that is down stays down.
func (k *Kafka) Kill(id int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.node(id)
	if err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	return n.child.kill()
}

// Restart starts a node again on its ports and data, after stopping it if it
// runs, and returns when it serves and is in sync. It needs a majority of
// nodes: the first of two that are down comes back only if the third is up.
func (k *Kafka) Restart(ctx context.Context, id int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.node(id)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if err := n.child.stop(kafkaStopLimit); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if err := n.start(k.java, k.jars); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if err := n.ready(ctx); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return nil
}

func (k *Kafka) node(id int) (*node, error) {
	if id < 1 || id > len(k.nodes) || k.nodes[id-1].child == nil {
		return nil, fmt.Errorf("no Kafka node %d among %d (or closed)", id, len(k.nodes))
	}
	return k.nodes[id-1], nil
}

// Close stops the nodes, all at once, and kills those that do not stop in time.
// A second call does nothing.
func (k *Kafka) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var stopped errgroup.Group
	for _, n := range k.nodes {
		if n.child != nil {
			stopped.Go(func() error { return n.child.stop(kafkaStopLimit) })
		}
	}
	err := errors.Join(stopped.Wait(), k.temp.remove())
	k.nodes, k.temp = nil, nil
	return err
}
