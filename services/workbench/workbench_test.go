package workbench

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

func at(minute int) time.Time {
	return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute)
}

// record is one record of a topic, decoded.
type record struct {
	body   any
	origin topology.Cause
	event  string
}

// values are the fields of an event of which only a line is told.
type values = map[string]any

// topics are where the events of the tests stand, and who publishes them.
func topicOf(event string) (topic, source string) {
	for _, t := range []struct{ topic, source, events string }{
		{"orders", "ordercapture", "OrderPlaced OrderRejected CancellationRequested OrderCancelled OrderClosed"},
		{"payments", "payment", "PaymentPending PaymentAuthorized PaymentReceived PaymentCaptured PaymentVoided"},
		{"fraud", "fraud", "FraudCleared"},
		{"allocations", "inventory", "InventoryAllocated ReservationReleased"},
		{"shipments", "shipment", "ShipmentPlanned PickingStarted ShipmentPacked ShipmentDispatched CarrierScanned ParcelLost ShipmentDelivered"},
		{"invoices", "invoicing", "InvoiceIssued ErpOrderBooked"},
		{"notifications", "notification", "NotificationSent"},
		{"mismatches", "reconciliation", "MismatchDetected MismatchChanged MismatchCleared MismatchAccepted"},
		{"exceptions", "triage", "ExceptionRaised"},
	} {
		if strings.Contains(" "+t.events+" ", " "+event+" ") {
			return t.topic, t.source
		}
	}
	return "flows", "processmanager"
}

// rec is a record about an order; its offset follows the minute.
func rec(event, order string, minute int, body any, discriminator ...string) record {
	topic, source := topicOf(event)
	return record{body, topology.Cause{
		Envelope: schemas.Envelope{
			ID: schemas.FactID(append([]string{event, order}, discriminator...)...), Type: event, Source: source,
			Tenant: "acme", Order: order, OccurredAt: at(minute), CorrelationID: "flow-" + order,
		},
		Key: "acme/" + order, Topic: topic, Partition: 2, Offset: int64(minute),
	}, event}
}

// because sets the cause.
func (r record) because(of record) record {
	r.origin.Envelope.CausationID = of.origin.Envelope.ID
	return r
}

// fill applies records through the handlers, as the runtime would.
func fill(b *Bench, records ...record) {
	handlers := map[string]topology.ViewHandler{}
	for _, h := range b.Service().Views[0].Handlers {
		handlers[h.Event] = h
	}
	for _, r := range records {
		handlers[r.event].Apply(decoded(r.body), r.origin)
	}
}

func sign(event string) Sign { return Sign{Event: event} }

func signs(events ...string) (out []Sign) {
	for _, e := range events {
		out = append(out, sign(e))
	}
	return out
}

func duties() []Duty {
	return []Duty{
		{Name: "first-scan", Owner: "shipment", Because: sign("ShipmentDispatched"), Events: signs("CarrierScanned"), Void: signs("ParcelLost"), Subject: "shipmentId", Within: "24h"},
		{Name: "invoice", Owner: "invoicing", Because: sign("ShipmentDispatched"), Events: signs("InvoiceIssued"), Subject: "shipmentId", NextAction: "see the mismatches"},
		{Name: "release", Owner: "shipment", Because: sign("InventoryAllocated"), Needs: [][]Sign{signs("FraudCleared"), {{"PaymentAuthorized", map[string]string{"outstanding": "0"}}, sign("PaymentReceived")}}, Events: signs("ShipmentPlanned")},
		{Name: "refund", Owner: "payment", Because: Sign{"CancellationDecided", map[string]string{"accepted": "true"}}, Events: signs("PaymentAuthorized")},
		{Name: "approval", Owner: "processmanager", Because: sign("PersonNeeded"), Events: signs("ApproveStep"), Subject: "desk"},
	}
}

func bench(minute int, records ...record) *Bench {
	b := New(Config{Now: func() time.Time { return at(minute) }, Duties: duties()})
	fill(b, records...)
	return b
}

func get(b *Bench, accept, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.Host = "localhost:8090"
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	return w
}

func shown(t *testing.T, b *Bench, path string) string {
	t.Helper()
	w := get(b, "text/html,application/xhtml+xml,*/*;q=0.8", path)
	if w.Code != 200 {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func read[A any](t *testing.T, b *Bench, path string) (a A) {
	t.Helper()
	w := get(b, "application/json", path)
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s: %v", path, w.Code, w.Body, err)
	}
	return a
}

func placed(order string, minute int, total int64) record {
	e := orderPlaced{Channel: "web", CustomerID: "c1", Currency: "BRL", PromisedBy: at(9000)}
	e.Lines = append(e.Lines, struct {
		Quantity int32 `avro:"quantity"`
		UnitNet  int64 `avro:"unitNet"`
		Discount int64 `avro:"discount"`
		Freight  int64 `avro:"freight"`
		Tax      int64 `avro:"tax"`
	}{2, total / 2, 0, 0, 0})
	return rec("OrderPlaced", order, minute, e)
}

func phase(order, name string, minute int) record {
	return rec("FlowPhaseChanged", order, minute, flowPhaseChanged{Phase: name}, name)
}

func dispatched(order, shipment string, minute int) record {
	return rec("ShipmentDispatched", order, minute, values{"shipmentId": shipment, "carrier": "sedex", "trackingNumber": "T-" + shipment, "value": int64(5000), "currency": "BRL"}, shipment)
}

func overdue(order, rule, event, owner, subject string, cause record, due, minute int) record {
	return rec("ObligationOverdue", order, minute, obligationOverdue{
		Obligation: rule, Event: event, Events: []string{event}, Owner: owner, Subject: subject, CauseID: cause.origin.Envelope.ID,
		CauseType: cause.event, DueAt: at(due), Clock: "RESPONSE", NextAction: "a trace at the carrier",
	}, rule, subject)
}

func detected(order, id, code string, number int32, minute int, atRisk int64) record {
	return rec("MismatchDetected", order, minute, mismatchSized{
		Head: mismatchHead{id, code, number, order}, Severity: "HIGH", Currency: "BRL", Expected: 0, Actual: atRisk, Delta: atRisk, AtRisk: atRisk,
		Repair: "hold the next", Rules: 1, Evidence: []evidence{{"shipments", 2, 41, "e1"}},
	}, id)
}

func exceptional(id, order, cause string, minute int) record {
	r := rec("ExceptionRaised", order, minute, exceptionRaised{
		ExceptionID: id, Service: "payment", Topic: "orders", Partition: 1, Offset: 7, RecordKey: "acme/" + order, Cause: cause,
		Detail: "amount <script>alert(1)</script> is no number", Attempts: 5, DeadTopic: "payment.dead", DeadOffset: 3,
	}, id)
	r.origin.Key, r.origin.Envelope.Tenant = id, "" // a dead letter carries no tenant
	return r
}

// estate is three orders: one late, one in dispute, one done.
func estate() []record {
	d := dispatched("web-1", "s1", 60)
	return []record{
		placed("web-1", 0, 10000), phase("web-1", "PLACED", 0), rec("FlowStarted", "web-1", 0, values{"definition": "fulfilment", "version": int32(1)}),
		d, phase("web-1", "IN_TRANSIT", 61).because(d),
		overdue("web-1", "first-scan", "CarrierScanned", "shipment", "s1", d, 1500, 1501),
		placed("web-2", 5, 20000), phase("web-2", "IN_TRANSIT", 100), detected("web-2", "m1", "SHIPPED_NOT_RELEASED", 5, 120, 12345),
		placed("web-3", 6, 30000), phase("web-3", "CLOSED", 800), rec("FlowClosed", "web-3", 800, flowClosed{"CLOSED"}),
		exceptional("x1", "web-2", "BODY", 130),
	}
}

func TestStatus(t *testing.T) {
	s := read[Status](t, bench(1560, estate()...), "/")
	if s.Level != bad || s.Headline != "Flows are late: shipment owes CarrierScanned on 1 order" {
		t.Errorf("%s: %s", s.Level, s.Headline)
	}
	var says []string
	for _, c := range s.Causes {
		says = append(says, c.Says+" | "+c.Money.String()+" | "+c.Since.Format("02 15:04")+" | "+c.Link)
	}
	want := []string{
		"shipment owes CarrierScanned on 1 order | 100.00 BRL | 06 10:00 | /flows?overdue=CarrierScanned&owner=shipment",
		"SHIPPED_NOT_RELEASED on 1 order | 123.45 BRL | 05 11:00 | /mismatches?code=SHIPPED_NOT_RELEASED&state=open",
		"1 record could not be used: BODY |  | 05 11:10 | /exceptions?cause=BODY",
	}
	if strings.Join(says, "\n") != strings.Join(want, "\n") {
		t.Errorf("causes:\n%s\nwant:\n%s", strings.Join(says, "\n"), strings.Join(want, "\n"))
	}
	if s.Open != 2 || s.Closed != 1 || len(s.Phases) != 2 || s.Phases[0] != (Phase{"IN_TRANSIT", 2, true}) || !s.AsOf.Equal(at(1501)) {
		t.Errorf("%d open, %d closed, phases %v as of %v", s.Open, s.Closed, s.Phases, s.AsOf)
	}
}

func TestRank(t *testing.T) {
	d := dispatched("web-1", "s1", 60)
	var many []record
	for _, order := range []string{"b-1", "b-2", "b-3"} {
		many = append(many, detected(order, "m"+order, "TAX_VARIANCE", 10, 50, 1))
	}
	behind := func(minute int) record {
		return rec("OwnerBehind", "web-9", minute, ownerBehind{"inventory", "orders", 4, at(minute)})
	}
	caughtUp := rec("OwnerCaughtUp", "web-9", 30, ownerCaughtUp{"inventory", "orders"})
	for _, c := range []struct {
		name, headline, level string
		records               []record
	}{
		{"nothing", "All flows are on time", good, []record{placed("web-1", 0, 100)}},
		{"an owner behind explains the rest", "Flows are late: inventory is behind on orders: at least 4 flows wait", bad,
			append(many, behind(20), d, overdue("web-1", "first-scan", "CarrierScanned", "shipment", "s1", d, 70, 71))},
		{"it has caught up", "All flows are on time", good, []record{behind(20), caughtUp}},
		{"and fell behind again", "Flows are late: inventory is behind on orders: at least 4 flows wait", bad, []record{behind(40), caughtUp}},
		{"only the books disagree", "All flows are on time, but books disagree", warn, many},
		{"a person", "All flows are on time, but books disagree, and a person must decide", warn, append(many, phase("web-1", "NEEDS_PERSON", 3))},
		{"met", "All flows are on time", good, []record{overdue("web-1", "first-scan", "CarrierScanned", "shipment", "s1", d, 70, 71),
			rec("ObligationMet", "web-1", 80, obligationMet{"first-scan", "s1", d.origin.Envelope.ID, "CarrierScanned"})}},
		{"made pointless", "All flows are on time", good, []record{d, overdue("web-1", "first-scan", "CarrierScanned", "shipment", "s1", d, 70, 71),
			rec("ParcelLost", "web-1", 80, values{"shipmentId": "s1"})}},
		{"another parcel was lost", "Flows are late: shipment owes CarrierScanned on 1 order", bad, []record{d,
			overdue("web-1", "first-scan", "CarrierScanned", "shipment", "s1", d, 70, 71), rec("ParcelLost", "web-1", 80, values{"shipmentId": "s2"})}},
		{"closed", "All flows are on time", good, []record{overdue("web-1", "first-scan", "CarrierScanned", "shipment", "s1", d, 70, 71), rec("FlowClosed", "web-1", 90, flowClosed{"CLOSED"})}},
	} {
		if s := read[Status](t, bench(100, c.records...), "/"); s.Headline != c.headline || s.Level != c.level {
			t.Errorf("%s: %s, %q; want %s, %q", c.name, s.Level, s.Headline, c.level, c.headline)
		}
	}
}

func TestFlow(t *testing.T) {
	b := bench(1560, estate()...)
	a := read[FlowAnswer](t, b, "/flows/acme/web-1")
	if len(a.Overdue) != 1 || a.Overdue[0].Owner != "shipment" || !a.Overdue[0].DueAt.Equal(at(1500)) || a.Overdue[0].Subject != "s1" {
		t.Errorf("overdue: %+v", a.Overdue)
	}
	if len(a.Expected) != 1 || a.Expected[0].Obligation != "invoice" || a.Expected[0].Subject != "s1" {
		t.Errorf("expected: %+v", a.Expected)
	}
	var events []string
	for _, f := range a.Facts {
		events = append(events, f.Event)
	}
	if got := strings.Join(events, " "); got != "OrderPlaced FlowPhaseChanged FlowStarted ShipmentDispatched FlowPhaseChanged ObligationOverdue" {
		t.Errorf("facts: %s", got)
	}
	if f := a.Facts[4]; f.Cause != "ShipmentDispatched" || f.Topic != "flows" || f.Partition != 2 || f.Offset != 61 {
		t.Errorf("fact: %+v", f)
	}
	html := shown(t, b, "/flows/acme/web-1")
	for _, want := range []string{
		`class="mark overdue"`, `class="mark expected"`, "<title>shipment owes CarrierScanned for s1, due 6 Jan 2026 10:00:00, 1 h ago</title>",
		"flows/2/61", "a trace at the carrier", "s1 by sedex T-s1: 50.00 BRL", "100.00 BRL",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if html := shown(t, b, "/flows/acme/web-2"); !strings.Contains(html, "SHIPPED_NOT_RELEASED") || !strings.Contains(html, "shipments/2/41") || !strings.Contains(html, "hold the next") {
		t.Error("the page lacks its mismatch")
	}
	if x := read[FlowAnswer](t, b, "/flows/acme/web-2").Exceptions; len(x) != 1 || x[0].ID != "x1" {
		t.Errorf("exceptions: %+v", x)
	}
}

func TestExpected(t *testing.T) {
	allocated, cleared, authorized := rec("InventoryAllocated", "w", 1, values{}), rec("FraudCleared", "w", 2, values{}), rec("PaymentAuthorized", "w", 3, values{"outstanding": int64(0)})
	half := rec("PaymentAuthorized", "w", 3, values{"outstanding": int64(1)})
	invoice := rec("InvoiceIssued", "w", 70, values{"lines": []any{values{"shipmentId": "s1"}}})
	for _, c := range []struct {
		name, want string
		records    []record
	}{
		{"conditions are lacking", "", []record{allocated, cleared}},
		{"one has come in half", "", []record{allocated, cleared, half}},
		{"accepted", "refund", []record{rec("CancellationDecided", "w", 1, cancellationDecided{Accepted: true})}},
		{"refused", "", []record{rec("CancellationDecided", "w", 1, cancellationDecided{})}},
		{"all have come", "release", []record{authorized, allocated, cleared}},
		{"answered from the same topic, earlier", "release", []record{rec("ShipmentPlanned", "w", 0, values{}), allocated, cleared, authorized}[1:]},
		{"answered", "", []record{allocated, cleared, authorized, rec("ShipmentPlanned", "w", 4, values{"shipmentId": "s1"})}},
		{"two shipments, one billed", "first-scan/s1 first-scan/s2 invoice/s2", []record{dispatched("w", "s1", 60), dispatched("w", "s2", 60), invoice}},
		{"an answer by the inbox is never seen", "", []record{rec("PersonNeeded", "w", 1, values{"desk": "erp"})}},
		{"closed", "", []record{dispatched("w", "s1", 60), rec("FlowClosed", "w", 61, flowClosed{"CLOSED"})}},
	} {
		var got []string
		for _, o := range read[FlowAnswer](t, bench(100, append(c.records, placed("w", 0, 100))...), "/flows/acme/w").Expected {
			got = append(got, strings.TrimSuffix(o.Obligation+"/"+o.Subject, "/"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

func TestMismatchLife(t *testing.T) {
	b := bench(1560, estate()...)
	states := func(state string) int { return len(read[Mismatches](t, b, "/mismatches?state="+state).Mismatches) }
	if states("open") != 1 || states("cleared") != 0 {
		t.Errorf("%d open, %d cleared", states("open"), states("cleared"))
	}
	fill(b, rec("MismatchCleared", "web-2", 200, mismatchCleared{mismatchHead{"m1", "SHIPPED_NOT_RELEASED", 5, "web-2"}, "released since"}))
	if states("open") != 0 || states("cleared") != 1 {
		t.Errorf("%d open, %d cleared after it was cleared", states("open"), states("cleared"))
	}
	fill(b, rec("MismatchAccepted", "web-3", 300, mismatchAccepted{mismatchHead{"m2", "PRICE_VARIANCE", 9, "web-3"}, "tolerance", 30, "BRL"}))
	m := read[Mismatches](t, b, "/mismatches?state=all")
	if len(m.Mismatches) != 2 || m.Mismatches[1].State != isAccepted || m.Mismatches[1].Delta != 30 || m.Codes[0].Cleared != 1 || m.Codes[1].Accepted != 1 {
		t.Errorf("%+v", m)
	}
	fill(b, detected("web-2", "m1", "SHIPPED_NOT_RELEASED", 5, 400, 777))
	if m := read[Mismatches](t, b, "/mismatches?code=SHIPPED_NOT_RELEASED").Codes[0]; m.Open != 1 || m.AtRisk.String() != "7.77 BRL" {
		t.Errorf("opened again: %+v", m)
	}
	for _, row := range m.Mismatches { // as a client reads them, who has no words of ours
		if said := row.Amount(row.Delta) + row.Money().String(); !strings.Contains(said, "BRL") {
			t.Errorf("%s is written %q, want money", row.ID, said)
		}
	}
	if html := shown(t, b, "/mismatches"); !strings.Contains(html, "7.77 BRL") || !strings.Contains(html, `href="/flows/acme/web-2"`) {
		t.Error("the page lacks the mismatch")
	}
}

func TestFind(t *testing.T) {
	b := bench(1560, estate()...)
	for _, c := range []struct{ query, want string }{
		{"", "web-3 web-2 web-1"},
		{"?q=web-", "web-3 web-2 web-1"},
		{"?q=web-2", "web-2"},
		{"?q=acme/web-2", "web-2"},
		{"?q=T-s1", "web-1"}, // a tracking number
		{"?q=flow-web-3", "web-3"},
		{"?q=nothing", ""},
		{"?phase=IN_TRANSIT", "web-2 web-1"},
		{"?overdue=any", "web-1"},
		{"?overdue=CarrierScanned&owner=shipment", "web-1"},
		{"?owner=payment", ""},
		{"?phase=CLOSED&q=web-3", "web-3"},
	} {
		var got []string
		for _, f := range read[Flows](t, b, "/flows"+c.query).Flows {
			got = append(got, f.Order)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.query, got, c.want)
		}
	}
}

// TestReadsWhatIsPublished binds every handler to the published schemas and
// looks every event up in the estate: what stands on a topic that the view
// reads must be among what it reads.
func TestReadsWhatIsPublished(t *testing.T) {
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	wire, read := schemas.NewWire(catalogue, nil), map[string]bool{}
	for _, h := range bench(0).Service().Views[0].Handlers {
		if _, err := h.Bind(wire); err != nil {
			t.Errorf("%s: %v", h.Event, err)
		}
		if _, ok := estate.TopicOf(h.Event); !ok {
			t.Errorf("no topic carries %s", h.Event)
		}
		if read[h.Event] {
			t.Errorf("%s is read twice", h.Event)
		}
		read[h.Event] = true
	}
	for _, topic := range estate.Topics {
		if topic.Name == "customers" || topic.Name == "stock" {
			continue // personal data; and what no order is named in
		}
		for _, event := range topic.Events {
			if !read[event] {
				t.Errorf("%s of %s is not shown: say in facts.v1.yaml how it is told", event, topic.Name)
			}
		}
	}
}

// decoded is a message as a handler is handed it: a pointer, or a map.
func decoded(body any) any {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Struct {
		return body
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}
