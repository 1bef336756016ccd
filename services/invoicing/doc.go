// Package invoicing books orders into the ERP, has it bill what has left, and
// publishes the documents that it issues.
//
//	in   OrderPlaced, ShipmentDispatched; ErpDocumentReceived (the ERP's word)
//	out  ErpOrderBooked, ErpBookingRejected, InvoiceIssued, InvoiceVoided, CreditNoteIssued
//	does erp.book once an order, erp.bill once a shipment, over SOAP
//
// Two co-partition sets. The main one is keyed by order. The ERP knows orders
// by numbers of its own, so "erp" is keyed by tenant/erp:NUMBER: a row there is
// an alias, written at booking, through which a document hops to its order. A
// document over several orders is split at the intake, one part a number. One
// that is quicker than its booking waits; after half an hour it is published
// under its number, so that reconciliation can say that nobody placed the
// order. Should the booking come after all, that publication is voided and the
// document goes to its order.
//
// Invariants: an order is booked once, a shipment billed once, a document
// published once a key. What the customer owes is the ERP's word: amounts are
// passed on, never recomputed.
package invoicing
