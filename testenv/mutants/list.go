package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is the runtime without a guard.
type mutant struct {
	guard  int
	lacks  string // what was taken away
	tests  string // of testenv/conformance, the one or the others, and a subtest: "TestA|TestB", "TestC/when it rains"
	caught string // what else catches the fault, so that the tests pass; mostly nothing
	edits  []edit
}

// edit replaces a text that stands once in a file of the runtime.
type edit struct{ file, old, new string }

// apply returns the files that the mutant changes.
func (m mutant) apply(dir string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, read := files[e.file]
		if !read {
			b, err := os.ReadFile(filepath.Join(dir, e.file))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has this %d times, not once: the mutant must follow the code\n%s", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

// Edits that more than one mutant needs.
var (
	noMemberAtCommit = edit{"commit.go", "\t\tif !w.isMember(req.MemberID) {\n\t\t\treturn errExpelled\n\t\t}\n", ""}
	noOwnerAtCommit  = edit{"commit.go", "\t\towned, _ := w.balancer.owned()\n\t\tif !w.holds(owned, x) {\n\t\t\treturn errGivenAway\n\t\t}\n", ""}
	noOwnerAtBegin   = edit{"commit.go", "\tif owned, _ := w.balancer.owned(); !w.holds(owned, x) {\n\t\treturn errGivenAway\n\t}\n", ""}
	anyMember        = edit{"member.go", "return w.member == id", "return true"}
	noAsking         = edit{"commit.go", "case err == nil && w.aborted(ctx):", "case err == nil:"}
)

// mutants are all, in the order of the guards.
func mutants() []mutant {
	var all []mutant
	for _, of := range [][]mutant{ownership(), outcome(), produced(), offsets(), positions(), stable()} {
		all = append(all, of...)
	}
	return all
}

// ownership is guard 1.
func ownership() []mutant {
	return []mutant{
		{1, "the assignment: tasks follow the callbacks", "TestRevokedTwice", "", []edit{
			{"balancer.go", "b.assigned, b.changes = assigned, b.changes+1", "_ = assigned"},
			{"balancer.go", "// owned returns", callbacks + "// owned returns"},
			{"member.go", "join(_ context.Context, cl *kgo.Client, _ map[string][]int32) {\n", "join(_ context.Context, cl *kgo.Client, added map[string][]int32) {\n\tw.balancer.called(added, true)\n"},
			{"member.go", "lose(context.Context, *kgo.Client, map[string][]int32) {\n", "lose(_ context.Context, _ *kgo.Client, lost map[string][]int32) {\n\tw.balancer.called(lost, false)\n"},
		}},
		{1, "the member's name, wherever it is asked", "TestSilentRejoin", "", []edit{anyMember}},
		{1, "the member's name at the commit", "TestRejoinInTransaction/the other has gone", "", []edit{noMemberAtCommit}},
		{1, "the member's name and the assignment at the commit", "TestRejoinInTransaction/the other stays", "", []edit{noMemberAtCommit, noOwnerAtCommit}},
		{1, "the assignment at the commit", "TestRejoinInTransaction|TestRevokedTwice|TestRebalanceInTransaction|TestZombie",
			"the session fails an End after a revocation; who was expelled has another name", []edit{noOwnerAtCommit, noOwnerAtBegin}},
		{1, "the member's name at a commit of offsets alone", "TestRejoinInIdleTurn", "", []edit{
			{"commit.go", "w.end(kgo.PreTxnCommitFnContext(ctx, w.assert(&transaction{})))", "w.end(ctx)"},
		}},
		{1, "the end of a session that the group has lost", "TestLostAndGoesOn", "", []edit{
			{"worker.go", "kgo.OnPartitionsLost(w.thrownOut)", "kgo.OnPartitionsLost(w.lose)"},
		}},
		{1, "the tasks that were another's between two turns", "TestTakenAndGivenBack", "", []edit{
			{"worker.go", "if !owned[id] || left[id] {", "if _ = left; !owned[id] {"},
		}},
		{1, "who has opened a task last, and alone writes it", "TestOvertakenBeforeMemoryKnows", "", []edit{
			{"../table/store.go", "if s.opened[name] != opened {", "if false {"},
		}},
	}
}

// callbacks is how ownership is known where only the session says so.
const callbacks = `func (b *taskBalancer) called(partitions map[string][]int32, added bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := map[string][]int32{}
	for topic, held := range b.assigned {
		for _, p := range held {
			if added || !slices.Contains(partitions[topic], p) {
				next[topic] = append(next[topic], p)
			}
		}
	}
	for topic, ps := range partitions {
		if added {
			next[topic] = append(next[topic], ps...)
		}
	}
	b.assigned, b.changes = next, b.changes+1
}

`

// outcome is guard 2.
func outcome() []mutant {
	return []mutant{
		{2, "the doubt: an end that is no yes is taken for one", "TestRebalanceInTransaction", "", []edit{
			{"commit.go", "\tcase err == nil && w.aborted(ctx):\n\t\treturn errAborted\n\t}\n\treturn errors.Join(errRebuild, err, context.Cause(ctx))\n", "\t}\n\treturn nil\n"},
		}},
		{2, "the drop of what is in memory, after an end that is no yes", "TestUnknownEnd", "", []edit{noAsking, {
			"worker.go",
			"\tfor id, t := range w.tasks {\n\t\tw.effects.forget(t)\n\t\tif err := t.table.Abandon(); err != nil {\n\t\t\treturn err\n\t\t}\n\t\tdelete(w.tasks, id)\n\t}\n\tw.seen = 0\n\tw.ready(false)\n\treturn w.abort(ctx)\n",
			"\tfor _, t := range w.tasks {\n\t\tt.release()\n\t}\n\treturn w.abort(ctx)\n",
		}}},
		{2, "the question to the coordinator: every refused end is an abort", "TestUnknownEnd|TestRefusedEnd|TestFenced",
			"tasks are restored behind the end of the transaction, whichever it is, and rows know what they have had", []edit{noAsking}},
		{2, "the limit of an end", "TestExpelledInTransaction", "", []edit{
			{"commit.go", "return context.WithTimeoutCause(ctx, w.limits.TransactionTimeout, errOverdue)", "return context.WithCancel(ctx)"},
		}},
		{2, "the end of a transaction in a process that is told to stop", "TestStopInTransaction", "", []edit{
			{"commit.go", "\tctx = context.WithoutCancel(ctx)\n\tif x.empty()", "\tif x.empty()"},
		}},
		{2, "the fencing of a predecessor at the start", "TestHungPredecessor", "", []edit{
			{"worker.go", "if _, _, err := session.Client().ProducerID(ctx); err != nil {", "if false {"},
		}},
		{2, "the close that allows a rebalance", "TestUnknownEnd|TestFenced|TestExpelledInTransaction",
			"every turn allows one on its way out", []edit{plainClose}},
		{2, "the close that allows a rebalance, and the turn that does", "TestUnknownEnd", "", []edit{plainClose,
			{"worker.go", "\tdefer w.session.AllowRebalance()\n", ""},
			{"worker.go", "cancelled(err)) {\n\t\t\treturn err\n\t\t}\n\t}\n\tclean = true", "cancelled(err)) {\n\t\t\treturn err\n\t\t}\n\t\tw.session.AllowRebalance()\n\t}\n\tclean = true"},
		}},
	}
}

var plainClose = edit{"worker.go", "w.session.CloseAllowingRebalance() //", "w.session.Close() //"}

// produced is guard 3, what was.
func produced() []mutant {
	return []mutant{
		{3, "the look at what the broker said to each record", "TestFailedProduce", "", []edit{
			{"commit.go", "if err := first.err(); err != nil {", "if err := first.err(); false {"},
		}},
		{3, "the size of an output, looked at before it is sent", "TestTooLarge", "", []edit{
			{"step.go", "return rec, w.limits.fits(e, rec)", "return rec, nil"},
		}},
	}
}

// offsets are guards 4 and 5.
func offsets() []mutant {
	return []mutant{
		{4, "the abort for an input that cannot be read now: it is passed over", "TestRegistryDown", "", []edit{
			{"accept.go", `return false, fmt.Errorf("registry: %w", err)`, "return false, nil"},
		}},
		{4, "the abort for an input that cannot be read now: it is buried", "TestRegistryDown", "", []edit{
			{"accept.go", `return false, fmt.Errorf("registry: %w", err)`, `return false, &refusedInput{cause, err, ""}`},
		}},
		{5, "the offset that fences timers", "TestStalledTimers", "", []edit{
			{"commit.go", "\t\t\t\tw.pin(req, t)\n", ""},
		}},
	}
}

// positions are guards 6 and 7.
func positions() []mutant {
	return []mutant{
		{6, "the explicit offset where none is committed", "TestTrimmedInput", "since 1.22.3 an abort takes the client back to where it began to read", []edit{
			{"member.go", "\t\t\t\tpartitions[p] = kgo.NewOffset().At(at)\n", ""},
		}},
		{6, "the stop at a gap: the start is read on from", "TestLostInput", "", []edit{
			{"worker.go", "kgo.ConsumeResetOffset(kgo.NoResetOffset())", "kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())"},
		}},
		{6, "the refusal of tasks whose offsets were forgotten", "TestForgottenOffsets", "", []edit{
			{"unread.go", "\t\tif has {\n", "\t\tif has && len(refused) < 0 {\n"},
		}},
		{7, "the markers in what is polled", "TestOutsidersTransactions", "", []edit{
			{"worker.go", "kgo.KeepControlRecords(), ", ""},
		}},
	}
}

// stable is guard 8. Stable offsets are not among it: the client asks for no others.
func stable() []mutant {
	return []mutant{
		{8, "committed inputs only", "TestOutsidersTransactions", "", []edit{
			{"worker.go", "kgo.FetchIsolationLevel(kgo.ReadCommitted())", "kgo.FetchIsolationLevel(kgo.ReadUncommitted())"},
		}},
		{8, "committed rows only, in a restore", "TestCommitInFlight/it aborts", "", []edit{
			{"changelog.go", "c.size.ask(c.limits.RestoreFetchBytes), 1", "c.size.ask(c.limits.RestoreFetchBytes), 0"},
			{"changelog.go", "IsolationLevel: kgo.ReadCommitted()", "IsolationLevel: kgo.ReadUncommitted()"},
		}},
		{8, "the wait of a restore for what is in flight", "TestCommitInFlight/it commits", "", []edit{
			{"changelog.go", "e.ends, err = c.adm.ListEndOffsets(ctx, topics...)", "e.ends, err = c.adm.ListCommittedOffsets(ctx, topics...)"},
		}},
		{8, "the rebalance that waits for a turn", "TestRebalanceWaitsForATurn", "", []edit{
			{"worker.go", "kgo.Balancers(w.balancer), kgo.BlockRebalanceOnPoll(),", "kgo.Balancers(w.balancer),"},
		}},
		{8, "the end of a batch at a new assignment", "TestRebalance|TestRebalanceInTransaction|TestRejoinInTransaction",
			"a batch ends at its age, and the commit looks at the assignment", []edit{
				{"worker.go", "return w.balancer.unchanged(w.seen, func() {})", "return true"},
			}},
		{8, "the transaction timeout below that of a rebalance", "TestLimitsAreConsistent", "", []edit{
			{"config.go", "if l.TransactionTimeout >= l.RebalanceTimeout {", "if false {"},
		}},
	}
}
