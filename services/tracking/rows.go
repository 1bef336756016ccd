package tracking

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// format is of the rows below and of the bodies in fact.go: whoever changes what
// TestRowsAreOfTheirFormat shows gives it another number, and replicas read all anew.
const format = "1"

// The view's rows: facts by their order, and orders by what else they are asked for by.
// What names a row is written part by part, each behind its length, so that no text is
// mistaken for another's beginning.
const (
	byOrder    = 'o' // tenant, order, event ID: a fact
	byTracking = 't' // tracking number, tenant, order
	byCustomer = 'c' // tenant, customer, newest first, order
)

func key(space byte, parts ...string) string {
	b := []byte{space}
	for _, p := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return string(b)
}

func factKey(n number, id string) string { return key(byOrder, n.tenant, n.order, id) }

// newest is a part that puts later times first.
func newest(at time.Time) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(math.MaxInt64-at.UnixMilli())))
}

// parts takes what stands behind a prefix of a key apart.
func parts(key, prefix string) (all []string, err error) {
	for b := []byte(key[len(prefix):]); len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, fmt.Errorf("the row %q has no key of the view's", key)
		}
		all, b = append(all, string(b[size:size+int(n)])), b[size+int(n):]
	}
	return all, nil
}

// kept is a fact as it lies in its row.
type kept struct {
	Event string          `json:"event"`
	At    time.Time       `json:"at"`
	Seq   int64           `json:"seq"`
	Body  json.RawMessage `json:"body"`
}

// row is the fact as it is kept. A time that no calendar has cannot be told and is not
// kept: the panic goes to whoever called the handler, which goes on without the record.
func (f fact) row() []byte {
	body, err := json.Marshal(f.body)
	if err == nil {
		body, err = json.Marshal(kept{f.event, f.at, f.seq, body})
	}
	if err != nil {
		panic(fmt.Errorf("the event %s cannot be told: %w", f.id, err))
	}
	return body
}

// fact reads a row.
func (v *View) fact(id string, row []byte) (fact, error) {
	var k kept
	if err := json.Unmarshal(row, &k); err != nil {
		return fact{}, err
	}
	read, known := v.bodies[k.Event]
	if !known {
		return fact{}, fmt.Errorf("the view does not read %s", k.Event)
	}
	body, err := read(k.Body)
	return fact{event: k.Event, id: id, words: v.words.of(k.Event, caseOfBody(body)), at: k.At, seq: k.Seq, body: body}, err
}

// history reads what an order has been through.
func (v *View) history(n number) (history, error) {
	h := history{number: n}
	prefix := key(byOrder, n.tenant, n.order)
	err := v.rows.Scan(prefix, func(key string, row []byte) error {
		id, err := parts(key, prefix)
		if err == nil && len(id) != 1 {
			err = errors.New("more than an ID is left of the key")
		}
		if err != nil {
			return err
		}
		f, err := v.fact(id[0], row)
		h.facts = append(h.facts, f)
		return err
	})
	if err != nil {
		return h, fmt.Errorf("read the order %s of %s: %w", n.order, n.tenant, err)
	}
	return h, nil
}

// each calls f with what orders have been through.
func (v *View) each(orders []number, f func(history)) error {
	for _, n := range orders {
		h, err := v.history(n)
		if err != nil {
			return err
		}
		f(h)
	}
	return nil
}

// carried lists the orders that had a parcel of a tracking number.
func (v *View) carried(tracking string) ([]number, error) {
	var all []number
	prefix := key(byTracking, tracking)
	err := v.rows.Scan(prefix, func(key string, _ []byte) error {
		of, err := parts(key, prefix)
		if err == nil && len(of) == 2 {
			all = append(all, number{of[0], of[1]})
		}
		return err
	})
	return all, err
}

// placedBy lists a customer's latest orders, the newest first, so many at most, and says how
// many there are.
func (v *View) placedBy(tenant, customer string, most int) (latest []number, total int, err error) {
	seen := map[string]bool{}
	prefix := key(byCustomer, tenant, customer)
	err = v.rows.Scan(prefix, func(key string, _ []byte) error {
		of, err := parts(key, prefix)
		if err != nil || len(of) != 2 || seen[of[1]] {
			return err
		}
		seen[of[1]] = true
		if len(latest) < most {
			latest = append(latest, number{tenant, of[1]})
		}
		return nil
	})
	return latest, len(seen), err
}
