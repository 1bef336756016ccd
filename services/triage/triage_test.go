package triage

import (
	"testing"
	"time"
	"unicode/utf8"

	"troupe/topology"
)

// TestExceptionNamesItsSource: bytes that are no text still give an exception,
// once, and it says where the record and its dead letter stand.
func TestExceptionNamesItsSource(t *testing.T) {
	d := topology.DeadLetter{
		Service: "fraud", Cause: "BODY", Detail: "bad \xff byte", Topic: "orders", Partition: 3, Offset: 41, Key: []byte("acme/\xfe"), Attempts: 1, Order: "web-1\xff",
	}
	var e Exception
	for i := range 2 {
		turn := &topology.Turn{Now: time.Unix(1, 0).UTC(), Cause: topology.Cause{Key: "x1", Topic: "fraud.dead", Partition: 2, Offset: 7}}
		err := onDead(&e, d, turn)
		facts := turn.Outputs().Facts
		if i == 1 {
			if !topology.Dropped(err) || len(facts) != 0 {
				t.Errorf("raised again: %v, %v", facts, err)
			}
			continue
		}
		if err != nil || len(facts) != 1 || facts[0].Key != "x1" {
			t.Fatalf("%v, %v", facts, err)
		}
		m := facts[0].Message.(*exceptionRaised)
		if m.Topic != "orders" || m.Partition != 3 || m.Offset != 41 || m.DeadTopic != "fraud.dead" || m.DeadPartition != 2 || m.DeadOffset != 7 || m.Order != "web-1�" {
			t.Errorf("it does not name its source: %+v", m)
		}
		if !utf8.ValidString(m.RecordKey) || !utf8.ValidString(m.Detail) {
			t.Errorf("Avro has no such string: %q, %q", m.RecordKey, m.Detail)
		}
	}
}
