package stream

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// taskBalancer assigns tasks (a co-partition set and a partition number)
// instead of topic-partitions: it describes each member to kgo's cooperative
// sticky balancer as one that reads a single synthetic topic a set, and expands
// the answer. The stock balancers spread the partitions numbered alike over
// members, and a row would have two writers.
//
// It also remembers what the group last told this member. That, not the
// callbacks, is what the member owns: the session swallows a second revocation,
// and a rejoin under a new member ID calls nobody.
type taskBalancer struct {
	coop kgo.GroupBalancer
	sets map[string]string // topic → set
	warm func() map[string][]int32
	told func() // called when there is a new assignment

	mu       sync.Mutex
	assigned map[string][]int32 // topic → partitions
	changes  int
	left     map[taskID]bool // that some assignment lacked since the worker last took them
}

func newTaskBalancer(topics map[string][]string, warm func() map[string][]int32, told func()) *taskBalancer {
	b := &taskBalancer{coop: kgo.CooperativeStickyBalancer(), sets: map[string]string{}, warm: warm, told: told, left: map[taskID]bool{}}
	for set, ts := range topics {
		for _, t := range ts {
			b.sets[t] = set
		}
	}
	return b
}

func (*taskBalancer) ProtocolName() string { return "troupe-task-v1" }
func (*taskBalancer) IsCooperative() bool  { return true }

// ParseSyncAssignment notes what the group gave this member.
func (b *taskBalancer) ParseSyncAssignment(raw []byte) (map[string][]int32, error) {
	assigned, err := kgo.ParseConsumerSyncAssignment(raw)
	if err == nil {
		b.mu.Lock()
		before := b.tasks()
		b.assigned, b.changes = assigned, b.changes+1
		now := b.tasks()
		for id := range before {
			if !now[id] {
				b.left[id] = true
			}
		}
		b.mu.Unlock()
		b.told()
	}
	return assigned, err
}

// owned returns the tasks that this member has whole, and a number that changes
// with every assignment.
func (b *taskBalancer) owned() (map[taskID]bool, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tasks(), b.changes
}

func (b *taskBalancer) tasks() map[taskID]bool {
	tasks := map[taskID]bool{}
	for topic, partitions := range b.assigned {
		for _, p := range partitions {
			tasks[taskID{b.sets[topic], p}] = true
		}
	}
	return tasks
}

// taken is owned, if that has changed, and the tasks that some assignment since the last
// call lacked: they may have been another's meanwhile, be they ours again.
func (b *taskBalancer) taken(seen int) (owned, left map[taskID]bool, change int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changes == seen {
		return nil, nil, seen
	}
	left, b.left = b.left, map[taskID]bool{}
	return b.tasks(), left, b.changes
}

// unchanged does something if the assignment is still the one of that number,
// and before the next one is told.
func (b *taskBalancer) unchanged(change int, do func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changes != change {
		return false
	}
	do()
	return true
}

// JoinGroupMetadata adds, for a member that owns nothing yet, the tasks whose
// state lies on its disk: a wish, so that they come home; not a claim.
func (b *taskBalancer) JoinGroupMetadata(interests []string, current map[string][]int32, generation int32) []byte {
	raw := b.coop.JoinGroupMetadata(interests, current, generation)
	if len(current) > 0 || b.warm == nil {
		return raw
	}
	var meta kmsg.ConsumerMemberMetadata
	if err := meta.ReadFrom(raw); err != nil {
		return raw
	}
	wish := kmsg.NewStickyMemberMetadata()
	wish.Generation = generation
	tasks := b.warm()
	for _, set := range slices.Sorted(maps.Keys(tasks)) {
		a := kmsg.NewStickyMemberMetadataCurrentAssignment()
		a.Topic, a.Partitions = set, tasks[set]
		wish.CurrentAssignment = append(wish.CurrentAssignment, a)
	}
	meta.UserData = wish.AppendTo(nil)
	return meta.AppendTo(nil)
}

func (b *taskBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	return cb, cb.MemberTopics(), err
}

// Balance runs on the group's leader.
func (b *taskBalancer) Balance(cb *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	widths, err := b.widths(topics)
	if err != nil {
		cb.SetError(err)
		return nil
	}
	var members []kmsg.JoinGroupResponseMember
	cb.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		c := *m
		c.ProtocolMetadata = b.inTasks(meta)
		members = append(members, c)
	})
	mb, _, err := b.coop.MemberBalancer(members)
	if err != nil {
		cb.SetError(err)
		return nil
	}
	into, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(widths)
	if err != nil {
		cb.SetError(err)
		return nil
	}
	tasks := into.(*kgo.BalancePlan).AsMemberIDMap() // sticky and cooperative, a task at a time
	plan := cb.NewPlan()
	cb.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		for _, t := range meta.Topics {
			if ps := tasks[m.MemberID][b.sets[t]]; len(ps) > 0 {
				plan.AddPartitions(m, t, slices.Clone(ps))
			}
		}
	})
	return plan
}

// widths counts each set's partitions, and refuses one that is not co-partitioned.
func (b *taskBalancer) widths(topics map[string]int32) (map[string]int32, error) {
	widths := map[string]int32{}
	for _, t := range slices.Sorted(maps.Keys(topics)) {
		set, known := b.sets[t]
		if !known {
			return nil, fmt.Errorf("topic %s is in no co-partition set of this group: members of different versions?", t)
		}
		if have, seen := widths[set]; seen && have != topics[t] {
			return nil, fmt.Errorf("set %q is not co-partitioned: %s has %d partitions, another of its topics %d", set, t, topics[t], have)
		}
		widths[set] = topics[t]
	}
	return widths, nil
}

// inTasks describes a member as one that reads a topic a set. Owning any topic
// of a task is owning the task.
func (b *taskBalancer) inTasks(meta *kmsg.ConsumerMemberMetadata) []byte {
	interests, own := map[string]bool{}, map[string][]int32{}
	for _, t := range meta.Topics {
		interests[b.sets[t]] = true
	}
	for _, o := range meta.OwnedPartitions {
		if set, known := b.sets[o.Topic]; known {
			own[set] = append(own[set], o.Partitions...)
		}
	}
	for set := range own {
		slices.Sort(own[set])
		own[set] = slices.Compact(own[set])
	}
	generation := meta.Generation
	if len(own) == 0 {
		generation = -1 // makes the sticky balancer read the wish in UserData
	}
	raw := b.coop.JoinGroupMetadata(slices.Sorted(maps.Keys(interests)), own, generation)
	if len(own) > 0 {
		return raw
	}
	var m kmsg.ConsumerMemberMetadata
	if err := m.ReadFrom(raw); err != nil {
		return raw
	}
	m.UserData = meta.UserData
	return m.AppendTo(nil)
}
