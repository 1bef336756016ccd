// Package table keeps the state of tasks: in memory what Kafka has committed,
// on disk a checkpoint that trails it.
//
// The truth is the changelog topic. Commit takes what a transaction has
// committed; it is pinned in memory until a checkpoint, in the background and
// sorted by key, has written it to the database, synced it, and then, last, moved
// the marker. So the disk is never ahead of Kafka and never torn: after a crash a
// restart reads the changelog from the marker on. Who opened a task last alone writes it:
// a worker that was overtaken by another of its process may still hold it.
//
// One database a process, Pebble (topology/decisions/0010-pebble.md); a task's keys
// lie together, under the number of its incarnation. Wiping a task is a new
// incarnation; what the old one left is deleted by one range.
//
// Beside the rows lies a local index of deadlines and of rows with work in
// hand, written with the checkpoint and never sent to Kafka: it is derived from
// the rows, and an entry that no longer fits its row is simply stale.
//
// A view has rows there too, with up to where its topics are read
// (topology/decisions/0016-a-view-lies-on-the-disk.md).
package table
