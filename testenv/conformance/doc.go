// Package conformance holds the runtime to what topology/stream promises, on the
// embedded broker and, with TROUPE_REAL=1, on a real one, of three nodes with
// TROUPE_NODES=3. Nothing in between is faked: faults are put on the wire (tap), in
// the group (an expelled member), in the log (deleted or foreign records) or in the
// service (a panic).
//
// Whatever a test asserts, all that it leaves is judged beside that (judge_test.go): on
// the topics what must hold of any log, on the disks that they are the changelogs'.
//
// The guards of exactly once, and the tests that put each to the proof. `make mutants`
// takes them away, one at a time, and shows the tests that then fail, or what else
// catches the fault; stable offsets it cannot take away, for the client asks for no
// others.
//
//	1 ownership is what the last assignment said   TestRevokedTwice, TestSilentRejoin, TestRejoinInTransaction, TestTimersFollowTheirTask, TestZombie
//	2 an end that is not a yes is unknown          TestUnknownEnd, TestRefusedEnd, TestFenced, TestHungPredecessor, TestExpelledInTransaction, TestStopInTransaction
//	3 a failed produce stops the commit            TestFailedProduce, TestTooLarge
//	4 offsets follow what was polled               TestRegistryDown
//	5 a transaction of timers alone is fenced      TestStalledTimers, TestTimersBeforeOffsets
//	6 positions are explicit, a gap stops          TestTrimmedInput, TestLostInput
//	7 markers count as read                        TestOutsidersTransactions
//	8 stable offsets, and timeouts in order        TestCommitInFlight, TestRebalanceWaitsForATurn, TestLimitsAreConsistent, TestRebalance, TestRebalanceInTransaction
package conformance
