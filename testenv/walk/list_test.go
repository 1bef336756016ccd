package walk

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"troupe/services/workbench"
	"troupe/testenv/world/history"
)

// TestLists: `troupe flow ls` and `troupe recon ls` show what a workbench knows, page
// by page, as text and as JSON.
func TestLists(t *testing.T) {
	const orders = 120 // more than stand on a page
	dir := t.TempDir()
	if err := history.Generate(dir, 1, orders); err != nil {
		t.Fatal(err)
	}
	past, err := history.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := over(t, dir)
	if _, words := e.run(1, "flow", "ls", "--workbench", "http://127.0.0.1:1"); !strings.Contains(words, "is it running") {
		t.Errorf("without a workbench it says %q", words)
	}
	e.startWorkbench()
	e.refusals()
	e.pages(orders)
	e.filters(orders, history.Count(past))
	e.mismatches()
}

// refusals: what no list can be asked for is no empty list.
func (e *estate) refusals() {
	e.t.Helper()
	for line, want := range map[string]string{
		"flow ls --phase foo":   "PARTIALLY_DISPATCHED, ",
		"flow ls --overdue Foo": "ShipmentDelivered, ",
		"flow ls --owner foo":   "shipment",
		"flow ls --page 0":      "pages count from 1",
		"flow ls --page -1":     "pages count from 1",
		"recon ls --page 0":     "pages count from 1",
		"recon ls --status foo": "accepted, all, cleared, open",
		"recon ls --code FOO":   "UNKNOWN_REFERENCE",
	} {
		if out, words := e.run(2, strings.Fields(line)...); out != "" || !strings.Contains(words, want) {
			e.t.Errorf("troupe %s does not say %q:\n%s%s", line, want, out, words)
		}
	}
}

// list runs a command whose answer is JSON.
func (e *estate) list(into any, args ...string) {
	e.t.Helper()
	out, _ := e.run(0, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		e.t.Fatalf("troupe %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// pages turns the pages of all flows: each flow is on one of them.
func (e *estate) pages(orders int) {
	e.t.Helper()
	listed := map[string]bool{}
	for page, says := range map[string]string{"1": "100 of 120, page 1 of 2: --page 2 goes on\n", "2": "20 of 120\n", "9": "20 of 120: there is no page 9, this is page 2, the last\n"} {
		out, _ := e.run(0, "flow", "ls", "--page", page)
		if !strings.HasPrefix(out, "ORDER ") || !strings.HasSuffix(out, "\n"+says) {
			e.t.Errorf("page %s is\n%s", page, out)
		}
		for line := range strings.Lines(out) {
			if order, _, _ := strings.Cut(line, " "); strings.Contains(order, "/") {
				listed[order] = true
			}
		}
	}
	if len(listed) != orders {
		e.t.Errorf("%d flows are listed on two pages, want %d", len(listed), orders)
	}
}

func (e *estate) filters(orders int, c history.Counts) {
	e.t.Helper()
	for _, f := range []struct {
		filter []string
		total  int
		says   string // of each
	}{
		{nil, orders, ""},
		{[]string{"--phase", "closed"}, c.OrdersDelivered, "CLOSED"},
		{[]string{"--overdue", "ShipmentDelivered"}, c.OrdersDispatched - c.OrdersDelivered, "shipment owes ShipmentDelivered"},
		{[]string{"--overdue", "any", "--owner", "invoicing"}, 0, ""},
	} {
		var l workbench.Flows
		e.list(&l, append([]string{"flow", "ls"}, f.filter...)...)
		if l.Part.Total != f.total {
			e.t.Errorf("flow ls %v: %d flows, want %d", f.filter, l.Part.Total, f.total)
		}
		for _, r := range l.Flows {
			if !strings.Contains(fmt.Sprint(r.Phase, r.Overdue), f.says) {
				e.t.Errorf("flow ls %v shows %+v", f.filter, r)
			}
		}
	}
}

// mismatches compares what is listed with what the run has reported as open: of each
// code, the orders that it is of.
func (e *estate) mismatches() {
	e.t.Helper()
	var open workbench.Mismatches
	e.list(&open, "recon", "ls")
	orders := map[string]map[string]bool{}
	for _, m := range open.Mismatches {
		if orders[m.Code] == nil {
			orders[m.Code] = map[string]bool{}
		}
		orders[m.Code][m.Order] = true
	}
	if len(orders) == 0 || len(orders) != len(e.report.MismatchesOpen) {
		e.t.Errorf("recon ls shows the codes %v, the run had %v", orders, e.report.MismatchesOpen)
	}
	for code, n := range e.report.MismatchesOpen {
		if len(orders[code]) != n {
			e.t.Errorf("recon ls shows %s of %d orders, the run had it of %d", code, len(orders[code]), n)
		}
		if out, _ := e.run(0, "recon", "ls", "--code", code); !strings.HasPrefix(out, "CODE ") || strings.Count(out, "\n"+code+" ") < n {
			e.t.Errorf("recon ls --code %s is\n%s", code, out)
		}
	}
}
