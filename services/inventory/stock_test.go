package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"troupe/schemas"
	"troupe/topology"
)

// TestStockLedger: whatever is asked for in whatever order, nothing is promised
// that is not there, and what is reserved is the sum of what is held.
func TestStockLedger(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s Stock
		nodes := []string{"a", "b"}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			id := fmt.Sprint(rapid.IntRange(0, 9).Draw(rt, "reservation"))
			node := rapid.SampledFrom(nodes).Draw(rt, "node")
			switch rapid.SampledFrom([]string{"reserve", "reserve", "release", "consume", "count"}).Draw(rt, "do") {
			case "reserve":
				r := Reservation{ID: id, Quantity: rapid.Int32Range(1, 5).Draw(rt, "quantity")}
				if rapid.Bool().Draw(rt, "named") {
					r.Node = node
				}
				first, granted, _ := s.reserve(r)
				again, still, known := s.reserve(r)
				if !known || still != granted || again != first {
					rt.Fatalf("asked twice: %+v %v, then %+v %v", first, granted, again, still)
				}
			case "release":
				s.release(id)
				s.serve()
			case "consume":
				s.consume(id)
			case "count":
				s.count(node, rapid.Int32Range(0, 20).Draw(rt, "on hand"))
				s.serve()
			}
			s.sorted()
			sums := map[string]int32{}
			for _, r := range s.Held {
				sums[r.Node] += r.Quantity
			}
			for _, n := range s.Nodes {
				if n.OnHand < 0 || n.Reserved < 0 || n.Reserved > n.OnHand || n.Reserved != sums[n.Name] {
					rt.Fatalf("node %+v holds %d", n, sums[n.Name])
				}
			}
			if s.available() < 0 {
				rt.Fatalf("%d available", s.available())
			}
			for _, r := range s.Held {
				if find(s.Waiting, r.ID) >= 0 {
					rt.Fatalf("%s is held and waits", r.ID)
				}
			}
		}
	})
}

// TestYoungestGivesWay: a count below what is promised takes it from those who
// came last.
func TestYoungestGivesWay(t *testing.T) {
	var s Stock
	s.count("a", 10)
	for i := range 3 {
		s.reserve(Reservation{ID: fmt.Sprint(i), Quantity: 3})
	}
	lost := s.count("a", 5)
	if len(lost) != 2 || lost[0].ID != "2" || lost[1].ID != "1" {
		t.Errorf("lost %+v, want the two youngest", lost)
	}
	s.count("a", 9)
	if granted := s.serve(); len(granted) != 2 || granted[0].ID != "2" {
		t.Errorf("granted %+v", granted)
	}
}

// TestGoodsLeaveThatACountTookBack: an old count comes late and takes back what was
// promised and is on its way out. The goods leave; nobody waits for them any more,
// and the next delivery is for others.
func TestGoodsLeaveThatACountTookBack(t *testing.T) {
	left := dispatched{ShipmentID: "S1"}
	left.Lines = append(left.Lines, struct {
		Line int32 `avro:"line"`
	}{1})
	for name, grantedBetween := range map[string]bool{"nothing comes": false, "a grant crosses the word of the departure": true} {
		var s Stock
		s.count("n", 2)
		s.reserve(Reservation{ID: "web-1/1", Node: "n", Quantity: 2, Order: "acme/web-1", Line: 1})
		s.count("n", 0)
		a := Allocation{Planned: true, Told: backorderedTold, Lines: []Line{{Line: 1, SKU: "s", Quantity: 2, Reservation: "web-1/1", Status: Short}}}
		turn := topology.Turn{Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}, Now: time.Unix(0, 0)}
		if err := onDispatched(&a, left, &turn); err != nil {
			t.Fatal(err)
		}
		asked := turn.Outputs().Requests
		if len(asked) != 1 || asked[0].Type != "ConsumeStock" || a.Lines[0].Status != Gone || len(turn.Outputs().Facts) != 0 {
			t.Fatalf("%s: asked for %+v, told %+v, the line is %s", name, asked, turn.Outputs().Facts, a.Lines[0].Status)
		}
		onHand, status := int32(2), Gone
		if grantedBetween {
			onHand, status = 0, Consumed
			s.count("n", 2)
			s.serve()
			if err := onAnswered(&a, answered{ReservationID: "web-1/1", Node: "n", Granted: 2}, &turn); err != nil {
				t.Fatal(err)
			}
		}
		if !s.consume("web-1/1") {
			t.Errorf("%s: the stock knows nothing of the reservation", name)
		}
		if !grantedBetween {
			s.count("n", 2)
		}
		if n := s.node("n"); len(s.serve()) != 0 || n.OnHand != onHand || n.Reserved != 0 || a.Lines[0].Status != status {
			t.Errorf("%s: the stock is %+v and the line %s, want %d free and %s", name, *n, a.Lines[0].Status, onHand, status)
		}
	}
}

// TestAnswerIsOfItsOwnFlow: two orders wait for a SKU, and a delivery serves both.
// What is said of each carries its own flow, or the process manager books one
// order's goods to the other.
func TestAnswerIsOfItsOwnFlow(t *testing.T) {
	var s Stock
	for _, order := range []string{"web-1", "web-2"} {
		turn := topology.Turn{Cause: topology.Cause{Key: "acme/s", Envelope: schemas.Envelope{Tenant: "acme", Order: order, CorrelationID: "flow of " + order}}}
		if err := onReserve(&s, reserve{ReservationID: order + "/1", OrderKey: "acme/" + order, Line: 1, SKU: "s", Quantity: 1, Node: "n"}, &turn); err != nil {
			t.Fatal(err)
		}
	}
	turn := topology.Turn{Cause: topology.Cause{Key: "acme/s", Envelope: schemas.Envelope{ID: "delivery", Tenant: "acme"}}}
	if err := onAdjust(&s, adjust{SKU: "s", Node: "n", Quantity: 2, Mode: "ADD"}, &turn); err != nil {
		t.Fatal(err)
	}
	var said []schemas.Envelope
	for _, f := range turn.Outputs().Facts[1:] {
		said = append(said, *f.Message.Head())
	}
	for _, q := range turn.Outputs().Requests {
		said = append(said, *q.Message.Head())
	}
	if len(said) != 4 {
		t.Fatalf("said %+v, want that two are reserved, to the world and to each order", said)
	}
	for _, e := range said {
		if e.Order == "" || e.CorrelationID != "flow of "+e.Order {
			t.Errorf("of %q it is said with correlation %q", e.Order, e.CorrelationID)
		}
	}
}

// TestEachLineTakenBackIsTold: an order of which one line waits is told of the next.
func TestEachLineTakenBackIsTold(t *testing.T) {
	a := Allocation{Told: allocatedTold, Round: 1, Lines: []Line{
		{Line: 1, SKU: "s", Quantity: 1, Reservation: "web-1/1", Status: Reserved}, {Line: 2, SKU: "s", Quantity: 1, Reservation: "web-1/2", Status: Reserved},
	}}
	turn := topology.Turn{Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}, Now: time.Unix(0, 0)}
	for _, l := range a.Lines {
		if err := onAnswered(&a, answered{ReservationID: l.Reservation}, &turn); err != nil {
			t.Fatal(err)
		}
	}
	facts := turn.Outputs().Facts
	if len(facts) != 2 {
		t.Fatalf("told %+v, want a backorder of each", facts)
	}
	if last, ok := facts[1].Message.(*inventoryBackordered); !ok || len(last.Lines) != 2 || last.Round != 3 {
		t.Errorf("told last %+v, want both lines in round 3", facts[1].Message)
	}
}

// TestGoodsLeaveBeforeTheyAreReserved: a dispatch that overtakes the order, or
// the answer of the stock, is consumed from what is granted later, and no
// reservation is left to expire.
func TestGoodsLeaveBeforeTheyAreReserved(t *testing.T) {
	order := placed{}
	order.Lines = append(order.Lines, struct {
		Line     int32  `avro:"line"`
		SKU      string `avro:"sku"`
		Quantity int32  `avro:"quantity"`
		Node     string `avro:"node"`
	}{1, "s", 1, "n"})
	left := dispatched{ShipmentID: "S1"}
	left.Lines = append(left.Lines, struct {
		Line int32 `avro:"line"`
	}{1})
	for name, dispatchFirst := range map[string]bool{"before the order": true, "before the answer": false} {
		var a Allocation
		turn := topology.Turn{Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}, Now: time.Unix(0, 0)}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if dispatchFirst {
			must(onDispatched(&a, left, &turn))
			must(onPlaced(&a, order, &turn))
		} else {
			must(onPlaced(&a, order, &turn))
			must(onDispatched(&a, left, &turn))
		}
		must(onAnswered(&a, answered{ReservationID: "web-1/1", Node: "n", Granted: 1}, &turn))
		var facts []string
		for _, f := range turn.Outputs().Facts {
			facts = append(facts, f.Type)
		}
		if got := strings.Join(facts, " "); got != "InventoryAllocated ReservationConsumed" {
			t.Errorf("%s: %s", name, got)
		}
		armed := false
		for _, timer := range turn.Outputs().Timers {
			armed = !timer.At.IsZero()
		}
		if armed || a.Lines[0].Status != Consumed {
			t.Errorf("%s: the line is %s, its expiry armed: %v", name, a.Lines[0].Status, armed)
		}
	}
}

// TestStockOfBefore: a row that was written before reservations kept their flow is
// read, with none.
func TestStockOfBefore(t *testing.T) {
	type today = Reservation
	type Reservation struct { // its name is part of the schema
		ID       string `avro:"id"`
		Node     string `avro:"node"`
		Quantity int32  `avro:"quantity"`
		Order    string `avro:"order"`
		Line     int32  `avro:"line"`
		Round    int32  `avro:"round"`
	}
	type stock struct {
		Nodes   []Node        `avro:"nodes"`
		Held    []Reservation `avro:"held"`
		Waiting []Reservation `avro:"waiting"`
	}
	before, err := schemas.NewState[stock]("inventory.stock")
	if err != nil {
		t.Fatal(err)
	}
	b, err := before.Append(nil, &stock{
		Nodes: []Node{{"north", 5, 2}}, Held: []Reservation{{"r1", "north", 2, "acme/web-1", 1, 0}}, Waiting: []Reservation{{"r2", "", 9, "acme/web-2", 3, 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range Service().Sets {
		if set.Name != "stock" {
			continue
		}
		codec, err := set.Row.Bind(set.Row.Older...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Decode(b)
		want := &Stock{
			Nodes:   []Node{{"north", 5, 2}},
			Held:    []today{{ID: "r1", Node: "north", Quantity: 2, Order: "acme/web-1", Line: 1}},
			Waiting: []today{{ID: "r2", Quantity: 9, Order: "acme/web-2", Line: 3, Round: 1}},
			Changes: []Change{},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("read as %+v, %v, want %+v", got, err, want)
		}
		return
	}
	t.Error("inventory has no set of SKUs")
}

// TestRepeatedDelivery: however long ago a delivery was taken in, and however much came
// since, it does not count twice: a repeat is known, or refused because nobody can say.
func TestRepeatedDelivery(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s Stock
		step := rapid.SampledFrom([]int64{1, 60_000, 3_600_000, 36_000_000}).Draw(rt, "a step of ms")
		taken := map[Change]bool{}
		var told []Change
		for n := range rapid.IntRange(1, 300).Draw(rt, "deliveries") {
			c := Change{fmt.Sprint("lorry", n), 1_700_000_000_000 + step*(int64(n)+rapid.Int64Range(-3, 3).Draw(rt, "late"))}
			if len(told) > 0 && rapid.IntRange(0, 3).Draw(rt, "again") == 0 {
				c = told[rapid.IntRange(0, len(told)-1).Draw(rt, "which")]
			}
			told = append(told, c)
			known, uncertain := s.took(c)
			switch {
			case !known && !uncertain && taken[c]:
				rt.Fatalf("%v counts twice", c)
			case known && !taken[c]:
				rt.Fatalf("%v is taken for a repeat", c)
			case !known && !uncertain:
				taken[c] = true
			}
			if len(s.Changes) > maxChanges || !slices.IsSortedFunc(s.Changes, func(a, b Change) int { return cmp.Compare(a.At, b.At) }) {
				rt.Fatalf("%d changes, %v", len(s.Changes), s.Changes)
			}
		}
	})
}

// TestRepeatedRemoval: a repeat that would leave less than nothing is a repeat all the same.
func TestRepeatedRemoval(t *testing.T) {
	var s Stock
	adjusted := func(id string, quantity int32, mode string) error {
		turn := topology.Turn{Now: time.UnixMilli(1), Cause: topology.Cause{Envelope: schemas.Envelope{ID: id}}}
		return onAdjust(&s, adjust{SKU: "s", Node: "n", Quantity: quantity, Mode: mode}, &turn)
	}
	if err := errors.Join(adjusted("1", 5, "SET"), adjusted("2", -5, "ADD")); err != nil {
		t.Fatal(err)
	}
	if err := adjusted("2", -5, "ADD"); !topology.Dropped(err) {
		t.Errorf("the repeat: %v", err)
	}
}

// TestClocksAhead: adjustments of a warehouse whose clock is a year ahead make none of today
// uncertain, nor those of one report.
func TestClocksAhead(t *testing.T) {
	var s Stock
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 2 * changesKept {
		s.took(Change{fmt.Sprint("ahead", n), now.AddDate(1, 0, 0).UnixMilli()})
	}
	for n := range 300 {
		if _, uncertain := s.took(Change{fmt.Sprint(n), now.Add(time.Duration(n/3) * time.Minute).UnixMilli()}); uncertain {
			t.Fatalf("adjustment %d is uncertain", n)
		}
	}
}

// TestOneBadClock: an adjustment of the far future makes none of today uncertain.
func TestOneBadClock(t *testing.T) {
	var s Stock
	day := time.Hour.Milliseconds() * 24
	s.took(Change{"of 2099", 100_000 * day})
	for n := range int64(3 * maxChanges) {
		if known, uncertain := s.took(Change{fmt.Sprint(n), n * day / 10}); known || uncertain {
			t.Fatalf("of day %d: known %v, uncertain %v", n/10, known, uncertain)
		}
	}
	if _, uncertain := s.took(Change{"late", day}); !uncertain {
		t.Error("what is older than what is forgotten is taken in")
	}
}

// TestFullSKU: a row holds so many reservations and no more: the next is refused in words,
// and what is open stays known.
func TestFullSKU(t *testing.T) {
	var s Stock
	ask := func(n int) error {
		turn := topology.Turn{Cause: topology.Cause{Key: "acme/s", Envelope: schemas.Envelope{ID: fmt.Sprint(n), Tenant: "acme", CorrelationID: schemas.FactID("flow", fmt.Sprint(n))}}}
		return onReserve(&s, reserve{ReservationID: fmt.Sprintf("marketplace-%012d/1", n), OrderKey: fmt.Sprintf("acme/marketplace-%012d", n), Line: 1, SKU: "s", Quantity: 1}, &turn)
	}
	for n := range maxOpen {
		if err := ask(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(maxOpen); !topology.Poisoned(err) || !strings.Contains(err.Error(), "4000 reservations of s are open") {
		t.Errorf("one more: %v", err)
	}
	if err := ask(7); !topology.Dropped(err) {
		t.Errorf("a repeat: %v", err)
	}
	codec, err := schemas.NewState[Stock]("inventory.stock")
	if err != nil {
		t.Fatal(err)
	}
	if row, err := codec.Append(nil, &s); err != nil || len(row) > 700<<10 {
		t.Errorf("the row is %d bytes, %v: record-bytes is 900 KiB", len(row), err)
	}
}

// TestFullSKUOfLongNames: the row stays one that a record has room for, whatever orders are called.
func TestFullSKUOfLongNames(t *testing.T) {
	var s Stock
	long := strings.Repeat("x", 1<<10)
	err := error(nil)
	for n := 0; err == nil; n++ {
		turn := topology.Turn{Cause: topology.Cause{Key: "acme/s", Envelope: schemas.Envelope{ID: fmt.Sprint(n), Tenant: "acme", CorrelationID: long}}}
		err = onReserve(&s, reserve{ReservationID: fmt.Sprint(n, long), OrderKey: long, Line: 1, SKU: "s", Quantity: 1}, &turn)
	}
	if !topology.Poisoned(err) || len(s.Waiting) < 100 {
		t.Errorf("after %d: %v", len(s.Waiting), err)
	}
	codec, err := schemas.NewState[Stock]("inventory.stock")
	if err != nil {
		t.Fatal(err)
	}
	if row, err := codec.Append(nil, &s); err != nil || len(row) > 700<<10 {
		t.Errorf("the row is %d bytes, %v: record-bytes is 900 KiB", len(row), err)
	}
}

// TestGrantForWhatHasLeft: a reservation that the stock has forgotten is asked for once more.
// What it grants is given back.
func TestGrantForWhatHasLeft(t *testing.T) {
	a := Allocation{Lines: []Line{{Line: 1, SKU: "s", Quantity: 1, Reservation: "web-1/1", Status: Consumed}}}
	turn := topology.Turn{Cause: topology.Cause{Key: "acme/web-1", Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}}
	if err := onAnswered(&a, answered{ReservationID: "web-1/1", Node: "n", Granted: 1}, &turn); err != nil {
		t.Fatal(err)
	}
	if asked := turn.Outputs().Requests; len(asked) != 1 || asked[0].Type != "ReleaseStock" || asked[0].Key != "acme/s" {
		t.Errorf("asked for %+v", asked)
	}
}
