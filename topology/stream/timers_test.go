package stream

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestEndThatIsNotKnown: a timer waits while the broker does not say where an input
// ends, and fires once it does.
func TestEndThatIsNotKnown(t *testing.T) {
	w := benched(t, echoing)
	inputs := w.plan.inputs()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, inputs...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.adm, w.positions, w.limits.EndSample = kadm.NewClient(client), map[partition]int64{}, time.Nanosecond
	for _, topic := range inputs {
		w.positions[partition{topic, 0}] = 0
	}
	between := true
	cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !between {
			return nil, nil, false
		}
		cluster.KeepControl()
		asked := req.(*kmsg.ListOffsetsRequest)
		resp := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range asked.Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.Offset = p.Partition, kerr.OffsetNotAvailable.Code, -1
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	at := time.Now().Add(-time.Second)
	fires := func() bool {
		t.Helper()
		until, err := w.readUpTo(t.Context(), w.tasks[taskID{"", 0}], at, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return !until.Before(at)
	}
	if fires() {
		t.Error("it fires although nobody knows whether its inputs were read")
	}
	between = false
	if !fires() {
		t.Error("it does not fire although all is read")
	}
}
