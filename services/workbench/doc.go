// Package workbench shows operators what is going on, and what is wrong.
//
//	in    every public fact about an order, and exceptions; never customers or stock
//	out   nothing: it is read only
//	HTTP  GET /                        what is wrong, ranked, with the money behind it
//	      GET /flows                   by phase, by what is overdue, by any business number
//	      GET /flows/{tenant}/{order}  one lane a context, and what is owed but absent
//	      GET /mismatches              by code
//	      GET /exceptions              by cause
//
// Each page has a JSON twin at the same address (Accept: application/json).
//
// There is no login here. The caller binds the handler to a loopback address,
// and a request whose Host is no loopback name is refused, so that a web site
// cannot reach it through the operator's browser by a name of its own.
//
// It is a view that each replica fills by reading every partition. A flow is the
// set of the facts about its order, by ID; what is said twice on one topic, the
// later offset settles. So the view needs no order between topics.
//
// Obligations are overdue when the process manager says so, never by a rule of
// this package. What is expected but not yet overdue is read off the duties
// that the caller hands in, and is labelled so.
//
// Invariants: no personal data goes in or out: the customer is an ID, and texts
// that people typed (why somebody cancels, what a mail server said of an
// address) are not even read; amounts of two currencies are never added up;
// what a page shows is bounded, and it says what it leaves out.
//
// What is kept: of open flows all facts, up to factsPerFlow, the latest; of
// closed flows the same for the wholeClosed that closed last. Of those that
// closed before, a summary stays with its mismatches, as long as the topics
// retain them, and the page says that the facts are to be looked up there. Of
// exceptions the exceptionsKept last ones stay, and all are counted.
package workbench
