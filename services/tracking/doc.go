// Package tracking tells customers where their order is.
//
//	in    orders, payments, shipments, invoices, and the cancellation decided on flows
//	out   nothing: it publishes no fact and asks nobody
//	HTTP  GET /orders/{tenant}/{order}
//	      GET /tracking/{trackingNumber}
//	      GET /customers/{tenant}/{customer}/orders
//
// It is a view that each replica fills by reading every partition. What an order
// has been through is the set of the facts about it, by ID, and every answer is
// computed from that set: so the view needs no order between topics, and a
// record read twice is read once.
//
// Invariants: each section names the service that said it last and the business
// time of that; words are taken from milestones.v1.yaml, and an event without a
// row there keeps the view from starting; no personal data goes in or out (free
// texts such as reasons may hold some, so they are not even read); an amount
// goes with its currency, and currencies are never added up.
//
// Facts lie in rows on the process's disk, for as long as their topics keep the
// records; an answer reads those of its order. A restart reads on from where the
// rows reach (topology/decisions/0016-a-view-lies-on-the-disk.md). Until the view has read up
// to where the topics ended when it began, orders are missing from it: the
// process's readiness says so, a 404 does not.
package tracking
