// Package notification writes to customers: at most one mail for each fact that
// is theirs to know.
//
//	in   OrderPlaced, ShipmentDispatched, OrderCancelled;
//	     CustomerRecorded (the directory, a global view: who a customer is)
//	out  NotificationSent, NotificationSuppressed, NotificationFailed,
//	     NotificationUnknown
//	does mail.send, once a fact
//
// A Correspondence is what was written about one order. A mail needs the
// customer's ID and the number under which the customer knows the order; both
// come with OrderPlaced, and what overtakes it waits in the row.
//
// Steps never see a name or an address. The Gateway looks them up when it sends,
// so that an erased person gets no mail that was asked for before the erasure,
// and so that no reply of a mail server, which likes to quote the address,
// finds its way onto a topic or into a log.
//
// Mail cannot be called back and SMTP knows no idempotency key. So what may have
// reached the server is not sent again: it ends as UNKNOWN, under a Message-ID
// that a person can look for.
//
// Invariants: one mail a fact at most; every mail that was asked for ends as
// exactly one of SENT, SUPPRESSED, FAILED, UNKNOWN.
package notification
