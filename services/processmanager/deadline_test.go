package processmanager

import (
	"strings"
	"testing"
	"time"

	"troupe/topology"
)

func overdue(h *history, id string) *obligationOverdue {
	return told[obligationOverdue](h, "ObligationOverdue "+id)
}

func met(h *history, id string) *obligationMet { return told[obligationMet](h, "ObligationMet "+id) }

func TestOverdueOnce(t *testing.T) {
	h := newHistory(t, shipped(t)).live(placed)
	h.until(start.Add(5*time.Minute - time.Nanosecond))
	h.now = start.Add(5 * time.Minute)
	h.read(cleared) // at its very deadline, before the timer
	if err := h.fire("deadline fraud-answer/"); !topology.Dropped(err) || len(h.told) > 1 {
		t.Fatalf("too early: %v, %v", err, h.told)
	}
	h.until(h.now)
	o := overdue(h, "payment-answer  orders/0")
	if o == nil || o.Event != "PaymentAuthorized" || len(o.Events) != 4 || o.Owner != "payment" || o.CauseID != "orders/0" ||
		o.CauseType != "OrderPlaced" || !o.DueAt.Equal(h.now) || o.Clock != responseClock || o.NextAction == "" {
		t.Fatalf("it says %+v", o)
	}
	facts := len(h.told)
	if err := h.fire("deadline payment-answer/"); !topology.Dropped(err) || len(h.told) != facts {
		t.Errorf("the second time it says %v, %v", err, h.told)
	}
	h.until(start.Add(15 * time.Minute))
	h.read(pending, restocked, authorised)
	if m := met(h, "payment-answer  orders/0"); m == nil || m.MetBy != "PaymentPending" || m.Owner != "payment" || !m.DueAt.Equal(o.DueAt) {
		t.Errorf("what was overdue was met: %+v", m)
	}
	if overdue(h, "allocation  orders/0") == nil || h.owes("allocation/") || met(h, "allocation  orders/0") != nil {
		t.Errorf("what is void was not met: %v, %v", h.owed(), h.told)
	}
	if h.owes("payment-verdict-prepaid/") || met(h, "payment-verdict-prepaid  payments/0") != nil {
		t.Errorf("what was met in time is no news: %v", h.told)
	}
}

func TestClosedFlowRaisesNothing(t *testing.T) {
	d := shipped(t)
	for _, s := range scripts() {
		if s.outcome == "" {
			continue
		}
		h := newHistory(t, d).live(s.events...)
		facts := len(h.told)
		for _, r := range d.Obligations {
			if err := h.fire("deadline " + r.Name + "/"); !topology.Dropped(err) {
				t.Errorf("%s: %s after the end: %v", s.name, r.Name, err)
			}
		}
		h.read(held, pending, backorder, dispatch("s9", true, nil), placed)
		if h.until(start.AddDate(1, 0, 0)); len(h.told) != facts || len(h.owed()) > 0 || h.flow.Phase != s.outcome {
			t.Errorf("%s: after the end it is %s, owes %v and tells %v", s.name, h.flow.Phase, h.owed(), h.told)
		}
	}
}

// TestOwnerBehind: what its owner has not read is not late. One incident says
// so, for however many flows; the time runs anew from when it has read.
func TestOwnerBehind(t *testing.T) {
	h := newHistory(t, shipped(t))
	seen := func(offset int64) int {
		return h.look("OwnerPosition", position{Owner: "payment", Topic: "orders", Offset: offset, AsOf: h.now})
	}
	waits := func(offset int64) int {
		return h.look("OwnerAwaited", awaited{Owner: "payment", Topic: "orders", Offset: offset, Since: start})
	}
	h.next["orders"] = 10
	seen(3)
	h.read(placed, cleared, allocated)
	h.until(start.Add(9*time.Minute + 30*time.Second))
	ask := told[ownerAwaited](h, "OwnerAwaited payment-answer  orders/10")
	if ask == nil || ask.Owner != "payment" || ask.Topic != "orders" || ask.Offset != 10 || !ask.Since.Equal(start) || h.asks != 1 {
		t.Fatalf("it is awaited once: %v, %d", h.told, h.asks)
	}
	if overdue(h, "payment-answer  orders/10") != nil || !h.flow.Ledger.find("payment-answer", "").Waits {
		t.Fatalf("it does not wait: %+v", h.flow.Ledger)
	}
	if waits(10) != 1 || told[ownerBehind](h, "OwnerBehind payment orders 7 10") == nil || waits(12) != 0 || waits(11) != 0 {
		t.Errorf("the first who waits opens the incident, and no other: %v", h.told)
	}
	if r := h.beside.reader("payment", "orders"); r.Flows != 3 || r.Until != 12 {
		t.Errorf("three wait, up to 12: %+v", r)
	}

	if seen(11) != 0 || seen(12) != 0 {
		t.Errorf("past this flow's cause, not past all: %v", h.told)
	}
	read := h.now
	h.until(read.Add(5*time.Minute - time.Nanosecond))
	if o := h.flow.Ledger.find("payment-answer", ""); o.Waits || o.Overdue || !o.Due.Equal(read.Add(5*time.Minute)) {
		t.Errorf("its time runs from %s: %+v", read, o)
	}
	h.until(read.Add(5 * time.Minute))
	if o := overdue(h, "payment-answer  orders/10"); o == nil || !o.DueAt.Equal(h.now) || o.OwnerLag != 0 {
		t.Errorf("now it is late: %+v", o)
	}
	if seen(13) != 1 || told[ownerCaughtUp](h, "OwnerCaughtUp payment orders 7 13") == nil || seen(20) != 0 || waits(16) != 0 {
		t.Errorf("it has caught up, once, and who asks too late hears nothing: %v", h.told)
	}
	if waits(30) != 1 {
		t.Errorf("a second incident is told too: %v", h.told)
	}
}

// TestLateLook: the position is seen long after it was taken, and by then the
// owner's time is over. It is due when it was due, not when this was found out.
func TestLateLook(t *testing.T) {
	h := newHistory(t, shipped(t))
	h.look("OwnerPosition", position{Owner: "payment", Topic: "orders", Offset: 0, AsOf: start})
	h.read(placed)
	h.until(start.Add(20 * time.Minute))
	h.look("OwnerPosition", position{Owner: "payment", Topic: "orders", Offset: 1, AsOf: start.Add(6 * time.Minute)})
	h.until(start.Add(22 * time.Minute))
	if o := overdue(h, "payment-answer  orders/0"); o == nil || !o.DueAt.Equal(start.Add(11*time.Minute)) {
		t.Errorf("it was due at 9:11: %+v", o)
	}
}

func TestPromiseNeverWaits(t *testing.T) {
	h := newHistory(t, shipped(t))
	h.look("OwnerPosition", position{Owner: "shipment", Topic: "shipments", Offset: 0, AsOf: start})
	h.read(placed, planned) // ship by Thursday, 09:00
	h.until(start.AddDate(0, 0, 3))
	o := overdue(h, "picking s1 shipments/0")
	if o == nil || !o.DueAt.Equal(h.now.Add(-4*time.Hour)) || o.Clock != promiseClock || o.Subject != "s1" || o.OwnerLag != 1 {
		t.Errorf("a promise is late whoever has read what: %+v", o)
	}
}

func TestOrphan(t *testing.T) {
	h := newHistory(t, shipped(t)).live(cleared)
	if want := start.Add(orphanPatience); !h.timers["orphan "].Equal(want) || len(h.told) > 0 {
		t.Fatalf("it waits till %s and tells %v", h.timers["orphan "], h.told)
	}
	err := h.fire("orphan ")
	if err == nil || topology.Dropped(err) || !strings.Contains(err.Error(), "whose order nobody has placed") {
		t.Errorf("an orphan is an exception: %v", err)
	}
	h.timers["orphan "] = h.now // a failed turn leaves all as it was
	h.read(placed)              // disarms it, which the history checks
	if err := h.fire("orphan "); !topology.Dropped(err) || told[flowStarted](h, "FlowStarted") == nil || !h.flow.Cleared {
		t.Errorf("the order has come, and what came before it counts: %v, %+v", err, h.flow)
	}
}
