package workbench

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ExceptionRow is a record that could not be used.
type ExceptionRow struct {
	ID            string    `json:"id"`
	At            time.Time `json:"at"`
	Service       string    `json:"service"`
	Cause         string    `json:"cause"`
	Detail        string    `json:"detail"`
	Attempts      int32     `json:"attempts"`
	Tenant        string    `json:"tenant,omitempty"`
	Order         string    `json:"order,omitempty"`
	Key           string    `json:"key"`
	Topic         string    `json:"topic"`
	Partition     int32     `json:"partition"`
	Offset        int64     `json:"offset"`
	DeadTopic     string    `json:"deadTopic"`
	DeadPartition int32     `json:"deadPartition"`
	DeadOffset    int64     `json:"deadOffset"`
}

// Link is the address of the flow, or of a search where the tenant is not
// known; none without an order.
func (r ExceptionRow) Link() string {
	switch {
	case r.Order == "":
		return ""
	case r.Tenant == "":
		return "/flows?" + query("q", r.Order)
	}
	return link(r.Tenant, r.Order)
}

func (x exception) row() ExceptionRow {
	return ExceptionRow{
		ID: x.ExceptionID, At: x.at, Service: x.Service, Cause: x.Cause, Detail: x.Detail, Attempts: x.Attempts, Tenant: x.number.tenant, Order: x.number.order,
		Key: x.RecordKey, Topic: x.Topic, Partition: x.Partition, Offset: x.Offset, DeadTopic: x.DeadTopic, DeadPartition: x.DeadPartition, DeadOffset: x.DeadOffset,
	}
}

// CauseRow sums up a cause in a service.
type CauseRow struct {
	Cause   string    `json:"cause"`
	Service string    `json:"service"`
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// Exceptions is a list of records that could not be used.
type Exceptions struct {
	Cause      string         `json:"cause,omitempty"`
	Service    string         `json:"service,omitempty"`
	Causes     []CauseRow     `json:"causes"`
	Left       int            `json:"left"` // older ones that are not kept here
	Part       Part           `json:"part"`
	Exceptions []ExceptionRow `json:"exceptions"`
}

// unusable finds exceptions, the latest first. That one was settled no fact
// says yet, so all stay.
func (b *Bench) unusable(q url.Values) Exceptions {
	l := Exceptions{Cause: q.Get("cause"), Service: q.Get("service"), Causes: []CauseRow{}}
	b.mu.RLock()
	defer b.mu.RUnlock()
	l.Left = b.dropped
	var found []ExceptionRow
	for _, x := range b.exceptions {
		r := x.row()
		l.sum(r)
		if (l.Cause == "" || l.Cause == r.Cause) && (l.Service == "" || l.Service == r.Service) {
			found = append(found, r)
		}
	}
	slices.SortFunc(l.Causes, func(a, b CauseRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Cause, b.Cause), strings.Compare(a.Service, b.Service))
	})
	slices.SortFunc(found, ExceptionRow.compare)
	l.Exceptions, l.Part = cut(found, pageOf(q), rowsPerPage)
	return l
}

func (r ExceptionRow) compare(s ExceptionRow) int {
	return cmp.Or(s.At.Compare(r.At), strings.Compare(r.ID, s.ID))
}

func (l *Exceptions) sum(r ExceptionRow) {
	i := slices.IndexFunc(l.Causes, func(c CauseRow) bool { return c.Cause == r.Cause && c.Service == r.Service })
	if i < 0 {
		i = len(l.Causes)
		l.Causes = append(l.Causes, CauseRow{Cause: r.Cause, Service: r.Service, First: r.At, Last: r.At})
	}
	c := &l.Causes[i]
	c.Count++
	if r.At.Before(c.First) {
		c.First = r.At
	}
	if r.At.After(c.Last) {
		c.Last = r.At
	}
}
