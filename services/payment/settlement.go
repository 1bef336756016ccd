package payment

import (
	"fmt"
	"slices"
)

// dispatched writes down goods that have left; it reports whether that is news.
func (a *Account) dispatched(id string, value int64, last bool) (news bool, err error) {
	if value < 0 {
		return false, fmt.Errorf("shipment %s is worth %d", id, value)
	}
	if slices.ContainsFunc(a.Shipments, func(s Shipment) bool { return s.ID == id }) {
		return false, nil
	}
	a.Shipments = append(a.Shipments, Shipment{ID: id, Value: value, Last: last})
	return true, nil
}

// allot shares out what each shipment costs over the tenders, once all of them
// have an answer: before that, nobody can say which of them pays. What is not
// covered is left to reconciliation, which names it.
func (a *Account) allot() {
	if !a.decided() {
		return
	}
	for i := range a.Shipments {
		s := &a.Shipments[i]
		if s.Allotted {
			continue
		}
		s.Allotted = true
		need := s.Value
		for j := range a.Tenders {
			t := &a.Tenders[j]
			part := min(need, a.free(t))
			if part <= 0 {
				continue
			}
			need -= part
			state := due
			if t.Status == received {
				state = allotted
			}
			a.Captures = append(a.Captures, Capture{Tender: t.Sequence, Shipment: s.ID, Asked: part, Last: s.Last, State: state})
		}
	}
}

// decided is true once the order is known and every tender has its final answer.
func (a *Account) decided() bool {
	return a.Placed && !slices.ContainsFunc(a.Tenders, func(t Tender) bool { return !t.decided() })
}

// capturable marks and returns the captures to be asked for now: of each tender
// the first that is due, if no other is under way. The order's last is the last
// of its tender, since shipments are allotted in the order in which they left.
func (a *Account) capturable() (ask []Capture) {
	busy := map[int32]bool{}
	for _, c := range a.Captures {
		if c.State == asked {
			busy[c.Tender] = true
		}
	}
	for i := range a.Captures {
		c := &a.Captures[i]
		if c.State != due || busy[c.Tender] {
			continue
		}
		c.State, busy[c.Tender] = asked, true
		ask = append(ask, *c)
	}
	return ask
}

// took takes the provider's answer to a capture; nil if none is under way. The
// provider may take more than asked, up to what is left of the tender. A capture of
// which nobody knew was not taken where the answer says that its money was left.
func (a *Account) took(sequence int32, shipment, state, reference string, amount int64) (*Capture, error) {
	i := slices.IndexFunc(a.Captures, func(c Capture) bool {
		return c.Tender == sequence && c.Shipment == shipment && c.State == asked
	})
	t := a.tender(sequence)
	if i < 0 || t == nil {
		return nil, nil
	}
	c := &a.Captures[i]
	switch state {
	case captured:
		left := a.free(t) + c.Asked
		if doubt := a.inState(t, unknown); amount < 0 || amount > left+doubt {
			return nil, fmt.Errorf("the provider says that it took %d of tender %d, of which %d was left, and %d in doubt", amount, sequence, left, doubt)
		}
		c.Amount, c.Reference = amount, reference
		t.Closed = c.Last
		a.cover(t, amount-c.Asked, amount-left)
	case failed, unknown:
	default:
		return nil, fmt.Errorf("state %q of a capture is none of CAPTURED, FAILED, UNKNOWN", state)
	}
	c.State = state
	return c, nil
}

// cover notes which captures that had not gone through were made up for by one that
// took more than it was asked for: over in all, of it beyond in money that was in doubt.
func (a *Account) cover(t *Tender, over, beyond int64) {
	for i := range a.Captures {
		c := &a.Captures[i]
		failedBefore := c.State == failed && c.Asked <= over
		if c.Tender != t.Sequence || !failedBefore && (c.State != unknown || beyond <= 0) {
			continue
		}
		if c.State == unknown {
			beyond -= c.Asked
		}
		over -= c.Asked
		c.State = covered
	}
}

// inState is what the captures of a tender in that state were to take.
func (a *Account) inState(t *Tender, state string) (sum int64) {
	for _, c := range a.Captures {
		if c.Tender == t.Sequence && c.State == state {
			sum += c.Asked
		}
	}
	return sum
}

// finished is true once the order's last shipment has left.
func (a *Account) finished() bool {
	return slices.ContainsFunc(a.Shipments, func(s Shipment) bool { return s.Last })
}

// returnable is true when what pays for nothing may go back: all that has left
// has its share, and it is known that nothing else will leave.
func (a *Account) returnable() bool {
	return (a.Stopped || a.finished()) && !slices.ContainsFunc(a.Shipments, func(s Shipment) bool { return !s.Allotted })
}

// voidable marks and returns the holds to be given back now: when asked to, and
// without being asked once the order's last shipment has left. A hold of which a
// capture failed or is unknown stays: a person may yet collect what is owed.
func (a *Account) voidable() (ask []Tender) {
	if !a.returnable() || !a.GiveBack && !a.finished() {
		return nil
	}
	for i := range a.Tenders {
		t := &a.Tenders[i]
		if t.Status != authorised || a.free(t) == 0 || a.unsettled(t) {
			continue
		}
		t.Void = asked
		ask = append(ask, *t)
	}
	return ask
}

// unsettled is true while a capture of the tender is not done.
func (a *Account) unsettled(t *Tender) bool {
	return slices.ContainsFunc(a.Captures, func(c Capture) bool {
		return c.Tender == t.Sequence && c.State != captured && c.State != covered && c.State != allotted
	})
}

// gaveHold takes the provider's answer to a void; nil if none is under way.
func (a *Account) gaveHold(sequence int32, state string) (*Tender, error) {
	t := a.tender(sequence)
	if t == nil || t.Void != asked {
		return nil, nil
	}
	if state != voided && state != failed && state != unknown {
		return nil, fmt.Errorf("state %q of a void is none of VOIDED, FAILED, UNKNOWN", state)
	}
	t.Void = state
	return t, nil
}

// held is what is left of a hold, whatever is being done with it.
func (a *Account) held(t *Tender) int64 { return t.Secured - a.used(t) }

// refundable marks and returns the refunds to be asked for now: what came in, or
// was taken beyond what was asked, and pays for nothing. One at a time a tender,
// so that an answer names its refund; after a failure a person goes on.
func (a *Account) refundable() (ask []Refund) {
	if !a.GiveBack || !a.returnable() {
		return nil
	}
	for i := range a.Tenders {
		t := &a.Tenders[i]
		if slices.ContainsFunc(a.Refunds, func(r Refund) bool { return r.Tender == t.Sequence && r.State != refunded }) {
			continue
		}
		if of, amount := a.surplus(t); amount > 0 {
			r := Refund{Tender: t.Sequence, Of: of, Amount: amount, State: asked}
			a.Refunds = append(a.Refunds, r)
			ask = append(ask, r)
		}
	}
	return ask
}

// surplus is money in hand that pays for nothing, and the receipt or capture by
// which it came.
func (a *Account) surplus(t *Tender) (of string, amount int64) {
	if t.Status == received {
		return t.Reference, a.free(t)
	}
	for _, c := range a.Captures {
		back := slices.ContainsFunc(a.Refunds, func(r Refund) bool { return r.Tender == t.Sequence && r.Of == c.Reference })
		over := c.Amount - c.Asked - a.inState(t, covered)
		if c.Tender == t.Sequence && c.State == captured && over > 0 && !back {
			return c.Reference, over
		}
	}
	return "", 0
}

// gaveMoney takes the provider's answer to a refund; nil if none is under way.
func (a *Account) gaveMoney(sequence int32, state, reference string, amount int64) (*Refund, error) {
	i := slices.IndexFunc(a.Refunds, func(r Refund) bool { return r.Tender == sequence && r.State == asked })
	if i < 0 {
		return nil, nil
	}
	r := &a.Refunds[i]
	switch state {
	case refunded:
		if amount != r.Amount {
			return nil, fmt.Errorf("the provider was asked to give back %d and says that it gave %d", r.Amount, amount)
		}
		r.Reference = reference
	case failed, unknown:
	default:
		return nil, fmt.Errorf("state %q of a refund is none of REFUNDED, FAILED, UNKNOWN", state)
	}
	r.State = state
	return r, nil
}

// nothingToReturn reports, once, that giving back was asked for and there was
// nothing to give: whoever asked is owed that answer too.
func (a *Account) nothingToReturn() bool {
	if a.NothingTold || !a.GiveBack || !a.returnable() || !a.decided() || len(a.Refunds) > 0 {
		return false
	}
	for i := range a.Tenders {
		if t := &a.Tenders[i]; t.Void != "" || a.free(t) > 0 || a.unsettled(t) {
			return false
		}
	}
	a.NothingTold = true
	return true
}
