package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"troupe/testenv/broker"
)

// real is one Kafka and one Apicurio for all tests of this package: each test
// has its own prefix, and a start takes longer than most tests.
var real realBrokers

type realBrokers struct {
	once     sync.Once
	kafka    *broker.Kafka
	apicurio *broker.Apicurio
	err      error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := real.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// start starts them for the first test that asks.
func (r *realBrokers) start(t *testing.T) {
	t.Helper()
	r.once.Do(func() {
		ctx := context.Background() // they outlive the test that asks first
		if r.kafka, r.err = broker.StartKafka(ctx, broker.KafkaConfig{Log: os.Stderr}); r.err == nil {
			r.apicurio, r.err = broker.StartApicurio(ctx, broker.ApicurioConfig{Log: os.Stderr})
		}
	})
	if r.err != nil {
		t.Fatal(r.err)
	}
}

func (r *realBrokers) close() (err error) {
	if r.apicurio != nil {
		err = r.apicurio.Close()
	}
	if r.kafka != nil {
		err = errors.Join(err, r.kafka.Close())
	}
	return err
}
