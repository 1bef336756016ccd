package reconciliation

import (
	_ "embed" // the schema of rows of before

	"troupe/topology"
)

// ledgerV1 is the schema of a row that had facts without a time for what was not
// known, and kept the mismatches as they stood before the last instant.
//
//go:embed ledger.v1.avsc
var ledgerV1 string

// fromV1 reads such rows too.
func fromV1(row topology.Row) topology.Row {
	row = row.After(ledgerV1)
	bind := row.Bind
	row.Bind = func(older ...string) (topology.RowCodec, error) {
		codec, err := bind(older...)
		return codecFromV1{codec}, err
	}
	return row
}

type codecFromV1 struct{ topology.RowCodec }

func (c codecFromV1) Decode(b []byte) (any, error) {
	row, err := c.RowCodec.Decode(b)
	if err == nil {
		l := &row.(*Book).Ledger
		untimed(&l.Placed)
		untimed(&l.Cleared)
		untimed(&l.Secured)
		untimed(&l.Stop)
		untimed(&l.Cancelled)
	}
	return row, err
}

// untimed forgets a fact without a time.
func untimed[E stamped](e **E) {
	if *e != nil && (**e).said().At.IsZero() {
		*e = nil
	}
}
