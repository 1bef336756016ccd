// Package world is everything that Troupe is not: shops, a payment provider, a
// scoring service, a warehouse, a carrier, an ERP, a customer system and a mail
// server, over the protocols that the real ones speak, on loopback ports. The
// real thing can take the place of each by its address alone.
//
// What the world will do for an order is decided beforehand (Order), by a Source:
// a folder of history, or traffic invented from a seed. The partners then act
// by themselves: they answer at once, and call back later, by the calendar of
// the clock that they share with the estate. World times are whole minutes.
//
//	sales     POST {edge}/v1/orders, …/cancellation
//	provider  /tenders /captures /voids /refunds (+ GET /x/{key}); calls {payment}/provider/events
//	scoring   /scores; calls {fraud}/desk/events
//	warehouse /releases /cancellations; calls {shipment}/warehouse/events, {inventory}/stock/events
//	carrier   calls {shipment}/carrier/events
//	ERP       SOAP 1.1 BookOrder, BillShipment; calls {invoicing}/erp with DeliverDocument
//	CRM       GET /customers/{tenant}/{id}
//	mail      SMTP
//
// A journal keeps the requests that were taken and the calls that were made. A
// partner is a function of its requests in their order, so a world that was
// killed reads its journal, stands where it stood, and makes the calls that it
// still owes. Calls are repeated until they are accepted, with the same IDs.
package world
