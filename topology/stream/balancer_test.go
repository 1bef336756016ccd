package stream

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// TestPartitionOfIsTheClients: our murmur2 and the client's agree on any key.
func TestPartitionOfIsTheClients(t *testing.T) {
	theirs := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(rt, "key")
		n := rapid.Int32Range(1, 100).Draw(rt, "partitions")
		if got, want := partitionOf(key, n), int32(theirs.Partition(&kgo.Record{Key: key}, int(n))); got != want {
			rt.Fatalf("key %x of %d: %d, want %d", key, n, got, want)
		}
	})
}

// group is a group's members and what each owns.
type group map[string]map[string][]int32

// round lets the group rebalance once.
func (g group) round(rt *rapid.T, b *taskBalancer, topics []string, widths map[string]int32, generation int32) group {
	var members []kmsg.JoinGroupResponseMember
	for _, name := range slices.Sorted(maps.Keys(g)) {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID = name
		owned := map[string][]int32{}
		for t, ps := range g[name] {
			owned[t] = slices.Clone(ps)
		}
		m.ProtocolMetadata = b.JoinGroupMetadata(topics, owned, generation)
		members = append(members, m)
	}
	mb, _, err := b.MemberBalancer(members)
	if err != nil {
		rt.Fatal(err)
	}
	into, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(widths)
	if err != nil {
		rt.Fatal(err)
	}
	return group(into.(*kgo.BalancePlan).AsMemberIDMap())
}

// TestTasksAreNeverSplit: whatever members come and go, all topics of a task
// have one owner, in transit too, and in the end every task has one.
func TestTasksAreNeverSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sets := map[string][]string{"order": {"a", "b", "c"}, "sku": {"d", "e"}}
		topics := []string{"a", "b", "c", "d", "e"}
		n, m := rapid.Int32Range(1, 12).Draw(rt, "orders"), rapid.Int32Range(1, 12).Draw(rt, "skus")
		widths := map[string]int32{"a": n, "b": n, "c": n, "d": m, "e": m}
		b := newTaskBalancer(sets, nil, func() {})
		g, generation := group{"m0": {}}, int32(1)
		for step := range rapid.IntRange(1, 8).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "join") || len(g) == 1 {
				g[fmt.Sprintf("m%d", step+1)] = map[string][]int32{}
			} else {
				delete(g, rapid.SampledFrom(slices.Sorted(maps.Keys(g))).Draw(rt, "leaves"))
			}
			for range 3 {
				g = g.round(rt, b, topics, widths, generation)
				generation++
				g.check(rt, b, topics)
			}
			for t, width := range widths {
				total := 0
				for _, owns := range g {
					total += len(owns[t])
				}
				if total != int(width) {
					rt.Fatalf("%s: %d of %d partitions have an owner: %v", t, total, width, g)
				}
			}
		}
	})
}

func (g group) check(rt *rapid.T, b *taskBalancer, topics []string) {
	owner := map[taskID]string{}
	for member, owns := range g {
		for t, ps := range owns {
			for _, p := range ps {
				id := taskID{b.sets[t], p}
				if other, taken := owner[id]; taken && other != member {
					rt.Fatalf("task %v is split between %s and %s", id, member, other)
				}
				owner[id] = member
			}
		}
	}
}

// TestUnevenSetIsRefused: a group whose topics are not co-partitioned gets an
// error, not a split.
func TestUnevenSetIsRefused(t *testing.T) {
	b := newTaskBalancer(map[string][]string{"order": {"a", "b"}}, nil, func() {})
	if _, err := b.widths(map[string]int32{"a": 4, "b": 5}); err == nil {
		t.Error("4 and 5 partitions pass as co-partitioned")
	}
}
