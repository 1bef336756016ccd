// Package table keeps the state of tasks: in memory what Kafka has committed,
// in Badger a checkpoint that trails it.
//
// The truth is the changelog topic. Commit takes what a transaction has
// committed; it is pinned in memory until a checkpoint, in the background and
// sorted by key, has written it to Badger, synced it, and then, last, moved the
// marker. So Badger is never ahead of Kafka and never torn: after a crash a
// restart reads the changelog from the marker on.
//
// One database a process; keys are task | incarnation | changelog key. Wiping
// a task is a new incarnation: what the old one left is deleted later, since
// Badger's DropPrefix would stop every other task's writes.
//
// Beside the rows lies a local index of deadlines and of rows with work in
// hand, written with the checkpoint and never sent to Kafka: it is derived from
// the rows, and an entry that no longer fits its row is simply stale.
package table
