// Package shipment decides what leaves which node, and says where it is.
//
//	in   OrderPlaced, FraudCleared, PaymentAuthorized, PaymentReceived,
//	     InventoryAllocated, InventoryBackordered, ReservationExpired;
//	     StopFulfilment; WarehouseReported, CarrierReported (the partners' words)
//	out  ShipmentPlanned, PickingStarted, PickShort, ShipmentPacked, ShipmentDispatched;
//	     CarrierScanned, DeliveryAttempted, ShipmentDelivered, ParcelLost, ReturnedToSender;
//	     ShipmentCancelled, ShipmentCancellationRefused, FulfilmentStopped
//	does wms.ask: a release once a shipment, a cancellation once a shipment that can still be held
//
// A Fulfilment gathers what it is told in any order and plans on the
// conjunction: placed, cleared, paid for, allocated, not stopped. One shipment
// a node; its ID is derived from order and node.
//
// What the warehouse reports has happened, asked for or not. Goods that left
// unasked become a shipment, or the one planned for that node, and bar planning
// of the same units. Reports that are quicker than the order, and parcels
// quicker than their dispatch, wait in the row; what waits too long is a dead
// letter.
//
// Invariants: a unit of a line is in one shipment at most; nothing is planned
// after a stop; a shipment is cancelled before it is dispatched or not at all,
// by the order in which its own row hears of it, never by clocks; the shares of
// a line's value add up to the line's.
package shipment
