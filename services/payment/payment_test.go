package payment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"troupe/schemas"
	"troupe/topology"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// history is an account with everything that it asked for and told.
type history struct {
	account Account
	policy  Policy
	facts   map[string]schemas.Message // by type and discriminator
	intents []topology.Intent
}

func newHistory(t interface{ Fatal(...any) }) *history {
	policy, err := DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	return &history{policy: policy, facts: map[string]schemas.Message{}}
}

func (h *history) step(t interface{ Fatalf(string, ...any) }, do func(*Account, *topology.Turn) error) {
	turn := &topology.Turn{Now: start, Cause: topology.Cause{Key: "acme/web-1"}}
	if err := do(&h.account, turn); topology.Dropped(err) {
		return
	} else if err != nil {
		t.Fatalf("%v in %+v", err, h.account)
	}
	for _, f := range turn.Outputs().Facts {
		id := fmt.Sprint(f.Type, f.Discriminator)
		if h.facts[id] != nil {
			t.Fatalf("%s was published twice", id)
		}
		h.facts[id] = f.Message
	}
	h.intents = append(h.intents, turn.Outputs().Intents...)
}

// answer plays the provider to one intent: it takes all that is left of a tender
// on its last capture.
func (h *history) answer(t interface{ Fatalf(string, ...any) }, i topology.Intent) {
	h.step(t, func(a *Account, turn *topology.Turn) error {
		switch r := i.Request.(type) {
		case openRequest:
			return onOpened(a, tenderOpened{Tender: r.Tender, Status: pending, Reference: fmt.Sprint("ref", r.Tender)}, turn)
		case captureRequest:
			took := r.Amount
			if r.Last {
				took += a.free(a.tender(r.Tender))
			}
			return onCaptured(a, captureAnswered{Tender: r.Tender, ShipmentID: r.ShipmentID, Status: captured, Capture: "c" + r.ShipmentID, Asked: r.Amount, Amount: took}, turn)
		case voidRequest:
			return onVoided(a, voidAnswered{Tender: r.Tender, Status: voided, Amount: a.held(a.tender(r.Tender))}, turn)
		case refundRequest:
			return onRefunded(a, refundAnswered{Tender: r.Tender, Status: refunded, Refund: "r", Amount: r.Amount}, turn)
		}
		return fmt.Errorf("an intent of type %T", i.Request)
	})
}

// TestConverges: whatever the order in which an order's inputs arrive and
// however often, the money ends in the same places.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := rapid.SliceOfN(rapid.SampledFrom([]string{"credit_card", "voucher", "boleto"}), 1, 3).Draw(t, "kinds")
		order := placed{Currency: "EUR"}
		var total int64
		for i, kind := range kinds {
			amount := rapid.Int64Range(0, 500).Draw(t, "amount")
			total += amount
			order.Tenders = append(order.Tenders, struct {
				Sequence int32  `avro:"sequence"`
				Kind     string `avro:"kind"`
				Amount   int64  `avro:"amount"`
			}{int32(i + 1), kind, amount})
		}
		shipped := rapid.Int64Range(0, total).Draw(t, "shipped")
		cancel := rapid.Bool().Draw(t, "cancel")

		run := func(shuffled bool) map[string]schemas.Message {
			h := newHistory(t)
			steps := []func(*Account, *topology.Turn) error{
				func(a *Account, turn *topology.Turn) error { return h.policy.onPlaced(a, order, turn) },
			}
			for i, kind := range kinds {
				status := authorised
				if kind == "boleto" {
					status = received
				}
				sequence, amount := int32(i+1), order.Tenders[i].Amount
				steps = append(steps, func(a *Account, turn *topology.Turn) error {
					return onSettled(a, settled{Tender: sequence, Status: status, Reference: fmt.Sprint("ref", sequence), Amount: amount}, turn)
				})
			}
			if shipped > 0 {
				steps = append(steps, func(a *Account, turn *topology.Turn) error {
					return onDispatched(a, dispatched{ShipmentID: "s1", Value: shipped, Currency: "EUR", Last: !cancel}, turn)
				})
			}
			if cancel {
				// FulfilmentStopped follows the dispatches on its topic.
				last := steps[len(steps)-1]
				steps[len(steps)-1] = func(a *Account, turn *topology.Turn) error {
					if err := last(a, turn); err != nil {
						return err
					}
					return onStopped(a, stopped{}, turn)
				}
				steps = append(steps, func(a *Account, turn *topology.Turn) error {
					return h.policy.onGiveBack(a, giveBack{Reason: "cancelled"}, turn)
				})
			}
			if shuffled {
				steps = rapid.Permutation(append(steps, steps...)).Draw(t, "steps")
			}
			for _, s := range steps {
				h.step(t, s)
			}
			for len(h.intents) > 0 {
				next := 0
				if shuffled {
					next = rapid.IntRange(0, len(h.intents)-1).Draw(t, "next")
				}
				i := h.intents[next]
				h.intents = slices.Delete(h.intents, next, next+1)
				h.answer(t, i)
			}
			checkMoney(t, h, shipped, total, cancel)
			return h.facts
		}
		straight, shuffled := run(false), run(true)
		for id := range straight {
			if shuffled[id] == nil && id != "PaymentPending[]" { // told only where the verdict was not quicker
				t.Fatalf("%s is missing when shuffled", id)
			}
		}
	})
}

func checkMoney(t *rapid.T, h *history, shipped, total int64, cancel bool) {
	var taken, back, voids int64
	for _, f := range h.facts {
		switch f := f.(type) {
		case *paymentCaptured:
			taken += f.Amount
		case *paymentReceived:
			taken += f.Amount
		case *paymentRefunded:
			back += f.Amount
		case *paymentVoided:
			voids += f.Amount
		}
	}
	if taken+voids != total && (cancel || shipped > 0) {
		t.Fatalf("of %d, %d was taken and %d voided: %+v", total, taken, voids, h.account)
	}
	if cancel && taken-back != shipped {
		t.Fatalf("goods for %d left, %d was kept: %+v", shipped, taken-back, h.account)
	}
}

// TestLastCaptureTakesWhatWasInDoubt: two shipments of one card. Nobody knows whether
// the first was captured, or it failed, and then the last capture takes all that is
// held: the first had not gone through, and is paid for now. What was taken is
// neither refused as impossible nor given back as too much.
func TestLastCaptureTakesWhatWasInDoubt(t *testing.T) {
	for _, first := range []string{unknown, failed} {
		h := newHistory(t)
		order := placed{Currency: "EUR"}
		order.Tenders = append(order.Tenders, struct {
			Sequence int32  `avro:"sequence"`
			Kind     string `avro:"kind"`
			Amount   int64  `avro:"amount"`
		}{1, "credit_card", 100})
		for _, step := range []func(*Account, *topology.Turn) error{
			func(a *Account, turn *topology.Turn) error { return h.policy.onPlaced(a, order, turn) },
			func(a *Account, turn *topology.Turn) error {
				return onSettled(a, settled{Tender: 1, Status: authorised, Reference: "hold", Amount: 100}, turn)
			},
			func(a *Account, turn *topology.Turn) error {
				return onDispatched(a, dispatched{ShipmentID: "s1", Value: 60, Currency: "EUR"}, turn)
			},
			func(a *Account, turn *topology.Turn) error {
				return onCaptured(a, captureAnswered{Tender: 1, ShipmentID: "s1", Status: first}, turn)
			},
			func(a *Account, turn *topology.Turn) error {
				return onDispatched(a, dispatched{ShipmentID: "s2", Value: 30, Currency: "EUR", Last: true}, turn)
			},
			func(a *Account, turn *topology.Turn) error {
				return onCaptured(a, captureAnswered{Tender: 1, ShipmentID: "s2", Status: captured, Capture: "c2", Amount: 100}, turn)
			},
			func(a *Account, turn *topology.Turn) error {
				return h.policy.onGiveBack(a, giveBack{Reason: "late"}, turn)
			},
		} {
			h.step(t, step)
		}
		var back []refundRequest
		for _, i := range h.intents {
			if r, ok := i.Request.(refundRequest); ok {
				back = append(back, r)
			}
		}
		if len(back) != 1 || back[0].Amount != 10 || back[0].Reference != "c2" {
			t.Errorf("first %s: goods for 90 left and 100 was taken: given back %+v, want 10 of c2", first, back)
		}
		if c := h.account.Captures[0]; c.State != covered {
			t.Errorf("first %s: it is %s now, want %s", first, c.State, covered)
		}
	}
}

func TestVoidOfNothingIsAnswered(t *testing.T) {
	h := newHistory(t)
	h.step(t, func(a *Account, turn *topology.Turn) error { return onStopped(a, stopped{}, turn) })
	h.step(t, func(a *Account, turn *topology.Turn) error { return h.policy.onGiveBack(a, giveBack{}, turn) })
	h.step(t, func(a *Account, turn *topology.Turn) error {
		return h.policy.onPlaced(a, placed{Currency: "EUR"}, turn)
	})
	if v, ok := h.facts["PaymentVoided[nothing]"].(*paymentVoided); !ok || v.Amount != 0 {
		t.Errorf("whoever asked is owed an answer: %v", h.facts)
	}
}

// TestUnnamedTender: the provider's word on a tender that the order does not name reaches a
// person, whichever comes first.
func TestUnnamedTender(t *testing.T) {
	h := newHistory(t)
	order := placed{Currency: "EUR"}
	order.Tenders = slices.Grow(order.Tenders, 1)[:1]
	order.Tenders[0].Sequence, order.Tenders[0].Kind, order.Tenders[0].Amount = 1, "credit_card", 100
	word := settled{Tender: 9, Status: authorised, Amount: 700, Reference: "r9"}
	if err := h.policy.onPlaced(&h.account, order, &topology.Turn{Now: start}); err != nil {
		t.Fatal(err)
	}
	if err := onSettled(&h.account, word, &topology.Turn{}); !topology.Poisoned(err) {
		t.Errorf("after the order: %v", err)
	}

	var a Account
	turn := topology.Turn{Now: start}
	if err := errors.Join(onSettled(&a, word, &topology.Turn{}), h.policy.onPlaced(&a, order, &turn)); err != nil {
		t.Fatal(err)
	}
	timers := turn.Outputs().Timers
	if len(timers) != 1 || timers[0].Name != unnamed || len(a.Tenders) != 1 {
		t.Fatalf("before the order: %+v, of %+v", timers, a)
	}
	err := onUnnamed(&a, &topology.Turn{Cause: topology.Cause{Discriminator: timers[0].Discriminator}})
	if !topology.Poisoned(err) || !strings.Contains(err.Error(), "9, AUTHORISED over 700, reference \"r9\"") {
		t.Errorf("before the order: %v", err)
	}
}

func TestWhatTheProviderCannotSayIsPoison(t *testing.T) {
	for _, words := range [][]settled{
		{{Tender: 1, Status: "MAYBE"}},
		{{Tender: 1, Status: authorised, Amount: -1}},
		{{Tender: 1, Status: authorised, Amount: 5}, {Tender: 1, Status: declined}},
		{{Tender: 1, Status: authorised, Amount: 5}, {Tender: 1, Status: authorised, Amount: 6}},
	} {
		var a Account
		var err error
		for _, w := range words {
			err = onSettled(&a, w, &topology.Turn{})
		}
		if !topology.Poisoned(err) {
			t.Errorf("%+v: %v", words, err)
		}
	}
}
