// Package processmanager keeps who owes which event to a flow and by when, and
// decides cancellations.
//
//	in   every event that its definition names; ApproveStep, OverrideStep;
//	     OwnerPosition (how far each owner has read), OwnerAwaited (its own)
//	out  FlowStarted, FlowPhaseChanged (a note), FlowClosed; ObligationOverdue, ObligationMet;
//	     OwnerBehind, OwnerCaughtUp; CancellationDecided, PersonNeeded
//	asks shipment to stop, payment to void, inventory to release
//
// It orchestrates nothing on the way forward: contexts react to each other. It
// watches. The process is data (fulfilment.v1.yaml): a cause opens an
// obligation, an event closes it, another makes it void. A response runs from
// when its owner has read the cause: until then the flow waits under one
// incident, "the owner is behind", instead of one stall an order. A promise is
// a date and never pauses.
//
// A row is a flow, found by correlation ID; the phase is a function of the row.
// An event that closes may come before the one that opens, except where both
// stand on one topic: its order then tells a second round from a first.
//
// Invariants: a flow that is not closed has an open obligation (a definition
// that breaks this is refused); an obligation is overdue once; what was overdue
// and is met is said so; a closed flow raises nothing.
package processmanager
