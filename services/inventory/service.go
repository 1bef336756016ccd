package inventory

import (
	_ "embed"
	"fmt"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// holdFor is how long a reservation lasts while its order is not released.
const holdFor = 7 * 24 * time.Hour

// rememberPerSKU bounds the inputs a SKU's row remembers, of which it has any number. Of a
// repeat that is older, an adjustment is known by itself (Stock.Changes), a reservation while
// it is open; what is granted for goods that have left the order gives back (onAnswered).
const rememberPerSKU = 256

type allocatedLine struct {
	Line          int32  `avro:"line"`
	SKU           string `avro:"sku"`
	Quantity      int32  `avro:"quantity"`
	Node          string `avro:"node"`
	ReservationID string `avro:"reservationId"`
}

type backorderedLine struct {
	Line     int32  `avro:"line"`
	SKU      string `avro:"sku"`
	Quantity int32  `avro:"quantity"`
}

// What this context publishes.
type (
	inventoryAllocated struct {
		schemas.Envelope `avro:"envelope"`
		Round            int32           `avro:"round"`
		Lines            []allocatedLine `avro:"lines"`
		ExpiresAt        time.Time       `avro:"expiresAt"`
	}
	inventoryBackordered struct {
		schemas.Envelope `avro:"envelope"`
		Round            int32             `avro:"round"`
		Lines            []backorderedLine `avro:"lines"`
		ETA              *time.Time        `avro:"eta"`
	}
	reservationReleased struct {
		schemas.Envelope `avro:"envelope"`
		Reason           string          `avro:"reason"`
		Lines            []allocatedLine `avro:"lines"`
	}
	reservationConsumed struct {
		schemas.Envelope `avro:"envelope"`
		ShipmentID       string          `avro:"shipmentId"`
		Lines            []allocatedLine `avro:"lines"`
	}
	reservationExpired struct {
		schemas.Envelope `avro:"envelope"`
		Lines            []allocatedLine `avro:"lines"`
	}
	stockReserved struct {
		schemas.Envelope `avro:"envelope"`
		ReservationID    string `avro:"reservationId"`
		SKU              string `avro:"sku"`
		Node             string `avro:"node"`
		Quantity         int32  `avro:"quantity"`
		OnHand           int32  `avro:"onHand"`
		Reserved         int32  `avro:"reserved"`
	}
	stockShort struct {
		schemas.Envelope `avro:"envelope"`
		ReservationID    string `avro:"reservationId"`
		SKU              string `avro:"sku"`
		Node             string `avro:"node"`
		Wanted           int32  `avro:"wanted"`
		Available        int32  `avro:"available"`
	}
	stockAdjusted struct {
		schemas.Envelope `avro:"envelope"`
		SKU              string `avro:"sku"`
		Node             string `avro:"node"`
		OnHand           int32  `avro:"onHand"`
		Reserved         int32  `avro:"reserved"`
		Delta            int32  `avro:"delta"`
		Reason           string `avro:"reason"`
	}
)

// What its two sets ask of each other.
type (
	reserveStock struct {
		schemas.Envelope `avro:"envelope"`
		ReservationID    string    `avro:"reservationId"`
		OrderKey         string    `avro:"orderKey"`
		Line             int32     `avro:"line"`
		SKU              string    `avro:"sku"`
		Quantity         int32     `avro:"quantity"`
		Node             string    `avro:"node"`
		Round            int32     `avro:"round"`
		ExpiresAt        time.Time `avro:"expiresAt"`
	}
	releaseStock struct {
		schemas.Envelope `avro:"envelope"`
		ReservationID    string `avro:"reservationId"`
		SKU              string `avro:"sku"`
		Reason           string `avro:"reason"`
	}
	consumeStock struct {
		schemas.Envelope `avro:"envelope"`
		ReservationID    string `avro:"reservationId"`
		SKU              string `avro:"sku"`
		Quantity         int32  `avro:"quantity"`
		ShipmentID       string `avro:"shipmentId"`
	}
	reservationAnswered struct {
		schemas.Envelope `avro:"envelope"`
		ReservationID    string `avro:"reservationId"`
		Line             int32  `avro:"line"`
		SKU              string `avro:"sku"`
		Node             string `avro:"node"`
		Quantity         int32  `avro:"quantity"`
		Granted          int32  `avro:"granted"`
		Round            int32  `avro:"round"`
	}
)

// stockV1 is the schema of a SKU's row before its reservations kept their flow, stockV2
// before it kept its adjustments.
var (
	//go:embed stock.v1.avsc
	stockV1 string
	//go:embed stock.v2.avsc
	stockV2 string
)

// Service is the inventory context.
func Service() topology.Service {
	stock := topology.Keyed("stock", "SKU", "inventory.stock",
		topology.Asked("ReserveStock", onReserve),
		topology.Asked("ReleaseStock", onRelease),
		topology.Asked("ConsumeStock", onConsume),
		topology.Asked("AdjustStock", onAdjust),
	)
	stock.Remember = rememberPerSKU
	stock.Row = stock.Row.After(stockV1, stockV2)
	return topology.Service{
		Name: "inventory", Owner: "supply", Doc: "promises stock to orders and takes it back",
		Publishes: []topology.Output{
			topology.Publishes[inventoryAllocated](), topology.Publishes[inventoryBackordered](), topology.Publishes[reservationReleased](),
			topology.Publishes[reservationConsumed](), topology.Publishes[reservationExpired](),
			topology.Publishes[stockReserved](), topology.Publishes[stockShort](), topology.Publishes[stockAdjusted](),
		},
		Asks: []topology.Output{
			topology.Asks[reserveStock]("inventory.stock"), topology.Asks[releaseStock]("inventory.stock"),
			topology.Asks[consumeStock]("inventory.stock"), topology.Asks[reservationAnswered]("inventory"),
		},
		Sets: []topology.Set{
			topology.Keyed("", "order", "inventory.allocation",
				topology.On("OrderPlaced", onPlaced),
				topology.On("PaymentAuthorized", onSecured),
				topology.On("PaymentReceived", onSecured),
				topology.On("ShipmentPlanned", onPlanned),
				topology.On("ShipmentDispatched", onDispatched),
				topology.Asked("ReservationAnswered", onAnswered),
				topology.Asked("ReleaseReservation", onReleaseAll),
				topology.Due("expire", onExpire),
			),
			stock,
		},
		Intakes: []topology.Intake{countsIntake()},
		Bounds: []topology.Bound{
			topology.AtMost("levels-per-report", maxLevels, "the intake answers 413 and takes none"),
			topology.AtMost("open-reservations-per-sku", maxOpen, "a request for one more is a dead letter"),
			topology.AtMost("open-reservation-bytes", maxOpenBytes, "likewise: with long names fewer fit into a row"),
			topology.AtMost("adjustments-per-sku", maxChanges, "the earliest is forgotten; one that comes and is no later than that is a dead letter, since it may be a repeat"),
			topology.AtMost("adjustments-for", repeatedFor, "before the one that comes: what is earlier is forgotten likewise"),
			topology.AtMost("adjustments-of-any-age", changesKept, "beyond so many they are forgotten for their age"),
			topology.AtMost("inputs-per-sku", rememberPerSKU, "the oldest is forgotten: a repeat of it runs its step again"),
			topology.AtMost("reservation-hold", holdFor, "from when all of the order is reserved: without a planned shipment it is given back, and asked for anew if the money comes after that"),
		},
	}
}

type placed struct {
	Lines []struct {
		Line     int32  `avro:"line"`
		SKU      string `avro:"sku"`
		Quantity int32  `avro:"quantity"`
		Node     string `avro:"node"`
	} `avro:"lines"`
}

func skuKey(t *topology.Turn, sku string) string { return t.Cause.Envelope.Tenant + "/" + sku }

func onPlaced(a *Allocation, e placed, t *topology.Turn) error {
	if len(a.Lines) > 0 {
		return topology.Drop("asked for before")
	}
	for _, l := range e.Lines {
		line := Line{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity, Node: l.Node, Status: Asked, Reservation: fmt.Sprintf("%s/%d", t.Cause.Envelope.Order, l.Line)}
		if a.Cancelled {
			line.Status = Released
		} else {
			askFor(line, t)
		}
		a.Lines = append(a.Lines, line)
	}
	return nil
}

func askFor(l Line, t *topology.Turn) {
	t.AskAs("inventory.stock", skuKey(t, l.SKU), &reserveStock{
		ReservationID: l.Reservation, OrderKey: t.Cause.Key, Line: l.Line, SKU: l.SKU, Quantity: l.Quantity, Node: l.Node, ExpiresAt: t.Now.Add(holdFor),
	}, l.Reservation)
}

type secured struct {
	Outstanding int64 `avro:"outstanding"`
}

// onSecured reserves again what had expired before the money came through.
func onSecured(a *Allocation, e secured, t *topology.Turn) error {
	if e.Outstanding != 0 || !a.Expired || a.Cancelled || a.Planned {
		return topology.Drop("nothing to reserve again")
	}
	a.Expired = false
	for i := range a.Lines {
		if l := &a.Lines[i]; l.Status == Released {
			l.Status = Asked
			l.Reservation = fmt.Sprintf("%s/%d/%d", t.Cause.Envelope.Order, l.Line, a.Round)
			askFor(*l, t)
		}
	}
	return nil
}

type answered struct {
	ReservationID string `avro:"reservationId"`
	Node          string `avro:"node"`
	Granted       int32  `avro:"granted"`
}

func onAnswered(a *Allocation, e answered, t *topology.Turn) error {
	l := a.line(e.ReservationID)
	switch {
	case l == nil:
		return topology.Poison("no line has reservation %s", e.ReservationID)
	case l.Status == Consumed && e.Granted > 0: // asked for once more: nobody will come for these
		t.AskAs("inventory.stock", skuKey(t, l.SKU), &releaseStock{ReservationID: l.Reservation, SKU: l.SKU, Reason: "left"}, "left", t.Cause.Envelope.ID)
		return nil
	case l.Status == Consumed || l.Status == Gone && e.Granted == 0:
		return topology.Drop("the goods have left")
	case l.Status == Gone: // the stock had granted it when it heard that it left
		l.Status, l.Node = Consumed, e.Node
		tellConsumed(a.shipmentOf(l.Line), []Line{*l}, t)
		return nil
	case l.Status == Released:
		if e.Granted > 0 { // a grant that was in flight when the order was cancelled
			t.AskAs("inventory.stock", skuKey(t, l.SKU), &releaseStock{ReservationID: l.Reservation, SKU: l.SKU, Reason: "cancelled"}, "late", t.Cause.Envelope.ID)
		}
		return nil
	case e.Granted > 0:
		l.Status, l.Node = Reserved, e.Node
	default:
		if l.Status == Reserved { // taken back: news also of an order that waits already
			a.Told = ""
		}
		l.Status = Short
	}
	tell(a, t)
	consume(a, t)
	return nil
}

// tell publishes what has become true of the whole order.
func tell(a *Allocation, t *topology.Turn) {
	round := a.Round + 1
	switch a.verdict() {
	case allocatedTold:
		t.Publish(&inventoryAllocated{Round: round, Lines: facts(a.with(Reserved)), ExpiresAt: t.Now.Add(holdFor)}, fmt.Sprint(round))
		if !a.Planned {
			t.At(t.Now.Add(holdFor), "expire", "")
		}
	case backorderedTold:
		fact := &inventoryBackordered{Round: round}
		for _, l := range a.with(Short) {
			fact.Lines = append(fact.Lines, backorderedLine{l.Line, l.SKU, l.Quantity})
		}
		t.Publish(fact, fmt.Sprint(round))
	}
}

func facts(lines []Line) []allocatedLine {
	out := []allocatedLine{}
	for _, l := range lines {
		out = append(out, allocatedLine{l.Line, l.SKU, l.Quantity, l.Node, l.Reservation})
	}
	return out
}

type planned struct {
	ShipmentID string `avro:"shipmentId"`
}

func onPlanned(a *Allocation, _ planned, t *topology.Turn) error {
	a.Planned = true
	t.Disarm("expire", "")
	return nil
}

type dispatched struct {
	ShipmentID string `avro:"shipmentId"`
	Lines      []struct {
		Line int32 `avro:"line"`
	} `avro:"lines"`
}

func onDispatched(a *Allocation, e dispatched, t *topology.Turn) error {
	a.Planned = true
	t.Disarm("expire", "")
	for _, l := range e.Lines {
		if d := (Departure{l.Line, e.ShipmentID}); !slices.Contains(a.Left, d) {
			a.Left = append(a.Left, d)
		}
	}
	consume(a, t)
	return nil
}

// consume takes off what is reserved for goods that have left, and withdraws what
// waits for them.
func consume(a *Allocation, t *topology.Turn) {
	for _, shipment := range a.shipments() {
		lines := a.consumable(shipment)
		for _, l := range append(a.gone(shipment), lines...) {
			t.AskAs("inventory.stock", skuKey(t, l.SKU), &consumeStock{ReservationID: l.Reservation, SKU: l.SKU, Quantity: l.Quantity, ShipmentID: shipment}, l.Reservation)
		}
		if len(lines) > 0 {
			tellConsumed(shipment, lines, t)
		}
	}
}

func tellConsumed(shipment string, lines []Line, t *topology.Turn) {
	t.Publish(&reservationConsumed{ShipmentID: shipment, Lines: facts(lines)}, shipment, lines[0].Reservation)
}

type release struct {
	Reason string `avro:"reason"`
}

func onReleaseAll(a *Allocation, e release, t *topology.Turn) error {
	if a.Cancelled {
		return topology.Drop("released before")
	}
	a.Cancelled = true
	t.Disarm("expire", "")
	t.Publish(&reservationReleased{Reason: e.Reason, Lines: facts(giveBack(a, t, e.Reason))})
	return nil
}

// giveBack releases what is held or waits, and lists what was held.
func giveBack(a *Allocation, t *topology.Turn, reason string) []Line {
	held := a.move(Reserved, Released, every)
	waiting := append(a.move(Short, Released, every), a.move(Asked, Released, every)...)
	for _, l := range append(append([]Line(nil), held...), waiting...) {
		t.AskAs("inventory.stock", skuKey(t, l.SKU), &releaseStock{ReservationID: l.Reservation, SKU: l.SKU, Reason: reason}, l.Reservation)
	}
	return held
}

func onExpire(a *Allocation, t *topology.Turn) error {
	if a.Planned || a.Cancelled {
		return topology.Drop("the order is released or cancelled")
	}
	a.Expired, a.Told = true, ""
	t.Publish(&reservationExpired{Lines: facts(giveBack(a, t, "expired"))}, fmt.Sprint(a.Round))
	return nil
}
