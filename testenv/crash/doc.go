// Package crash kills what runs. Real processes work on a real Kafka under load
// while a schedule, drawn from a seed, kills them, stops them until their group
// has given them up, kills the broker and takes the registry away. Then what the
// log holds is compared with what each key must have come to.
//
//	load     numbered inputs per key, in transactions of which some are aborted and some are said twice
//	subject  processes of testenv/probe: rows, timers, calls, a re-key hop, rows that end
//	faults   the schedule: the same seed gives the same one
//
// Nothing may be lost or doubled, nothing be there that was aborted, nothing out of
// order: the probe says so of its facts and rows, testenv/check of the log.
//
// `make crash` runs it: CRASHES says how many, SEED which, NODES of how many brokers.
package crash
