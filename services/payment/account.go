package payment

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Account is the money of one order. Amounts are minor units of its currency.
type Account struct {
	Placed   bool   `avro:"placed"`
	Currency string `avro:"currency"`
	Prepaid  bool   `avro:"prepaid"` // a tender is paid first

	Tenders   []Tender   `avro:"tenders"` // in the order in which they pay, once placed
	Shipments []Shipment `avro:"shipments"`
	Captures  []Capture  `avro:"captures"`
	Refunds   []Refund   `avro:"refunds"`

	PendingTold bool   `avro:"pendingTold"`
	GiveBack    bool   `avro:"giveBack"` // somebody asked for what pays for nothing
	Reason      string `avro:"reason"`   // theirs
	Stopped     bool   `avro:"stopped"`  // nothing more will leave, or the wait for that word is over
	NothingTold bool   `avro:"nothingTold"`
}

// Tender is one means of payment: a hold on a card, or money that came in.
type Tender struct {
	Sequence  int32     `avro:"sequence"`
	Kind      string    `avro:"kind"`
	First     bool      `avro:"first"` // pays before those that are not
	Amount    int64     `avro:"amount"`
	Status    string    `avro:"status"`
	Reference string    `avro:"reference"`
	Secured   int64     `avro:"secured"` // held or received
	ExpiresAt time.Time `avro:"expiresAt"`
	Reason    string    `avro:"reason"`

	Told    bool   `avro:"told"`    // its answer was published
	Armed   bool   `avro:"armed"`   // somebody watches ExpiresAt
	Expired bool   `avro:"expired"` // what was left of the hold
	Closed  bool   `avro:"closed"`  // by the order's last capture
	Void    string `avro:"void"`    // what became of giving the hold back
}

// Shipment is goods that have left and must be paid for.
type Shipment struct {
	ID       string `avro:"id"`
	Value    int64  `avro:"value"`
	Last     bool   `avro:"last"` // nothing of the order is left to leave after it
	Allotted bool   `avro:"allotted"`
}

// Capture is what one tender pays for one shipment.
type Capture struct {
	Tender    int32  `avro:"tender"`
	Shipment  string `avro:"shipment"`
	Asked     int64  `avro:"asked"`
	Last      bool   `avro:"last"`
	State     string `avro:"state"`
	Reference string `avro:"reference"`
	Amount    int64  `avro:"amount"` // what the provider took
}

// Refund is money on its way back.
type Refund struct {
	Tender    int32  `avro:"tender"`
	Of        string `avro:"of"` // the receipt or capture
	Amount    int64  `avro:"amount"`
	State     string `avro:"state"`
	Reference string `avro:"reference"`
}

// What the provider says of a tender, from the least to the most certain; a
// tender never goes back.
const (
	unknown    = "UNKNOWN"
	pending    = "PENDING"
	authorised = "AUTHORISED"
	received   = "RECEIVED"
	declined   = "DECLINED"
)

// States of captures, voids and refunds.
const (
	due      = "DUE"      // waits for another of the same tender
	asked    = "ASKED"    // the provider has not answered
	allotted = "ALLOTTED" // of money that had come in before: nobody need be asked
	captured = "CAPTURED"
	covered  = "COVERED" // it had not gone through, and the order's last took it along
	voided   = "VOIDED"
	refunded = "REFUNDED"
	failed   = "FAILED"
)

// MaxTenders bounds the tenders of an order that is not yet known, so that a
// provider gone wrong cannot grow a row without end.
const MaxTenders = 64

// place says what the order is to be paid with. What the provider has said meanwhile is
// kept, but for what it said of tenders that the order does not name.
func (a *Account) place(currency string, prepaid bool, tenders []Tender) (others []Tender) {
	for _, had := range a.Tenders {
		if !slices.ContainsFunc(tenders, func(t Tender) bool { return t.Sequence == had.Sequence }) {
			others = append(others, had)
		}
	}
	for i := range tenders {
		if had := a.tender(tenders[i].Sequence); had != nil {
			named := tenders[i]
			tenders[i] = *had
			tenders[i].Kind, tenders[i].First, tenders[i].Amount = named.Kind, named.First, named.Amount
		}
	}
	slices.SortStableFunc(tenders, func(x, y Tender) int {
		if x.First != y.First {
			if x.First {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Sequence, y.Sequence)
	})
	a.Placed, a.Currency, a.Prepaid, a.Tenders = true, currency, prepaid, tenders
	return others
}

// answer is what the provider says of a tender, at once or later.
type answer struct {
	Status, Reference, Reason string
	Amount                    int64
	ExpiresAt                 time.Time
}

// answered takes the provider's word on a tender; it reports whether that is
// news. A word against an earlier final one is an error.
func (a *Account) answered(sequence int32, w answer) (news bool, err error) {
	rank, ok := certainty(w.Status)
	if !ok {
		return false, fmt.Errorf("status %q of tender %d is none of PENDING, AUTHORISED, RECEIVED, DECLINED, UNKNOWN", w.Status, sequence)
	}
	if w.Amount < 0 {
		return false, fmt.Errorf("tender %d cannot be %s over %d", sequence, w.Status, w.Amount)
	}
	t := a.tender(sequence)
	switch {
	case t == nil && a.Placed:
		return false, fmt.Errorf("the order names no tender %d", sequence)
	case t == nil && len(a.Tenders) >= MaxTenders:
		return false, fmt.Errorf("more than %d tenders of an order that is not known", MaxTenders)
	case t == nil:
		a.Tenders = append(a.Tenders, Tender{Sequence: sequence})
		t = &a.Tenders[len(a.Tenders)-1]
	}
	if t.decided() && rank == final && (t.Status != w.Status || t.Status != declined && t.Secured != w.Amount) {
		return false, fmt.Errorf("tender %d is %s over %d and cannot become %s over %d", sequence, t.Status, t.Secured, w.Status, w.Amount)
	}
	if had, _ := certainty(t.Status); rank <= had {
		return false, nil
	}
	t.Status, t.Reason = w.Status, w.Reason
	t.Reference = cmp.Or(w.Reference, t.Reference)
	if t.Status == authorised || t.Status == received {
		t.Secured, t.ExpiresAt = w.Amount, w.ExpiresAt
	}
	return true, nil
}

const final = 3

func certainty(status string) (rank int, ok bool) {
	switch status {
	case unknown:
		return 1, true
	case pending:
		return 2, true
	case authorised, received, declined:
		return final, true
	}
	return 0, false
}

func (t *Tender) decided() bool {
	rank, _ := certainty(t.Status)
	return rank == final
}

func (a *Account) tender(sequence int32) *Tender {
	for i := range a.Tenders {
		if a.Tenders[i].Sequence == sequence {
			return &a.Tenders[i]
		}
	}
	return nil
}

// firstPending reports, once, that the provider has taken a tender and owes the
// verdict.
func (a *Account) firstPending() bool {
	if a.PendingTold || !a.Placed || !slices.ContainsFunc(a.Tenders, func(t Tender) bool { return t.Status == pending }) {
		return false
	}
	a.PendingTold = true
	return true
}

// untold marks and returns the next tender whose answer is to be published; nil
// if there is none.
func (a *Account) untold() *Tender {
	for i := range a.Tenders {
		if t := &a.Tenders[i]; a.Placed && t.decided() && !t.Told {
			t.Told = true
			return t
		}
	}
	return nil
}

// total is what all tenders together are to bring.
func (a *Account) total() (sum int64) {
	for _, t := range a.Tenders {
		sum += t.Amount
	}
	return sum
}

// outstanding is what published answers have not secured of it.
func (a *Account) outstanding() (sum int64) {
	for _, t := range a.Tenders {
		if t.Told {
			sum += max(0, t.Amount-t.Secured)
		} else {
			sum += t.Amount
		}
	}
	return sum
}

// expire ends a hold whose time is over; it returns what was left of it.
func (a *Account) expire(sequence int32) (*Tender, int64) {
	t := a.tender(sequence)
	if t == nil || t.Status != authorised {
		return t, 0
	}
	left := a.free(t)
	t.Expired, t.Armed = left > 0, false
	return t, left
}

// free is what a tender can still pay with or give back.
func (a *Account) free(t *Tender) int64 {
	if t.Expired || t.Closed || t.Void != "" {
		return 0
	}
	return t.Secured - a.used(t)
}

// used is what captures, asked or done, take of a tender, and what of received
// money went back.
func (a *Account) used(t *Tender) (sum int64) {
	for _, c := range a.Captures {
		switch {
		case c.Tender != t.Sequence || c.State == failed || c.State == covered:
		case c.State == captured:
			sum += c.Amount
		default:
			sum += c.Asked
		}
	}
	for _, r := range a.Refunds {
		if t.Status == received && r.Tender == t.Sequence && r.State != failed {
			sum += r.Amount
		}
	}
	return sum
}

// check returns the first broken rule of the ledgers, in words.
func (a *Account) check() error {
	for i := range a.Tenders {
		t := &a.Tenders[i]
		if u := a.used(t); u > t.Secured {
			return fmt.Errorf("tender %d holds %d, of which %d is used", t.Sequence, t.Secured, u)
		}
	}
	for _, c := range a.Captures {
		if c.State != captured {
			continue
		}
		var back int64
		for _, r := range a.Refunds {
			if r.Of == c.Reference && r.Tender == c.Tender && r.State != failed {
				back += r.Amount
			}
		}
		if back > c.Amount {
			return fmt.Errorf("of capture %s over %d, %d is given back", c.Reference, c.Amount, back)
		}
	}
	return nil
}
