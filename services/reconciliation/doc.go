// Package reconciliation says where the ledgers of an order disagree: what was
// ordered, released, dispatched, billed and paid.
//
//	in   OrderPlaced; FraudCleared; PaymentAuthorized, PaymentReceived,
//	     PaymentCaptured, PaymentRefunded; InventoryAllocated,
//	     ReservationConsumed; ShipmentDispatched, FulfilmentStopped;
//	     CancellationDecided; InvoiceIssued, InvoiceVoided, CreditNoteIssued
//	out  MismatchDetected, MismatchChanged, MismatchCleared, MismatchAccepted
//
// A row is one order: its Ledger, which is nothing but the facts with their
// times, and the Life of its mismatches. The classifier is total: it names
// every difference in the ledger as of a time, each unit of it once. So an
// unreleased dispatch (5) takes in the capture that it lacks, which is none
// under 11 then; a unit that was never ordered (6) is not missing an invoice
// too (7); and what is billed twice (3) is not billed without a shipment (8).
// What the differences name adds up to the whole.
//
// A mismatch is PENDING from the event that made it, OPEN after its grace if it
// still exists, and GONE when its partner comes. One within tolerance is
// ACCEPTED instead of opened, after the same grace. Only a timer opens: the
// runtime fires it once everything up to its deadline was read, so an event at
// exactly the deadline still meets it, and one that was read early but came
// after it does not.
//
// Facts come by several topics, so in any order. Life is a function of the
// ledger and of how far deadlines were let pass: what comes in its time walks it
// on, what comes late walks it anew from the first fact, and what that changes
// in what was told is told. A document of an order that nobody has placed has a
// row of its own key (tenant/erp:NUMBER), which ends in UNKNOWN_REFERENCE unless
// it is voided.
//
// It may run alone, on shipments and invoices that others publish: rules that say
// orders, payments or stock are not known here leave their topics unread and the
// codes that need them off.
//
// Codes and their logic are here; tolerance, grace, severity and repair are data
// (rules.v1.yaml), and each mismatch names the version that judged it.
package reconciliation
