package broker

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Embedded is a broker and a registry in this process, on loopback ports.
type Embedded struct {
	Brokers  []string
	Registry string

	// Options let a client in this process reach the broker without a socket.
	Options []kgo.Opt

	Cluster *kfake.Cluster
	server  *http.Server
}

// EmbeddedConfig says where an embedded broker keeps its data and how its
// registry judges schemas.
type EmbeddedConfig struct {
	Dir   string                               // "": memory only
	Check func(old []string, new string) error // FULL_TRANSITIVE over a subject's versions
}

// StartEmbedded starts both.
func StartEmbedded(c EmbeddedConfig) (*Embedded, error) {
	var port *near
	listen := func(network, address string) (_ net.Listener, err error) {
		port, err = listenNear(network, address)
		return port, err
	}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.ListenFn(listen), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"})}
	file := ""
	if c.Dir != "" {
		opts = append(opts, kfake.DataDir(filepath.Join(c.Dir, "broker")))
		file = filepath.Join(c.Dir, "registry.json")
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	handler, err := newRegistry(file, c.Check)
	if err != nil {
		cluster.Close()
		return nil, err
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("start embedded registry: %w", err)
	}
	e := &Embedded{
		Brokers: cluster.ListenAddrs(), Registry: "http://" + lis.Addr().String(), Options: []kgo.Opt{kgo.Dialer(port.dial)},
		Cluster: cluster, server: &http.Server{Handler: handler},
	}
	go func() { _ = e.server.Serve(lis) }() // ends with Close
	return e, nil
}

// Close stops both.
func (e *Embedded) Close() error {
	err := e.server.Close()
	e.Cluster.Close()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stop embedded registry: %w", err)
	}
	return nil
}
