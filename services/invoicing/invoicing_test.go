package invoicing

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func turn(key string) *topology.Turn {
	return &topology.Turn{Now: start, Cause: topology.Cause{Key: key, Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}}
}

func names(t *topology.Turn) string {
	var out []string
	for _, f := range t.Outputs().Facts {
		out = append(out, f.Type)
	}
	for _, r := range t.Outputs().Requests {
		out = append(out, r.Type+">"+r.Key)
	}
	for _, i := range t.Outputs().Intents {
		out = append(out, i.Effect)
	}
	return strings.Join(out, " ")
}

func TestADispatchBeforeItsBookingWaits(t *testing.T) {
	var b Billing
	tn := turn("acme/web-1")
	if err := onDispatched(&b, dispatched{ShipmentID: "s", Lines: []BillLine{{Line: 1, Net: 5}}}, tn); err != nil || names(tn) != "" {
		t.Fatalf("%v %s", err, names(tn))
	}
	tn = turn("acme/web-1")
	if err := onBooked(&b, erpBookingAnswered{Accepted: true, ERPNumber: "77"}, tn); err != nil {
		t.Fatal(err)
	}
	if got := names(tn); got != "ErpOrderBooked ErpNumberAssigned>acme/erp:77 erp.bill" {
		t.Errorf("%s", got)
	}
	if err := onDispatched(&b, dispatched{ShipmentID: "s"}, turn("acme/web-1")); !topology.Dropped(err) {
		t.Errorf("a shipment is billed once: %v", err)
	}
}

func TestDocumentAndBookingInEitherOrder(t *testing.T) {
	d := delivered{Document: "D1", Kind: invoice, Lines: []DocumentLine{{Line: 1, ShipmentID: "s", Quantity: 1, Net: 5}}}
	a := assigned{OrderKey: "acme/web-1", Order: "web-1"}
	arrive := func(al *Alias, t *topology.Turn) error { return onDelivered(al, d, t) }
	assign := func(al *Alias, t *topology.Turn) error { return onAssigned(al, a, t) }
	for _, c := range []struct {
		name  string
		steps []func(*Alias, *topology.Turn) error
		want  string
	}{
		{"booked first", []func(*Alias, *topology.Turn) error{assign, arrive}, "InvoiceReceived>acme/web-1"},
		{"document first", []func(*Alias, *topology.Turn) error{arrive, assign}, "InvoiceReceived>acme/web-1"},
		{"never booked", []func(*Alias, *topology.Turn) error{arrive, onOrphan}, "InvoiceIssued"},
		{"booked too late", []func(*Alias, *topology.Turn) error{arrive, onOrphan, assign}, "InvoiceIssued InvoiceVoided InvoiceReceived>acme/web-1"},
	} {
		var al Alias
		var got []string
		for _, s := range c.steps {
			tn := turn("acme/erp:77")
			if err := s(&al, tn); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if n := names(tn); n != "" {
				got = append(got, n)
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %s, want %s", c.name, g, c.want)
		}
	}
}

func TestADocumentOfNoKindDoesNotWait(t *testing.T) {
	var a Alias
	if err := onDelivered(&a, delivered{Document: "D1", Kind: "LETTER"}, turn("acme/erp:77")); !topology.Poisoned(err) || len(a.Waiting) > 0 {
		t.Errorf("%v, and %+v waits", err, a.Waiting)
	}
}

func TestADocumentIsPublishedOnce(t *testing.T) {
	var b Billing
	e := document{Invoice: "D1", Kind: invoice}
	if err := onReceived(&b, e, turn("acme/web-1")); err != nil {
		t.Fatal(err)
	}
	if err := onReceived(&b, e, turn("acme/web-1")); !topology.Dropped(err) {
		t.Errorf("%v", err)
	}
	if err := onReceived(&b, document{Invoice: "D2", Kind: "RECEIPT"}, turn("acme/web-1")); !topology.Poisoned(err) {
		t.Errorf("%v", err)
	}
}

func TestSOAPOverHTTP(t *testing.T) {
	var asked string
	answer := `<BookOrderResponse xmlns="urn:troupe:erp:v1"><accepted>true</accepted><erpNumber>77</erpNumber></BookOrderResponse>`
	erp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = r.Header.Get("SOAPAction") + string(b)
		_, _ = io.WriteString(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`+answer+`</s:Body></s:Envelope>`)
	}))
	defer erp.Close()
	g := Gateway{Partner: partner.Client{URL: erp.URL}}
	call := topology.Call{ID: "k", Envelope: schemas.Envelope{Tenant: "acme", Order: "web-1"}}
	got, err := g.Book(context.Background(), call, bookRequest{Currency: "EUR", Lines: []BillLine{{Line: 1, SKU: "a & b", Net: 5}}})
	if err != nil || got.ERPNumber != "77" || !got.Accepted {
		t.Errorf("%+v %v", got, err)
	}
	for _, part := range []string{`"urn:troupe:erp:v1/BookOrder"`, "<order>web-1</order>", "<sku>a &amp; b</sku>"} {
		if !strings.Contains(asked, part) {
			t.Errorf("%s misses %s", asked, part)
		}
	}
	answer = `<s:Fault><faultcode>s:Client</faultcode><faultstring>no such currency</faultstring></s:Fault>`
	if got, err = g.Book(context.Background(), call, bookRequest{}); err != nil || got.Accepted || !strings.Contains(got.Reason, "no such currency") {
		t.Errorf("a fault that blames the request is an answer: %+v %v", got, err)
	}
	answer = `<s:Fault><faultcode>s:Server</faultcode><faultstring>down</faultstring></s:Fault>`
	if _, err = g.Book(context.Background(), call, bookRequest{}); !errors.As(err, new(*soapFault)) {
		t.Errorf("a fault of the server is tried again: %v", err)
	}
}

func TestIntakeSplitsACollectiveInvoice(t *testing.T) {
	body := `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>
<DeliverDocument xmlns="urn:troupe:erp:v1"><tenant>acme</tenant><document>D1</document><kind>INVOICE</kind><currency>EUR</currency>
<issuedAt>2026-01-05T09:00:00Z</issuedAt><lines><line><line>1</line><erpNumber>7</erpNumber><net>5</net></line>
<line><line>1</line><erpNumber>8</erpNumber><net>6</net></line></lines></DeliverDocument></soap:Body></soap:Envelope>`
	var sent []topology.Request
	send := func(_ context.Context, m ...topology.Request) error { sent = append(sent, m...); return nil }
	rec := httptest.NewRecorder()
	erpIntake().Handle(rec, httptest.NewRequest("POST", "/erp", strings.NewReader(body)), send)
	if rec.Code != 200 || len(sent) != 2 || sent[0].Key != "acme/erp:7" || sent[1].Key != "acme/erp:8" {
		t.Errorf("%d %s: %+v", rec.Code, rec.Body, sent)
	}
	rec = httptest.NewRecorder()
	erpIntake().Handle(rec, httptest.NewRequest("POST", "/erp", strings.NewReader("<a/>")), send)
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "soap:Client") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for err, code := range map[error]string{topology.ErrTooLarge: "soap:Client", errors.New("the broker is away"): "soap:Server"} {
		rec = httptest.NewRecorder()
		refuses := func(context.Context, ...topology.Request) error { return err }
		erpIntake().Handle(rec, httptest.NewRequest("POST", "/erp", strings.NewReader(body)), refuses)
		if rec.Code != 500 || !strings.Contains(rec.Body.String(), code) {
			t.Errorf("%v: %d %s, want %s", err, rec.Code, rec.Body, code)
		}
	}
}
