package workbench

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// MismatchRow is one difference.
type MismatchRow struct {
	ID       string     `json:"id"`
	Code     string     `json:"code"`
	Number   int32      `json:"number"`
	State    string     `json:"state"`
	Why      string     `json:"why,omitempty"` // why it was cleared, or by whom it was accepted
	Tenant   string     `json:"tenant"`
	Order    string     `json:"order"`
	Subject  string     `json:"subject"`
	Severity string     `json:"severity,omitempty"`
	Currency string     `json:"currency,omitempty"`
	Expected int64      `json:"expected"`
	Actual   int64      `json:"actual"`
	Delta    int64      `json:"delta"`
	AtRisk   int64      `json:"atRisk"`
	Repair   string     `json:"repair,omitempty"`
	Rules    int32      `json:"rules,omitempty"`
	Since    time.Time  `json:"since,omitzero"`
	At       time.Time  `json:"at"` // of its state
	Evidence []evidence `json:"evidence,omitempty"`
	Counted  bool       `json:"counted"` // the figures are units of a line; what is at risk is money all the same
}

// Link is the flow's address.
func (r MismatchRow) Link() string { return link(r.Tenant, r.Order) }

// Amount writes one of the figures.
func (r MismatchRow) Amount(n int64) string { return amount(n, r.Currency, r.Counted) }

// Money is what is at risk.
func (r MismatchRow) Money() Money { return Money{r.AtRisk, r.Currency} }

func (m *mismatch) row(n number, w *Words) MismatchRow {
	s, at := m.size.value, m.state.value
	r := MismatchRow{
		ID: m.MismatchID, Code: m.Code, Number: m.Number, State: at.state, Why: at.why, Tenant: n.tenant, Order: n.order, Subject: m.Subject,
		Severity: s.Severity, Currency: s.Currency, Expected: s.Expected, Actual: s.Actual, Delta: s.Delta, AtRisk: s.AtRisk,
		Repair: s.Repair, Rules: s.Rules, Since: m.first, At: at.at, Evidence: s.Evidence,
		Counted: w.counted(m.Code),
	}
	if !m.size.set { // accepted without ever having been open
		r.Delta, r.Currency = at.delta, at.currency
	}
	return r
}

// CodeRow sums up a code.
type CodeRow struct {
	Code     string `json:"code"`
	Number   int32  `json:"number"`
	Open     int    `json:"open"`
	Cleared  int    `json:"cleared"`
	Accepted int    `json:"accepted"`
	AtRisk   sums   `json:"atRisk,omitempty"` // of those that are open
}

// Mismatches is a list of differences.
type Mismatches struct {
	Code       string        `json:"code,omitempty"`
	State      string        `json:"state"`
	Codes      []CodeRow     `json:"codes"`
	Part       Part          `json:"part"`
	Mismatches []MismatchRow `json:"mismatches"`
}

// anyState asks for differences however they ended.
const anyState = "all"

// mismatches finds differences: by number of the code, then what is most at risk.
func (b *Bench) mismatches(q url.Values) (l Mismatches, err error) {
	l.Codes = []CodeRow{}
	states := words{}
	states.add(isOpen, isCleared, isAccepted, anyState)
	if l.State, err = states.find("state", cmp.Or(q.Get("state"), isOpen)); err != nil {
		return l, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if code := q.Get("code"); code != "" {
		if l.Code, err = b.codes().find("code", code); err != nil {
			return l, err
		}
	}
	var found []MismatchRow
	for n, f := range b.flows {
		for _, m := range f.mismatches {
			r := m.row(n, b.words)
			l.sum(r)
			if (l.Code == "" || l.Code == r.Code) && (l.State == anyState || l.State == r.State) {
				found = append(found, r)
			}
		}
	}
	slices.SortFunc(l.Codes, func(a, b CodeRow) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Code, b.Code))
	})
	slices.SortFunc(found, func(a, b MismatchRow) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Code, b.Code), strings.Compare(a.Currency, b.Currency),
			cmp.Compare(b.AtRisk, a.AtRisk), a.Since.Compare(b.Since), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Order, b.Order), strings.Compare(a.ID, b.ID))
	})
	l.Mismatches, l.Part = cut(found, pageOf(q), rowsPerPage)
	return l, nil
}

// codes are those that reconciliation may find, and that were heard of.
func (b *Bench) codes() words {
	codes := words{}
	codes.add(b.config.Codes...)
	for _, f := range b.flows {
		for _, m := range f.mismatches {
			codes.add(m.Code)
		}
	}
	return codes
}

func (l *Mismatches) sum(r MismatchRow) {
	i := slices.IndexFunc(l.Codes, func(c CodeRow) bool { return c.Code == r.Code })
	if i < 0 {
		i = len(l.Codes)
		l.Codes = append(l.Codes, CodeRow{Code: r.Code, Number: r.Number})
	}
	c := &l.Codes[i]
	switch r.State {
	case isOpen:
		c.Open++
		c.AtRisk.add(Money{r.AtRisk, r.Currency})
	case isCleared:
		c.Cleared++
	case isAccepted:
		c.Accepted++
	}
}
