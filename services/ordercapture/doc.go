// Package ordercapture takes orders from channels: it places or refuses them,
// tells a repeat from another order under the same number, and carries requests
// to cancel.
//
//	in   PlaceOrder, CancelOrder (its inbox, through its intake);
//	     CancellationDecided, FlowClosed (the process manager's decisions)
//	out  OrderPlaced, OrderRejected, CancellationRequested, OrderCancelled,
//	     OrderClosed; CustomerRecorded, the only personal data on Kafka
//
// Invariants: a business key (tenant, channel, the channel's own number) is
// placed or rejected once and for all; an order is cancelled only because the
// process manager decided so.
package ordercapture
