package broker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	kafkaStartLimit  = 2 * time.Minute  // three nodes take 7 s alone on two cores; a test machine may be busy
	kafkaFormatLimit = 1 * time.Minute  // a JVM that writes three small files
	kafkaStopLimit   = 10 * time.Second // the last nodes of three find no quorum to say goodbye to and would wait minutes
	kafkaHeap        = "-Xmx768m"
)

// node is one broker and controller, and the folder that it lives in.
type node struct {
	id         int
	dir        string
	extra      []string
	broker     int // port
	controller int // port
	child      *child
}

func (n *node) name() string { return fmt.Sprintf("Kafka node %d", n.id) }
func (n *node) addr() string { return fmt.Sprintf("127.0.0.1:%d", n.broker) }

// logging is to the standard output, which is our file; a rolling file of
// Kafka's own would be a second place to look.
const logging = `<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c)%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
`

// configure writes what the node reads when it starts.
func (n *node) configure(all []*node) error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return fmt.Errorf("configure %s: %w", n.name(), err)
	}
	files := map[string]string{"server.properties": n.properties(all), "log4j2.xml": logging}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("configure %s: %w", n.name(), err)
		}
	}
	return nil
}

func (n *node) properties(all []*node) string {
	var voters []string
	for _, v := range all {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", v.id, v.controller))
	}
	replicas, inSync := 1, 1
	if len(all) == 3 {
		replicas, inSync = 3, 2
	}
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d
advertised.listeners=PLAINTEXT://%[3]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=%[5]s
default.replication.factor=%[6]d
min.insync.replicas=%[7]d
offsets.topic.replication.factor=%[6]d
transaction.state.log.replication.factor=%[6]d
transaction.state.log.min.isr=%[7]d
share.coordinator.state.topic.replication.factor=%[6]d
share.coordinator.state.topic.min.isr=%[7]d
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# At its default of 20 every small transaction that follows another takes 22 ms.
add.partitions.to.txn.retry.backoff.ms=1
%[8]s
`, n.id, strings.Join(voters, ","), n.addr(), n.controller, filepath.ToSlash(filepath.Join(n.dir, "data")), replicas, inSync, strings.Join(n.extra, "\n"))
}

// format makes the data folder the cluster's; one that is already so is left.
func (n *node) format(ctx context.Context, java, jars, cluster string) error {
	c, err := startChild(n.name()+" (format)", filepath.Join(n.dir, "format.log"), nil,
		java, "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile="+filepath.Join(n.dir, "log4j2.xml"), "-cp", filepath.Join(jars, "*"),
		"kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", filepath.Join(n.dir, "server.properties"))
	if err != nil {
		return err
	}
	return c.finish(ctx, kafkaFormatLimit)
}

func (n *node) start(java, jars string) (err error) {
	n.child, err = startChild(n.name(), filepath.Join(n.dir, "server.log"), nil,
		java, kafkaHeap, "-Dlog4j2.configurationFile="+filepath.Join(n.dir, "log4j2.xml"), "-cp", filepath.Join(jars, "*"),
		"kafka.Kafka", filepath.Join(n.dir, "server.properties"))
	return err
}

// ready returns once the node serves: it is admitted by the controller, and is
// in sync wherever it can be.
func (n *node) ready(ctx context.Context) error {
	return n.child.await(ctx, kafkaStartLimit, func(ctx context.Context) error {
		// A client of its own each time: one that knows the others already would
		// ask them.
		cl, err := kgo.NewClient(kgo.SeedBrokers(n.addr()))
		if err != nil {
			return fmt.Errorf("make client: %w", err)
		}
		defer cl.Close()
		m, err := kadm.NewClient(cl).Metadata(ctx)
		if err != nil {
			return fmt.Errorf("ask for metadata: %w", err)
		}
		return n.serves(m)
	})
}

func (n *node) serves(m kadm.Metadata) error {
	id := int32(n.id)
	if !slices.Contains(m.Brokers.NodeIDs(), id) {
		return fmt.Errorf("the controller has not admitted it")
	}
	for _, topic := range m.Topics {
		for _, p := range topic.Partitions {
			in := slices.Contains(p.ISR, id)
			switch {
			case !slices.Contains(p.Replicas, id):
			case p.Leader < 0 && in:
				return fmt.Errorf("%s/%d has no leader", p.Topic, p.Partition)
			case p.Leader >= 0 && !in: // without a leader, a node that is still down is waited for
				return fmt.Errorf("it is not in sync on %s/%d", p.Topic, p.Partition)
			}
		}
	}
	return nil
}
