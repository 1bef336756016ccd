// Package probe is a service that works in every way that the runtime has, and of
// which it is known to the last fact what must become of its inputs: testenv/crash
// runs it in processes that are killed, testenv/sim/virtual beside the estate.
//
//	probe    the service: rows, timers, calls, a re-key hop, parking, rows that end
//	load     inputs, numbered for each key; some are said twice, some never committed
//	history  what the log holds of it, and what of that is wrong
//
// Whoever uses it has the broker, the faults and the time at which he looks.
package probe
