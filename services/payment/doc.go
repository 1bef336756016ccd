// Package payment decides what an order's tenders pay for, and when money goes
// back.
//
//	in   OrderPlaced, ShipmentDispatched, FulfilmentStopped;
//	     VoidPayment, RefundPayment; TenderSettled (the provider's later word)
//	out  PaymentPending, PaymentAuthorized, PaymentReceived, PaymentDeclined,
//	     AuthorizationExpired; PaymentCaptured, CaptureFailed, CaptureUnknown;
//	     PaymentVoided, PaymentRefunded, RefundFailed
//	does psp.open once a tender; psp.capture once a shipment and tender that pays
//	     for it; psp.void once a hold; psp.refund
//
// An Account is three lists, never one status: tenders with what they hold or
// brought in, captures, refunds. A step writes down what it was told and then
// lets the account advance: whatever has become possible is done, once. So the
// order in which things become known does not matter, only that they are.
//
// Who pays: kinds that the policy lets pay first (vouchers), then the others by
// their number. A shipment that left before all tenders have an answer waits in
// the account. Captures of one tender go out one after the other, since the
// provider closes a hold with the order's last and would leave nothing to those
// that it overtakes.
//
// Giving back returns what pays for nothing that has left. It waits until
// shipment has said what had left (FulfilmentStopped, which follows every
// dispatch on its topic), but not for ever: the policy bounds the wait.
//
// Invariants: nothing is captured before it is authorised; captured ≤ authorised
// and refunded ≤ captured or received, per tender; one capture a shipment and
// tender; a hold is voided once, and only while nothing of it is being captured.
package payment
