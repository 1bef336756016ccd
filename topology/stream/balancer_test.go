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
				g.check(rt, b)
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

func (g group) check(t interface{ Fatalf(string, ...any) }, b *taskBalancer) {
	owner := map[taskID]string{}
	for member, owns := range g {
		for topic, ps := range owns {
			for _, p := range ps {
				id := taskID{b.sets[topic], p}
				if other, taken := owner[id]; taken && other != member {
					t.Fatalf("task %v is split between %s and %s", id, member, other)
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

// FuzzMember: what another member says of itself is whatever its program wrote.
// The group's leader makes an assignment of it that splits no task and gives no
// partition that is not there, or an error.
func FuzzMember(f *testing.F) {
	b := newTaskBalancer(map[string][]string{"order": {"a", "b"}, "sku": {"d"}}, nil, func() {})
	widths := map[string]int32{"a": 4, "b": 4, "d": 3}
	ours := kmsg.NewJoinGroupResponseMember()
	ours.MemberID, ours.ProtocolMetadata = "ours", b.JoinGroupMetadata([]string{"a", "b", "d"}, map[string][]int32{"a": {0, 1}, "b": {0, 1}}, 7)
	f.Add(b.JoinGroupMetadata([]string{"a", "b", "d"}, map[string][]int32{"a": {1, 2}, "b": {1, 2}, "d": {0}}, 7)) // claims one that is ours
	f.Add(b.JoinGroupMetadata([]string{"a"}, map[string][]int32{"a": {3, 99, -1}}, 6))
	f.Add(b.JoinGroupMetadata([]string{"elsewhere"}, nil, -1))
	warm := newTaskBalancer(map[string][]string{"order": {"a", "b"}, "sku": {"d"}}, func() map[string][]int32 { return map[string][]int32{"order": {0, 77}, "gone": {1}} }, func() {})
	f.Add(warm.JoinGroupMetadata([]string{"a", "b", "d"}, nil, -1))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, metadata []byte) {
		theirs := kmsg.NewJoinGroupResponseMember()
		theirs.MemberID, theirs.ProtocolMetadata = "theirs", metadata
		mb, topics, err := b.MemberBalancer([]kmsg.JoinGroupResponseMember{ours, theirs})
		if err != nil {
			return
		}
		asked := map[string]int32{}
		for topic := range topics {
			if n, is := widths[topic]; is {
				asked[topic] = n
			}
		}
		into, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(asked)
		if err != nil {
			return
		}
		g := group(into.(*kgo.BalancePlan).AsMemberIDMap())
		g.check(t, b)
		for member, owns := range g {
			for topic, ps := range owns {
				for _, p := range ps {
					if p < 0 || p >= widths[topic] {
						t.Fatalf("%s is given %s/%d, which is not there", member, topic, p)
					}
				}
			}
		}
	})
}
