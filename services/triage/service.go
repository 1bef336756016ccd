package triage

import (
	"strings"

	"troupe/schemas"
	"troupe/topology"
)

// What this context publishes.
type exceptionRaised struct {
	schemas.Envelope `avro:"envelope"`
	ExceptionID      string `avro:"exceptionId"`
	Service          string `avro:"service"`
	Topic            string `avro:"topic"`
	Partition        int32  `avro:"partition"`
	Offset           int64  `avro:"offset"`
	RecordKey        string `avro:"recordKey"`
	Cause            string `avro:"cause"`
	Detail           string `avro:"detail"`
	Attempts         int32  `avro:"attempts"`
	DeadTopic        string `avro:"deadTopic"`
	DeadPartition    int32  `avro:"deadPartition"`
	DeadOffset       int64  `avro:"deadOffset"`
	Order            string `avro:"order"`
}

// Service is the triage context.
func Service() topology.Service {
	return topology.Service{
		Name: "triage", Owner: "operations",
		Doc:       "turns dead letters into exceptions that people can see",
		Publishes: []topology.Output{topology.Publishes[exceptionRaised]()},
		Sets:      []topology.Set{topology.Keyed("", "exception", "triage.exception", topology.OnDeadLetter(onDead))},
	}
}

func onDead(e *Exception, d topology.DeadLetter, t *topology.Turn) error {
	if !e.raise() {
		return topology.Drop("raised before")
	}
	t.PublishAs(t.Cause.Key, &exceptionRaised{
		ExceptionID: t.Cause.Key, Service: d.Service, Topic: strings.ToValidUTF8(d.Topic, "�"), Partition: d.Partition, Offset: d.Offset,
		RecordKey: strings.ToValidUTF8(string(d.Key), "�"), Cause: d.Cause, Detail: strings.ToValidUTF8(d.Detail, "�"), Attempts: d.Attempts,
		DeadTopic: t.Cause.Topic, DeadPartition: t.Cause.Partition, DeadOffset: t.Cause.Offset, Order: strings.ToValidUTF8(d.Order, "�"),
	})
	return nil
}
