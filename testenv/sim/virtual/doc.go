// Package virtual runs the whole estate in virtual time: the real services on the
// real runtime and client, an embedded broker, a registry, the simulated world and
// the edge, all in one bubble of testing/synctest, without a socket. Two processes
// run every service; a schedule of faults, drawn from a seed, befalls them; the log
// is judged at every step and, with the disks, when it is over.
//
//	site      broker, registry, world, edge and processes
//	process   a life of services, on a disk, a clock and a link of its own
//	link      its way to the network: slow, silent, cut, stopped; answers that are lost
//	fault     the schedule: kills at any point of the loop, zombies, refusals, clocks
//	load      writes inputs of the probe (testenv/probe), a service beside the estate's
//	          of which it is known to the last fact what must become of them
//	patient   the brokers' end of a connection
//	watch     asks for the invariants at every step: whenever a record has become
//	          visible, before the clock goes on
//	judge     the estate's invariants, the probe's facts and rows, disks beside
//	          changelogs, transactions that hang, rows that wait for what is over
//	harm      planted bugs, done from outside: on the wire, in a service's value
//	scenario  what a seed has found, as a schedule by hand
//
// Business time runs 1,200 times as fast as virtual time, so that days of orders
// meet sessions, transactions and heartbeats of seconds.
//
// A seed gives the same world, load, faults and latencies again, but not yet the
// same trace: each seed is the whole of a process with one processor, no collector
// and seeded random numbers, and still which of several goroutines goes first at an
// instant moves what follows. Play a seed that failed several times.
package virtual
