// Package sim plays the whole estate from a seed: the services' own steps over a
// log in memory, with everything that can happen to them in between. It has no
// Kafka client, no goroutine and no clock, so a thousand days of invented traffic
// take seconds, and a day that goes wrong can be had again by its number.
//
//	go test ./testenv/sim                                   # a thousand seeds
//	go test ./testenv/sim -run TestSeeds -sim.seed 1234 -v  # one, with its trace
//
// # What is real and what is a model
//
// Real are the services of services.New with their gateways, the edge, the
// published schemas and the codec, the row codecs, and the world with its HTTP,
// SOAP and SMTP, which is called in the caller's own goroutine (testenv/inproc).
// A model are the broker and the runtime:
//
//	log.go      topics, partitions, transactions, offsets, changelogs
//	service.go  a worker: poll, step, fire, produce, commit, remember; crash, restore
//	step.go     one input through one step, by the rules of topology/stream
//	row.go      what a changelog holds for a key
//	effects.go  intents, calls, outcomes
//	views.go    global views, and the watch over other services' offsets
//	outside.go  the dials, the shops, the network between estate and partners
//	probe.go    a service that parks and ends rows, which no context does yet
//	judge.go    the invariants
//
// The model is written anew on purpose. It says what topology/stream promises in
// the fewest words, and where both are wrong in the same way it is not because
// they share a line. That the real runtime keeps its promises is shown by
// testenv/conformance and testenv/crash; that the promises suffice for the
// business is shown here.
//
// # The schedule
//
// All that will happen is a heap of events, by time and then by a number that the
// seed has drawn. A turn of a service is four of them, so that others come in
// between and a crash can come before each:
//
//	take and step │ produce │ commit │ remember and call the world
//	              └─────────┴────────┴── dies here: staged work is lost, an open
//	                                     transaction stays until it is fenced
//
// A seed draws its dials first (Dials): how often services crash and for how
// long, how often a commit's answer is lost, calls do not arrive or are not
// answered, partners' messages come again hours later, how far clocks are off,
// and what the traffic is like. So some runs have a little of everything and
// others much of one thing. A deadline fires only when its inputs are read up to
// it, by the rule of topology/stream; what two partners do in one minute comes in
// any order.
//
// # Invariants
//
// Those of testenv/check are asked of every record as it becomes visible, and of
// every order at the end. The simulator sees more than a log shows and adds its
// own (judge.go): nothing follows from what is not committed, a row takes its
// inputs in order, memory is what a restore would give, the provider's books, the
// mailbox and the shelves agree with the facts, and once nothing is due no timer,
// intent or unread record is left and every order is closed or somebody was told.
//
// # Planted bugs
//
// A Bug makes the model do what some runtime did once. Each must be found, by
// the invariant that is named for it (bug_test.go).
//
// What it has found is kept as a test that holds the schedule, beside the service
// that was wrong (inventory, payment, shipment) or in testenv/conformance.
package sim
