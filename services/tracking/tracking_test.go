package tracking

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/table"
)

func at(minute int) time.Time {
	return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute)
}

// record is one record of a topic, decoded.
type record struct {
	event    string
	envelope schemas.Envelope
	body     any
}

func rec(event, order string, minute int, body any, discriminator ...string) record {
	id := schemas.FactID(append([]string{event, order}, discriminator...)...)
	return record{event, schemas.Envelope{ID: id, Type: event, Tenant: "acme", Order: order, OccurredAt: at(minute), AggregateSequence: int64(minute)}, body}
}

// replica is a view on a disk of its own.
func replica(t interface {
	Helper()
	Fatal(...any)
}) *View {
	t.Helper()
	v := New()
	spec := v.Service().Views[0]
	store, err := table.Open(table.Config{Memory: true})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := store.View(spec.Name, spec.Format)
	if err != nil {
		t.Fatal(err)
	}
	spec.Keep(rows)
	return v
}

// fill applies records through the handlers, as the runtime would.
func fill(v *View, records ...record) {
	handlers := map[string]topology.ViewHandler{}
	for _, h := range v.Service().Views[0].Handlers {
		handlers[h.Event] = h
	}
	for i, r := range records {
		handlers[r.event].Apply(decoded(r.body), topology.Cause{Envelope: r.envelope, Key: r.envelope.Tenant + "/" + r.envelope.Order, Offset: int64(i)})
	}
	if err := v.rows.(*table.View).Flush(nil); err != nil {
		panic(err) // memory takes everything
	}
}

func get(v *View, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	v.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func placedBody(customerID string) placed {
	var p placed
	err := json.Unmarshal([]byte(`{"Channel":"web","ChannelOrder":"1","Currency":"EUR","PromisedBy":"2026-01-09T00:00:00Z",
		"Lines":[{"Line":1,"SKU":"lamp","Quantity":2,"UnitNet":1000,"Discount":100,"Freight":50,"Tax":380},{"Line":2,"SKU":"bulb","Quantity":1,"UnitNet":300}]}`), &p)
	if err != nil {
		panic(err) // the text above is a constant
	}
	p.CustomerID = customerID
	return p
}

func decision(accepted bool, cancelled, kept int32) decided {
	d := decided{Accepted: accepted}
	d.Lines = append(d.Lines, struct {
		Line      int32 `avro:"line"`
		Cancelled int32 `avro:"cancelled"`
		Kept      int32 `avro:"kept"`
	}{1, cancelled, kept})
	return d
}

func life() []record {
	part := []shipmentLine{{1, "lamp", 2}}
	return []record{
		rec("OrderPlaced", "web-1", 0, placedBody("c1")),
		rec("PaymentPending", "web-1", 0, paid{2630, "EUR"}),
		rec("PaymentAuthorized", "web-1", 1, paid{2630, "EUR"}),
		rec("ShipmentPlanned", "web-1", 2, planned{ShipmentID: "s1", Lines: part, Value: 2330, Currency: "EUR", PromisedBy: at(5000)}),
		rec("ShipmentDispatched", "web-1", 60, dispatched{ShipmentID: "s1", Carrier: "dhl", TrackingNumber: "T1", Lines: part, Value: 2330, Currency: "EUR", PromisedBy: at(5000)}),
		rec("PaymentCaptured", "web-1", 61, paid{2330, "EUR"}),
		rec("CarrierScanned", "web-1", 90, scanned{"s1", "T1", "Leipzig"}),
		rec("CancellationRequested", "web-1", 95, nothing{}),
		rec("CancellationDecided", "web-1", 96, decision(false, 0, 2)),
		rec("ShipmentDelivered", "web-1", 900, underWay{"s1", "T1"}),
		rec("InvoiceIssued", "web-1", 960, invoiced{"I1", "EUR", 1900, 380, 50}),
		rec("OrderClosed", "web-1", 961, nothing{}),
	}
}

func TestOrder(t *testing.T) {
	v := replica(t)
	fill(v, life()...)
	w := get(v, "GET", "/orders/acme/web-1")
	var a Answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	for _, c := range []struct{ name, got, want string }{
		{"order", a.Order.Source + " " + a.Order.AsOf.String() + " " + a.Order.Data.State, "ordercapture " + at(961).String() + " CLOSED"},
		{"total", show(a.Order.Data.Total), `{"minor":2630,"currency":"EUR"}`},
		{"payment", a.Payment.Source + " " + show(a.Payment.Data), `payment {"totals":[{"currency":"EUR","expected":2630,"authorized":2630,"received":0,"captured":2330,"voided":0,"refunded":0}]}`},
		{"payment as of", a.Payment.AsOf.String(), at(61).String()},
		{"shipments", a.Shipments.Source + " " + show(a.Shipments.Data), `shipment [{"shipmentId":"s1","state":"DELIVERED","carrier":"dhl","trackingNumber":"T1","promisedBy":"2026-01-08T20:20:00Z","value":{"minor":2330,"currency":"EUR"},"lines":[{"line":1,"sku":"lamp","quantity":2}]}]`},
		{"steps", codes(a.Shipments.Milestones), "PREPARING ON_ITS_WAY IN_TRANSIT DELIVERED"},
		{"place", a.Shipments.Milestones[2].Place + a.Shipments.Milestones[2].About, "Leipzigs1"},
		{"invoices", a.Invoices.Source + " " + show(a.Invoices.Data[0].Net) + a.Invoices.Data[0].State, `invoicing {"minor":1900,"currency":"EUR"}ISSUED`},
		{"cancellation", a.Cancellation.Source + " " + show(a.Cancellation.Data), `processmanager {"state":"REFUSED","lines":[{"line":1,"cancelled":0,"kept":2}]}`},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got, c.want)
		}
	}
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func codes(steps []Step) string {
	var names []string
	for _, s := range steps {
		names = append(names, s.Code)
	}
	return strings.Join(names, " ")
}

func TestStates(t *testing.T) {
	some := decision(true, 1, 1)
	for _, c := range []struct {
		name, want string
		records    []record
	}{
		{"only asked", `"cancellation":{"source":"ordercapture"`, []record{rec("CancellationRequested", "web-1", 1, nothing{})}},
		{"decided in the same instant", `"state":"PARTLY"`, []record{rec("CancellationDecided", "web-1", 1, some), rec("CancellationRequested", "web-1", 1, nothing{})}},
		{"all of it", `"state":"ACCEPTED"`, []record{rec("CancellationDecided", "web-1", 1, decision(true, 2, 0))}},
		{"refused order", `"refusal":"NO_LINES"`, []record{rec("OrderRejected", "web-1", 1, rejected{"web", "1", "NO_LINES"})}},
		{"late scan does not take a delivery back", `"state":"DELIVERED"`, []record{
			rec("ShipmentDelivered", "web-1", 9, underWay{"s1", "T1"}), rec("CarrierScanned", "web-1", 8, scanned{"s1", "T1", "x"})}},
		{"two currencies are not added", `"totals":[{"currency":"EUR","expected":0,"authorized":5`, []record{
			rec("PaymentAuthorized", "web-1", 1, paid{5, "EUR"}, "1"), rec("PaymentAuthorized", "web-1", 2, paid{7, "BRL"}, "2")}},
		{"void invoice", `"state":"VOID"`, []record{rec("InvoiceIssued", "web-1", 1, invoiced{Invoice: "I"}), rec("InvoiceVoided", "web-1", 2, voided{"I"})}},
		{"credit note", `"credits":[{"creditNote":"C","net":{"minor":9,"currency":"EUR"}`, []record{rec("CreditNoteIssued", "web-1", 1, credited{"C", "I", "EUR", 9, 0, 0})}},
		{"lost parcel replaced", `"replaces":"s1"`, []record{rec("ParcelLost", "web-1", 1, underWay{"s1", "T"}), rec("ShipmentPlanned", "web-1", 2, planned{ShipmentID: "s2", Replaces: "s1"})}},
	} {
		v := replica(t)
		fill(v, c.records...)
		if got := get(v, "GET", "/orders/acme/web-1").Body.String(); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestHandler(t *testing.T) {
	v := replica(t)
	fill(v, life()...)
	fill(v, rec("OrderPlaced", "web-2", 5, placedBody("c1")), rec("InvoiceIssued", "", 5, invoiced{Invoice: "I9"}))
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/tracking/T1", 200, `"parcels":[{"tenant":"acme","orderId":"web-1","shipment":{"source":"shipment"`},
		{"GET", "/tracking/T2", 404, `"type":"about:blank"`},
		{"GET", "/customers/acme/c1/orders", 200, `"total":2,"orders":[{"orderId":"web-2","state":"PLACED"`},
		{"GET", "/customers/other/c1/orders", 404, `"status":404`},
		{"GET", "/orders/acme/web-9", 404, `"title":"Not Found"`},
		{"GET", "/orders/other/web-1", 404, `"title":"Not Found"`},
		{"POST", "/orders/acme/web-1", 405, `"title":"Method Not Allowed"`},
		{"GET", "/", 404, `"title":"Not Found"`},
	} {
		w := get(v, c.method, c.path)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s, want %d with %s", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
		if ct := w.Header().Get("Content-Type"); w.Code >= 400 && ct != "application/problem+json" {
			t.Errorf("%s %s: refused as %s", c.method, c.path, ct)
		}
	}
	if b := get(v, "GET", "/tracking/T1").Body.String(); strings.Contains(b, "c1") || strings.Contains(b, "bulb") {
		t.Errorf("a tracking number tells more than its parcel: %s", b)
	}
}

func TestCustomerListIsBounded(t *testing.T) {
	v := replica(t)
	for i := range listLimit + 5 {
		fill(v, rec("OrderPlaced", "web-"+at(i).Format("1504"), i, placedBody("c")))
	}
	var list struct {
		Total  int
		Orders []Listed
	}
	w := get(v, http.MethodGet, "/customers/acme/c/orders")
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || list.Total != listLimit+5 || len(list.Orders) != listLimit || !list.Orders[0].PlacedAt.Equal(at(listLimit+4)) {
		t.Errorf("%d of %d, %v; want the newest %d", len(list.Orders), list.Total, err, listLimit)
	}
}

// TestReadsWhatIsPublished binds every handler to the published schemas and
// looks every event up in the estate.
func TestReadsWhatIsPublished(t *testing.T) {
	catalogue, err := schemas.Load()
	if err != nil {
		t.Fatal(err)
	}
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	wire := schemas.NewWire(catalogue, nil)
	v := New()
	for _, h := range v.Service().Views[0].Handlers {
		if _, err := h.Bind(wire); err != nil {
			t.Errorf("%s: %v", h.Event, err)
		}
		topic, ok := estate.TopicOf(h.Event)
		if !ok {
			t.Errorf("no topic carries %s", h.Event)
		}
		for _, when := range events()[h.Event] {
			if row := v.words.of(h.Event, when); row != nil && row.Source != topic.Owner {
				t.Errorf("%s is said to be %s's word, but %s owns it", h.Event, row.Source, topic.Owner)
			}
		}
	}
}

func TestMilestonesRefuse(t *testing.T) {
	text := string(defaultMilestones)
	row := func(event string) string {
		_, rest, _ := strings.Cut(text, "  - {event: "+event+",")
		line, _, _ := strings.Cut(rest, "\n")
		return "  - {event: " + event + "," + line + "\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"no row", strings.Replace(text, row("ParcelLost"), "", 1), "no row knows ParcelLost"},
		{"no row for a case", strings.Replace(text, "when: partly", "when: accepted", 1), "no row knows CancellationDecided when partly"},
		{"row of nothing", text + "  - {event: FlowStarted, section: order, source: x, code: X, says: x}\n", "FlowStarted is nothing that the view reads"},
		{"twice", text + row("ParcelLost"), "ParcelLost stands there twice"},
		{"other section", strings.Replace(text, "section: payment", "section: money", 1), `"money" is no section`},
		{"unknown field", strings.Replace(text, "code: LOST", "kode: LOST", 1), "kode"},
		{"nothing said", strings.Replace(text, "says: We have your order.", `says: ""`, 1), "row 1 lacks"},
		{"other version", strings.Replace(text, "version: 1", "version: 2", 1), "version 2 is not 1"},
	} {
		v := withMilestones([]byte(c.text))
		for _, h := range v.Service().Views[0].Handlers {
			if _, err := h.Bind(nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s binds with %v, want %q", c.name, h.Event, err, c.want)
				break
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

// TestRowsAreOfTheirFormat shows a row of each kind beside what lies in replicas. Where they
// differ, replicas cannot be read: give format another number, and what is shown its file.
func TestRowsAreOfTheirFormat(t *testing.T) {
	var shown strings.Builder
	for _, s := range sights() {
		body, err := s.body([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&shown, "%s\n", fact{event: s.event, id: "1", at: at(1), seq: 2, body: filled(reflect.TypeOf(body)).Interface()}.row())
	}
	for _, k := range []string{factKey(number{"acme", "web-1"}, "1"), key(byTracking, "T1", "acme", "web-1"), key(byCustomer, "acme", "c1", newest(at(1)), "web-1")} {
		fmt.Fprintf(&shown, "%q\n", k)
	}
	file := "testdata/rows." + format + ".txt"
	if want, err := os.ReadFile(file); err != nil || string(want) != shown.String() {
		t.Errorf("%v; %s is otherwise, rows are now:\n%s", err, file, &shown)
	}
}

// filled is a body in which everything says something.
func filled(of reflect.Type) reflect.Value {
	v := reflect.New(of).Elem()
	switch of.Kind() {
	case reflect.Struct:
		if of == reflect.TypeFor[time.Time]() {
			return reflect.ValueOf(at(3))
		}
		for i := range of.NumField() {
			v.Field(i).Set(filled(of.Field(i).Type))
		}
	case reflect.Slice:
		v.Set(reflect.Append(v, filled(of.Elem())))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(4)
	}
	return v
}

// TestReadsWhatItKept: every fact comes out of its row as it went in.
func TestReadsWhatItKept(t *testing.T) {
	v := New()
	for _, s := range sights() {
		zero, err := s.body([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		body := filled(reflect.TypeOf(zero)).Interface()
		want := fact{event: s.event, id: "1", words: v.words.of(s.event, caseOfBody(body)), at: at(1), seq: 2, body: body}
		if got, err := v.fact("1", want.row()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", s.event, got, err, want)
		}
	}
}

// TestKeysAreNotMistaken: texts that run into each other, and what no key is.
func TestKeysAreNotMistaken(t *testing.T) {
	v := replica(t)
	fill(v, rec("OrderPlaced", "web-1", 0, placedBody("c")), rec("OrderPlaced", "web-11", 0, placedBody("c\x00")))
	if h, err := v.history(number{"acme", "web-1"}); err != nil || len(h.facts) != 1 {
		t.Errorf("%v, %v: want one fact", h, err)
	}
	if latest, total, err := v.placedBy("acme", "c", 9); err != nil || total != 1 || latest[0].order != "web-1" {
		t.Errorf("%v, %d, %v: want web-1 alone", latest, total, err)
	}
	for _, k := range []string{"o\x05ab", "o\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if got, err := parts(k, "o"); err == nil {
			t.Errorf("%q is taken for %q", k, got)
		}
	}
}

// TestUnreadableRow: what a view cannot read is said, not told as if it were not there.
func TestUnreadableRow(t *testing.T) {
	v := replica(t)
	fill(v, rec("OrderPlaced", "web-1", 0, placedBody("c1")), rec("ShipmentDispatched", "web-1", 1, dispatched{ShipmentID: "s1", TrackingNumber: "T1"}))
	v.rows.Put(factKey(number{"acme", "web-1"}, "2"), []byte("{"))
	fill(v)
	for _, path := range []string{"/orders/acme/web-1", "/tracking/T1", "/customers/acme/c1/orders"} {
		if w := get(v, "GET", path); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
