package reconciliation

import (
	"testing"
	"time"

	"troupe/schemas"
)

// TestLedgerOfBefore: a row that was written while what was not known had a name
// in it is read, and nothing in it is taken for known.
func TestLedgerOfBefore(t *testing.T) {
	type ( // their names are part of the schema
		Ledger struct {
			Currency   string       `avro:"currency"`
			Placed     Fact         `avro:"placed"`
			Lines      []Line       `avro:"lines"`
			Cleared    Fact         `avro:"cleared"`
			Secured    Fact         `avro:"secured"`
			Promises   []Promise    `avro:"promises"`
			Dispatches []Dispatch   `avro:"dispatches"`
			Stop       Stop         `avro:"stop"`
			Cancelled  Cancellation `avro:"cancelled"`
			Invoices   []Document   `avro:"invoices"`
			Credits    []Document   `avro:"credits"`
			Voids      []Void       `avro:"voids"`
			Movements  []Movement   `avro:"movements"`
		}
		Life struct {
			Mismatches []Mismatch `avro:"mismatches"`
			Seen       time.Time  `avro:"seen"`
			Before     []Mismatch `avro:"before"`
			Settled    time.Time  `avro:"settled"`
			Waits      time.Time  `avro:"waits"`
		}
		book struct {
			Ledger Ledger `avro:"ledger"`
			Life   Life   `avro:"life"`
		}
	)
	before, err := schemas.NewState[book]("reconciliation.ledger")
	if err != nil {
		t.Fatal(err)
	}
	waits := Mismatch{Code: shippedNotInvoiced, Subject: "web-1.1/1", State: pending, Since: at(5), Severity: "LOW", Expected: 2}
	b, err := before.Append(nil, &book{
		Ledger{Currency: "EUR", Cleared: Fact{At: at(1), EventID: "cleared"}, Dispatches: []Dispatch{{Fact: Fact{At: at(5), EventID: "left"}, Shipment: "web-1.1"}}},
		Life{Mismatches: []Mismatch{waits}, Seen: at(5), Before: []Mismatch{waits}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := DefaultRules()
	if err != nil {
		t.Fatal(err)
	}
	row := rules.set().Row
	codec, err := row.Bind(row.Older...)
	if err != nil {
		t.Fatal(err)
	}
	read, err := codec.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	is := read.(*Book)
	if l := is.Ledger; l.Placed != nil || l.Secured != nil || l.Stop != nil || l.Cancelled != nil || l.Cleared == nil {
		t.Errorf("known are %+v", is.Ledger)
	}
	if len(is.Ledger.Dispatches) != 1 || len(is.Life.Mismatches) != 1 || is.Life.Mismatches[0] != waits || !is.Life.Seen.Equal(at(5)) {
		t.Errorf("the rest is %+v", is)
	}
	if !learn(&is.Ledger.Placed, Fact{At: at(9), EventID: "placed"}) {
		t.Error("the first word on an order is no news")
	}
}
