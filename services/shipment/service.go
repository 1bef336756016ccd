package shipment

import (
	"context"
	"time"

	"troupe/schemas"
	"troupe/schemas/money"
	"troupe/topology"
)

// Warehouse is the warehouse management system of every node. An error means
// that it may be asked again.
type Warehouse interface {
	Ask(ctx context.Context, call topology.Call, r warehouseRequest) (warehouseAnswered, error)
}

// What the warehouse is asked for.
const (
	releaseAction = "RELEASE"
	cancelAction  = "CANCEL"
)

// patience is how long a report waits for its order or its dispatch.
const patience = 30 * time.Minute

// Service is the shipment context.
func Service(warehouse Warehouse) topology.Service {
	return topology.Service{
		Name: "shipment", Owner: "logistics",
		Doc: "decides what leaves which node, and says where it is",
		Publishes: []topology.Output{
			topology.Publishes[shipmentPlanned](), topology.Publishes[pickingStarted](), topology.Publishes[pickShort](),
			topology.Publishes[shipmentPacked](), topology.Publishes[shipmentDispatched](),
			topology.Publishes[carrierScanned](), topology.Publishes[deliveryAttempted](), topology.Publishes[shipmentDelivered](),
			topology.Publishes[parcelLost](), topology.Publishes[returnedToSender](),
			topology.Publishes[shipmentCancelled](), topology.Publishes[shipmentCancellationRefused](), topology.Publishes[fulfilmentStopped](),
		},
		Sets: []topology.Set{topology.Keyed("", "order", "shipment.fulfilment",
			topology.On("OrderPlaced", onPlaced),
			topology.On("FraudCleared", onCleared),
			topology.On("PaymentAuthorized", onSecured),
			topology.On("PaymentReceived", onSecured),
			topology.On("InventoryAllocated", onAllocated),
			topology.On("InventoryBackordered", onUnallocated),
			topology.On("ReservationExpired", onUnallocated),
			topology.Asked("StopFulfilment", onStop),
			topology.Asked("WarehouseReported", onReported),
			topology.Asked("CarrierReported", onScanned),
			topology.Outcome("wms.ask", topology.ByKey, warehouse.Ask, onAnswered),
			topology.Due("waiting", onWaited),
		)},
		Intakes: []topology.Intake{warehouseIntake(), carrierIntake()},
		Bounds: []topology.Bound{
			topology.AtMost("waiting-reports", maxWaiting, "the warehouse's next on an order that nobody has placed is a dead letter"),
			topology.AtMost("waiting-scans", maxWaiting, "the carrier's next on a parcel that has not left is a dead letter"),
			topology.AtMost("report-wait", patience, "from the latest: a dead letter says how many wait, and they wait on"),
		},
	}
}

func onPlaced(f *Fulfilment, e placed, t *topology.Turn) error {
	if f.Placed {
		return topology.Drop("the order is known")
	}
	f.Placed, f.Currency, f.PromisedBy = true, e.Currency, e.PromisedBy
	for _, l := range e.Lines {
		f.Lines = append(f.Lines, Line{
			Line: l.Line, SKU: l.SKU, Quantity: l.Quantity, Node: l.Node, ShipBy: l.ShipBy,
			Net: int64(l.Quantity)*l.UnitNet - l.Discount, Freight: l.Freight, Tax: l.Tax,
		})
	}
	waiting := f.Waiting
	f.Waiting = nil
	for _, r := range waiting {
		if err := apply(f, r, t); err != nil && !topology.Dropped(err) {
			return err
		}
	}
	return proceed(f, t)
}

func onCleared(f *Fulfilment, _ nothing, t *topology.Turn) error {
	f.Cleared = true
	return proceed(f, t)
}

func onSecured(f *Fulfilment, e secured, t *topology.Turn) error {
	if e.Outstanding != 0 {
		return topology.Drop("%d is outstanding", e.Outstanding)
	}
	f.Paid = true
	return proceed(f, t)
}

func onAllocated(f *Fulfilment, e allocation, t *topology.Turn) error {
	f.Allocations = nil
	for _, l := range e.Lines {
		f.Allocations = append(f.Allocations, Allocated{Line: l.Line, Quantity: l.Quantity, Node: l.Node, Reservation: l.ReservationID})
	}
	return proceed(f, t)
}

func onUnallocated(f *Fulfilment, _ nothing, _ *topology.Turn) error {
	f.Allocations = nil
	return nil
}

func onStop(f *Fulfilment, e stop, t *topology.Turn) error {
	if f.Stopped {
		return topology.Drop("stopped before")
	}
	f.Stopped, f.StopReason = true, e.Reason
	for i := range f.Shipments {
		if s := &f.Shipments[i]; s.holdable() {
			s.Held = wanted
		} else if s.left() {
			s.Held = refused
			refuse(s, "it has left the node", t)
		}
	}
	return proceed(f, t)
}

func refuse(s *Shipment, why string, t *topology.Turn) {
	t.Publish(&shipmentCancellationRefused{Envelope: of(s), ShipmentID: s.ID, Reason: why}, s.ID)
}

// proceed does what has become possible, whatever was learned last.
func proceed(f *Fulfilment, t *topology.Turn) error {
	order := t.Cause.Envelope.Order
	for _, s := range f.plan(order) {
		t.Publish(&shipmentPlanned{
			Envelope: of(s), ShipmentID: s.ID, Node: s.Node, Lines: lines(f, s), Value: value(f, s), Currency: f.Currency,
			ShipBy: f.shipBy(s), PromisedBy: f.PromisedBy,
		}, s.ID)
		request := warehouseRequest{Action: releaseAction, ShipmentID: s.ID, Node: s.Node, ShipBy: f.shipBy(s)}
		for _, p := range s.Parts {
			request.Lines = append(request.Lines, Reported{p.Line, p.SKU, p.Quantity})
		}
		t.Intend("wms.ask", request, releaseAction+"/"+s.ID)
	}
	for i := range f.Shipments {
		// A cancellation that overtakes its release would find nothing to hold.
		if s := &f.Shipments[i]; s.Held == wanted && s.Released && s.holdable() {
			s.Held = asked
			t.Intend("wms.ask", warehouseRequest{Action: cancelAction, ShipmentID: s.ID}, cancelAction+"/"+s.ID)
		}
	}
	if kept, gone, ok := f.stopped(); ok {
		t.Publish(&fulfilmentStopped{Cancelled: stoppedLines(kept), Dispatched: stoppedLines(gone)})
	}
	if len(f.Waiting)+len(f.WaitingScan) == 0 {
		t.Disarm("waiting", "")
	}
	return nil
}

func stoppedLines(of []Reported) []stoppedLine {
	out := []stoppedLine{}
	for _, l := range of {
		out = append(out, stoppedLine{l.Line, l.Quantity})
	}
	return out
}

func of(s *Shipment) schemas.Envelope { return schemas.Envelope{AggregateID: s.ID} }

func lines(f *Fulfilment, s *Shipment) []shipmentLine {
	out := []shipmentLine{}
	for _, p := range s.Parts {
		l := shipmentLine{Line: p.Line, SKU: p.SKU, Quantity: p.Quantity, ReservationID: p.Reservation}
		if of := f.line(p.Line); of != nil && p.From < of.Quantity {
			to := p.From + p.Quantity
			l.Net = money.Share(of.Net, p.From, to, of.Quantity)
			l.Freight = money.Share(of.Freight, p.From, to, of.Quantity)
			l.Tax = money.Share(of.Tax, p.From, to, of.Quantity)
		}
		out = append(out, l)
	}
	return out
}

// value is what a customer pays for a shipment.
func value(f *Fulfilment, s *Shipment) (sum int64) {
	for _, l := range lines(f, s) {
		sum += l.Net + l.Freight + l.Tax
	}
	return sum
}

func onAnswered(f *Fulfilment, e warehouseAnswered, t *topology.Turn) error {
	s := f.shipment(func(s *Shipment) bool { return s.ID == e.ShipmentID })
	if s == nil {
		return topology.Poison("an answer for shipment %s, which the order does not have", e.ShipmentID)
	}
	switch e.Action {
	case releaseAction:
		s.Released = true
		// What the warehouse refuses is not picked: that obligation comes due,
		// and a stop finds nothing to hold back.
		if !e.Accepted && s.Held == wanted && s.holdable() {
			cancel(f, s, t)
		}
	case cancelAction:
		switch {
		case s.Held != asked:
			return topology.Drop("shipment %s was answered for", s.ID)
		case e.Accepted && s.holdable():
			cancel(f, s, t)
		default:
			s.Held = refused
			refuse(s, orElse(e.Reason, "it has left the node"), t)
		}
	default:
		return topology.Poison("action %q is neither RELEASE nor CANCEL", e.Action)
	}
	return proceed(f, t)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func cancel(f *Fulfilment, s *Shipment, t *topology.Turn) {
	s.Status, s.Held = cancelled, ""
	t.Publish(&shipmentCancelled{Envelope: of(s), ShipmentID: s.ID, Lines: lines(f, s)}, s.ID)
}

// onWaited says of what has waited in vain; the reports stay in the row, should the
// order come after all.
func onWaited(f *Fulfilment, _ *topology.Turn) error {
	n, m := len(f.Waiting), len(f.WaitingScan)
	if n+m == 0 {
		return topology.Drop("nothing waits any more")
	}
	return topology.Poison("after %v: %d reports of the warehouse wait for an order, %d of the carrier for a dispatch", patience, n, m)
}
