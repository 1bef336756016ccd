package tracking

import (
	"sync"

	"troupe/schemas"
	"troupe/topology"
)

// View is where every order is, kept in memory and filled from the topics.
type View struct {
	words *Milestones
	err   error // why words are missing; keeps the view from starting

	mu         sync.RWMutex
	orders     map[number]*history
	byTracking map[string]map[number]bool
	byCustomer map[customer]map[number]bool
}

type customer struct{ tenant, id string }

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
	v := &View{orders: map[number]*history{}, byTracking: map[string]map[number]bool{}, byCustomer: map[customer]map[number]bool{}}
	v.words, v.err = ReadMilestones(text, events())
	return v
}

// Service is the tracking context.
func (v *View) Service() topology.Service {
	view := topology.View{Name: "orders"}
	for _, s := range sights() {
		view.Handlers = append(view.Handlers, s.handler(v))
	}
	return topology.Service{
		Name: "tracking", Owner: "customer-care",
		Doc:   "tells customers where their order is, in their words",
		Views: []topology.View{view},
	}
}

// sight is an event that the view sees.
type sight struct {
	event   string
	handler func(*View) topology.ViewHandler
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
	return sight{event, func(v *View) topology.ViewHandler {
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
	}}
}

// add takes an event in. One that names no order, such as an invoice that the
// ERP sent for a number nobody knows, is of no use to a customer.
func (v *View) add(event string, body any, e schemas.Envelope) {
	if v.err != nil || e.Tenant == "" || e.Order == "" {
		return
	}
	f := fact{id: e.ID, row: v.words.of(event, caseOfBody(body)), at: e.OccurredAt.UTC(), seq: e.AggregateSequence, body: body}
	n := number{e.Tenant, e.Order}
	v.mu.Lock()
	defer v.mu.Unlock()
	h := v.orders[n]
	if h == nil {
		h = &history{number: n, facts: map[string]fact{}}
		v.orders[n] = h
	}
	if !h.add(f) {
		return
	}
	if t := f.tracking(); t != "" {
		enter(v.byTracking, t, n)
	}
	if p, ok := body.(placed); ok && p.CustomerID != "" {
		enter(v.byCustomer, customer{n.tenant, p.CustomerID}, n)
	}
}

func enter[K comparable](index map[K]map[number]bool, k K, n number) {
	if index[k] == nil {
		index[k] = map[number]bool{}
	}
	index[k][n] = true
}
