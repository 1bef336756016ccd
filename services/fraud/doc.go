// Package fraud decides whether an order may be trusted with goods.
//
//	in   OrderPlaced; FraudScored (the scoring service's answer), FraudReviewed (the risk desk's)
//	out  FraudCleared, FraudHoldPlaced, FraudRejected
//	does fraud.score: asks the scoring service, once an order
//
// Invariants: an order has one verdict that is final, cleared or rejected; a
// hold comes before it or not at all; what comes after a final verdict changes
// nothing.
package fraud
