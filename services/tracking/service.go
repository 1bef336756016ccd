package tracking

import (
	"encoding/json"

	"troupe/schemas"
	"troupe/topology"
)

// View is where every order is, filled from the topics.
type View struct {
	words  *Milestones
	err    error // why words are missing; keeps the view from starting
	bodies map[string]func([]byte) (any, error)
	rows   topology.Rows
}

// events are what the view reads, with their cases.
func events() map[string][]string {
	cases := map[string][]string{"CancellationDecided": {"refused", "partly", "accepted"}}
	for _, s := range sights() {
		if cases[s.event] == nil {
			cases[s.event] = []string{""}
		}
	}
	return cases
}

// New is an empty view with the milestones that come with the program.
func New() *View { return withMilestones(defaultMilestones) }

func withMilestones(text []byte) *View {
	v := &View{bodies: map[string]func([]byte) (any, error){}}
	for _, s := range sights() {
		v.bodies[s.event] = s.body
	}
	v.words, v.err = ReadMilestones(text, events())
	return v
}

// Service is the tracking context.
func (v *View) Service() topology.Service {
	view := topology.View{Name: "orders", Keep: func(rows topology.Rows) { v.rows = rows }, Format: format}
	for _, s := range sights() {
		view.Handlers = append(view.Handlers, s.handler(v))
	}
	return topology.Service{
		Name: "tracking", Owner: "customer-care",
		Doc:   "tells customers where their order is, in their words",
		Views: []topology.View{view},
		Bounds: []topology.Bound{
			topology.AtMost("orders-per-customer", listLimit, "the latest are listed, with how many there are"),
		},
	}
}

// sight is an event that the view sees.
type sight struct {
	event   string
	handler func(*View) topology.ViewHandler
	body    func([]byte) (any, error) // as a row has it
}

func sights() []sight {
	return []sight{
		see[placed]("OrderPlaced"), see[rejected]("OrderRejected"), see[cancelled]("OrderCancelled"), see[nothing]("OrderClosed"),
		see[nothing]("CancellationRequested"), see[decided]("CancellationDecided"),
		see[paid]("PaymentPending"), see[paid]("PaymentAuthorized"), see[paid]("PaymentReceived"), see[nothing]("PaymentDeclined"),
		see[paid]("PaymentCaptured"), see[paid]("PaymentVoided"), see[paid]("PaymentRefunded"),
		see[planned]("ShipmentPlanned"), see[inHouse]("PickingStarted"), see[inHouse]("PickShort"), see[inHouse]("ShipmentPacked"),
		see[inHouse]("ShipmentCancelled"), see[dispatched]("ShipmentDispatched"), see[scanned]("CarrierScanned"),
		see[underWay]("DeliveryAttempted"), see[underWay]("ShipmentDelivered"), see[underWay]("ParcelLost"), see[underWay]("ReturnedToSender"),
		see[invoiced]("InvoiceIssued"), see[voided]("InvoiceVoided"), see[credited]("CreditNoteIssued"),
	}
}

func see[E any](event string) sight {
	handler := func(v *View) topology.ViewHandler {
		h := topology.See(event, func(e E, c topology.Cause) { v.add(event, e, c.Envelope) })
		bind := h.Bind
		// Binding is what happens before anything runs, so a table that is not
		// whole stops the start here.
		h.Bind = func(w *schemas.Wire) (topology.Decode, error) {
			if v.err != nil {
				return nil, v.err
			}
			return bind(w)
		}
		return h
	}
	return sight{event, handler, func(b []byte) (any, error) {
		var e E
		err := json.Unmarshal(b, &e)
		return e, err
	}}
}

// add takes an event in. One that names no order, such as an invoice that the
// ERP sent for a number nobody knows, is of no use to a customer.
func (v *View) add(event string, body any, e schemas.Envelope) {
	if v.err != nil || e.Tenant == "" || e.Order == "" {
		return
	}
	n := number{e.Tenant, e.Order}
	f := fact{event: event, id: e.ID, at: e.OccurredAt.UTC(), seq: e.AggregateSequence, body: body}
	v.rows.Put(factKey(n, f.id), f.row())
	if t := f.tracking(); t != "" {
		v.rows.Put(key(byTracking, t, n.tenant, n.order), nil)
	}
	if p, ok := body.(placed); ok && p.CustomerID != "" {
		v.rows.Put(key(byCustomer, n.tenant, p.CustomerID, newest(f.at), n.order), nil)
	}
}
