package invoicing

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

// Gateway asks an ERP over SOAP. It keeps our idempotency key, so asking again
// is harmless.
type Gateway struct{ Partner partner.Client }

type soapLine struct {
	Line     int32  `xml:"line"`
	SKU      string `xml:"sku"`
	Quantity int32  `xml:"quantity"`
	Net      int64  `xml:"net"`
	Freight  int64  `xml:"freight"`
	Tax      int64  `xml:"tax"`
}

type bookOrder struct {
	XMLName  xml.Name   `xml:"urn:troupe:erp:v1 BookOrder"`
	Tenant   string     `xml:"tenant"`
	Order    string     `xml:"order"`
	Currency string     `xml:"currency"`
	Lines    []soapLine `xml:"lines>line"`
}

type bookOrderResponse struct {
	XMLName   xml.Name `xml:"urn:troupe:erp:v1 BookOrderResponse"`
	Accepted  bool     `xml:"accepted"`
	ERPNumber string   `xml:"erpNumber"`
	Reason    string   `xml:"reason"`
}

type billShipment struct {
	XMLName    xml.Name   `xml:"urn:troupe:erp:v1 BillShipment"`
	Tenant     string     `xml:"tenant"`
	ERPNumber  string     `xml:"erpNumber"`
	ShipmentID string     `xml:"shipmentId"`
	Currency   string     `xml:"currency"`
	Lines      []soapLine `xml:"lines>line"`
}

type billShipmentResponse struct {
	XMLName  xml.Name `xml:"urn:troupe:erp:v1 BillShipmentResponse"`
	Accepted bool     `xml:"accepted"`
	Reason   string   `xml:"reason"`
}

// Book implements ERP.
func (g Gateway) Book(ctx context.Context, call topology.Call, r bookRequest) (erpBookingAnswered, error) {
	var a bookOrderResponse
	err := callSOAP(ctx, g.Partner, "BookOrder", call.ID, bookOrder{
		Tenant: call.Envelope.Tenant, Order: call.Envelope.Order, Currency: r.Currency, Lines: soapLines(r.Lines),
	}, &a)
	if err != nil {
		return erpBookingAnswered{Reason: err.Error()}, final(err, call)
	}
	return erpBookingAnswered{Accepted: a.Accepted, ERPNumber: a.ERPNumber, Reason: a.Reason}, nil
}

// Bill implements ERP.
func (g Gateway) Bill(ctx context.Context, call topology.Call, r billRequest) (erpBillingAnswered, error) {
	var a billShipmentResponse
	err := callSOAP(ctx, g.Partner, "BillShipment", call.ID, billShipment{
		Tenant: call.Envelope.Tenant, ERPNumber: r.ERPNumber, ShipmentID: r.ShipmentID, Currency: r.Currency, Lines: soapLines(r.Lines),
	}, &a)
	if err != nil {
		return erpBillingAnswered{ShipmentID: r.ShipmentID, Reason: err.Error()}, final(err, call)
	}
	return erpBillingAnswered{ShipmentID: r.ShipmentID, Accepted: a.Accepted, Reason: a.Reason}, nil
}

// final swallows an error that ends the asking: a fault that blames the
// request, or silence to the last. The answer then carries its words.
func final(err error, call topology.Call) error {
	var fault *soapFault
	if call.Last || errors.As(err, &fault) && fault.client() {
		return nil
	}
	return err
}

// callSOAP asks for an operation and reads its answer.
func callSOAP(ctx context.Context, p partner.Client, action, key string, request, answer any) error {
	body, err := writeSOAP(request)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", `"`+erpNamespace+"/"+action+`"`)
	req.Header.Set("Idempotency-Key", key)
	client := p.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, partner.MaxBody))
	if err != nil {
		return fmt.Errorf("%s: read answer: %w", action, err)
	}
	// A fault comes with 500 by the standard, so the body is read first.
	if err := readSOAP(b, answer); err != nil {
		return fmt.Errorf("%s: %s: %w", action, resp.Status, err)
	}
	return nil
}

func soapLines(lines []BillLine) (out []soapLine) {
	for _, l := range lines {
		out = append(out, soapLine(l))
	}
	return out
}

// deliverDocument is what the ERP pushes. A line may belong to another of the
// ERP's numbers than the document: a collective invoice.
type deliverDocument struct {
	XMLName   xml.Name  `xml:"urn:troupe:erp:v1 DeliverDocument"`
	Tenant    string    `xml:"tenant"`
	Document  string    `xml:"document"`
	Kind      string    `xml:"kind"`
	ERPNumber string    `xml:"erpNumber"`
	Currency  string    `xml:"currency"`
	IssuedAt  time.Time `xml:"issuedAt"`
	RefersTo  string    `xml:"refersTo"`
	Lines     []struct {
		Line       int32  `xml:"line"`
		ERPNumber  string `xml:"erpNumber"`
		ShipmentID string `xml:"shipmentId"`
		Quantity   int32  `xml:"quantity"`
		Net        int64  `xml:"net"`
		Freight    int64  `xml:"freight"`
		Tax        int64  `xml:"tax"`
	} `xml:"lines>line"`
}

type deliverDocumentResponse struct {
	XMLName  xml.Name `xml:"urn:troupe:erp:v1 DeliverDocumentResponse"`
	Accepted bool     `xml:"accepted"`
}

type faultElement struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
	Code    string   `xml:"faultcode"`
	String  string   `xml:"faultstring"`
}

// erpIntake takes the ERP's documents.
func erpIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /erp",
		Doc:     "documents of the ERP, by SOAP",
		Writes:  []topology.Output{topology.Asks[erpDocumentReceived]("invoicing.erp")},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, partner.MaxBody))
			if err != nil {
				answerSOAP(w, faultElement{Code: "soap:Client", String: "read the request: " + err.Error()})
				return
			}
			var d deliverDocument
			if err := readSOAP(body, &d); err != nil {
				answerSOAP(w, faultElement{Code: "soap:Client", String: err.Error()})
				return
			}
			if d.Tenant == "" || d.Document == "" || d.IssuedAt.IsZero() {
				answerSOAP(w, faultElement{Code: "soap:Client", String: "tenant, document and issuedAt are needed"})
				return
			}
			err = send(r.Context(), split(d)...)
			if errors.Is(err, topology.ErrTooLarge) {
				answerSOAP(w, faultElement{Code: "soap:Client", String: "no repeat will be accepted: " + err.Error()})
				return
			}
			if err != nil {
				answerSOAP(w, faultElement{Code: "soap:Server", String: "not accepted, please repeat: " + err.Error()})
				return
			}
			answerSOAP(w, deliverDocumentResponse{Accepted: true})
		},
	}
}

func answerSOAP(w http.ResponseWriter, element any) {
	body, err := writeSOAP(element)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	if _, fault := element.(faultElement); fault {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, _ = w.Write(body) // a client that hangs up asks again
}

// split makes one message of each ERP number that a document names.
func split(d deliverDocument) (out []topology.Request) {
	lines := map[string][]DocumentLine{d.ERPNumber: {}}
	for _, l := range d.Lines {
		number := l.ERPNumber
		if number == "" {
			number = d.ERPNumber
		}
		lines[number] = append(lines[number], DocumentLine{
			Line: l.Line, ShipmentID: l.ShipmentID, Quantity: l.Quantity, Net: l.Net, Freight: l.Freight, Tax: l.Tax,
		})
	}
	for _, number := range slices.Sorted(maps.Keys(lines)) {
		if len(lines[number]) == 0 && len(lines) > 1 {
			continue // the heading of a collective invoice bills nothing itself
		}
		out = append(out, topology.Request{Inbox: "invoicing.erp", Key: erpKey(d.Tenant, number), Message: &erpDocumentReceived{
			Envelope: schemas.Envelope{ID: schemas.FactID("erp.document", d.Tenant, d.Kind, d.Document, number), OccurredAt: d.IssuedAt, Tenant: d.Tenant},
			Document: d.Document, ERPNumber: number, Kind: d.Kind, Currency: d.Currency, IssuedAt: d.IssuedAt, RefersTo: d.RefersTo, Lines: lines[number],
		}})
	}
	return out
}
