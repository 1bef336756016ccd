// Package stream runs services on Kafka, exactly once.
//
// # The loop
//
// A worker is one client, one transactional ID and the tasks that the group
// gave it. It polls, runs the steps of what it read and of the timers that are
// due, and commits in one transaction: the group's offsets, the outputs, and
// the changed rows on the changelog. Only when the broker has said yes does
// what was staged become the state in memory; the disk trails it. Anything but a
// clear yes is unknown, and unknown is dropped: the session is closed and built
// anew from what Kafka says was committed.
//
//	poll → step, step, … → due timers → begin, produce, offsets, end → memory → effects
//	                                                              └─ unless yes: rebuild
//
// # Guards
//
// Each is a way in which data was lost or doubled before it was there:
//
//  1. ownership is what the balancer was last told, in a session that is not lost, and is
//     asserted in the commit; what was another's between two turns is opened anew
//  2. anything but (true, nil) from End rebuilds the session
//  3. a failed produce aborts: by itself it would not stop the commit
//  4. every polled record is processed, parked or dead-lettered, or nothing is
//  5. a transaction of timers alone commits an unchanged offset, so that it can be fenced
//  6. a partition without a commit starts at an explicit offset; a task without any that has
//     rows is refused: its offsets were forgotten
//  7. control records are kept, or positions never reach the end
//  8. read committed, stable offsets, no rebalance inside a batch
//
// # What a row is
//
// One record of the changelog: the service's state, and beside it what the
// runtime keeps for the key: the inputs it has seen, its timers, its intents in
// hand and its parked inputs. So an event costs one read and one write.
//
// # Effects
//
// A step does not call the world. It leaves an intent in its row; once that is
// committed the effect runs, and its answer is a message in the service's own
// inbox. A replay therefore needs no world, and a crash between the two leaves
// an intent without an answer, which is looked up and never blindly repeated.
package stream
