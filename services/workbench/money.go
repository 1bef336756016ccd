package workbench

import (
	"slices"
	"strings"

	"troupe/schemas/money"
)

// Money is an amount in minor units of its currency.
type Money struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

func (m Money) String() string { return money.Format(m.Minor, m.Currency) }

// sums are amounts, one a currency; currencies are never added up.
type sums []Money

func (s *sums) add(m Money) {
	if m.Minor == 0 || m.Currency == "" {
		return
	}
	i, found := slices.BinarySearchFunc(*s, m, func(a, b Money) int { return strings.Compare(a.Currency, b.Currency) })
	if !found {
		*s = slices.Insert(*s, i, Money{Currency: m.Currency})
	}
	(*s)[i].Minor += m.Minor
}

func (s sums) String() string {
	var out []string
	for _, m := range s {
		out = append(out, m.String())
	}
	return strings.Join(out, ", ")
}
