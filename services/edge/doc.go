// Package edge is the one address that sales channels know.
//
//	in   HTTP requests of channels, as openapi.yaml says
//	out  POST {OrderCapture}/orders and …/cancellation
//	     GET  {Tracking}/orders/{tenant}/{order}
//	     GET  {CRM}/customers/{tenant}/{customerId}
//
// It mediates: it checks the shape of what comes in, forwards it, and puts
// answers of several services side by side, each with its source and its time.
// It decides nothing about an order, keeps nothing of it, and is no Kafka
// service; any number of replicas may stand beside each other.
//
// Invariants: what is only accepted is answered with 202 and an address, never
// as done; a service that does not answer costs its own section and no more;
// whatever is refused is refused with an RFC 9457 problem; an answer that says
// "try again" is never remembered.
//
// Idempotency keys are remembered in memory, boundedly, by each replica for
// itself. That spares channels a second answer that differs from the first; it
// does not keep an order from being placed twice. What does is the business key
// downstream: order capture knows tenant, channel and the channel's order
// number, and takes the same order once whoever repeats it, after any restart.
//
// Who may ask is not examined here.
package edge
