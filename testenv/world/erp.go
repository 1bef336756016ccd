package world

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The ERP speaks SOAP 1.1, document/literal.
const (
	soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"
	erpNamespace  = "urn:troupe:erp:v1"
)

type erpRequest struct {
	XMLName    xml.Name
	Tenant     string        `xml:"tenant"`
	Order      string        `xml:"order"`
	ERPNumber  string        `xml:"erpNumber"`
	ShipmentID string        `xml:"shipmentId"`
	Currency   string        `xml:"currency"`
	Lines      []requestLine `xml:"lines>line"`
}

type bookOrderResponse struct {
	XMLName   xml.Name `xml:"urn:troupe:erp:v1 BookOrderResponse"`
	Accepted  bool     `xml:"accepted"`
	ERPNumber string   `xml:"erpNumber"`
	Reason    string   `xml:"reason"`
}

type billShipmentResponse struct {
	XMLName  xml.Name `xml:"urn:troupe:erp:v1 BillShipmentResponse"`
	Accepted bool     `xml:"accepted"`
	Reason   string   `xml:"reason"`
}

type fault struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
	Code    string   `xml:"faultcode"`
	String  string   `xml:"faultstring"`
}

// serveERP takes an operation.
func (w *World) serveERP(rw http.ResponseWriter, r *http.Request) {
	name, in, err := readOperation(http.MaxBytesReader(rw, r.Body, maxBody))
	key := r.Header.Get("Idempotency-Key")
	if err != nil || key == "" {
		answerSOAP(rw, fault{Code: "soap:Client", String: fmt.Sprintf("an operation and the header Idempotency-Key are needed: %v", err)})
		return
	}
	if name != "BookOrder" && name != "BillShipment" {
		answerSOAP(rw, fault{Code: "soap:Client", String: "no operation " + name})
		return
	}
	body, err := json.Marshal(in)
	if err != nil {
		answerSOAP(rw, fault{Code: "soap:Server", String: err.Error()})
		return
	}
	a, err := w.take(name, key, body)
	if err != nil {
		a = fault{Code: "soap:Server", String: err.Error()}
	}
	answerSOAP(rw, a)
}

func readOperation(r io.Reader) (string, request, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return "", request{}, err
	}
	var envelope struct {
		Body struct {
			Content []byte `xml:",innerxml"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	if err := xml.Unmarshal(b, &envelope); err != nil {
		return "", request{}, err
	}
	var in erpRequest
	if err := xml.Unmarshal(envelope.Body.Content, &in); err != nil {
		return "", request{}, err
	}
	if in.XMLName.Space != erpNamespace {
		return "", request{}, errors.New("the body is not of " + erpNamespace)
	}
	return in.XMLName.Local, request{
		Tenant: in.Tenant, Order: in.Order, ERPNumber: in.ERPNumber, ShipmentID: in.ShipmentID, Currency: in.Currency, Lines: in.Lines,
	}, nil
}

func writeSOAP(element any) ([]byte, error) {
	content, err := xml.Marshal(element)
	if err != nil {
		return nil, fmt.Errorf("encode SOAP body: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	fmt.Fprintf(&b, `<soap:Envelope xmlns:soap="%s"><soap:Body>%s</soap:Body></soap:Envelope>`, soapNamespace, content)
	return b.Bytes(), nil
}

func answerSOAP(rw http.ResponseWriter, element any) {
	b, err := writeSOAP(element)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/xml; charset=utf-8")
	if _, no := element.(fault); no {
		rw.WriteHeader(http.StatusInternalServerError) // as the standard has it
	}
	_, _ = rw.Write(b) // who hangs up asks again
}

// book gives an order its number in the ERP.
func (w *World) book(r request, at time.Time) any {
	n := number("4", r.Tenant, r.Order)
	w.booked[n] = w.order(r.Tenant, r.Order, at)
	return bookOrderResponse{Accepted: true, ERPNumber: n}
}

// bill takes a shipment to invoice, with the second full hour from now: the
// ERP's batch runs hourly and takes what lay there before the last one ended.
func (w *World) bill(r request, at time.Time) any {
	o := w.booked[r.ERPNumber]
	if o == nil {
		return billShipmentResponse{Reason: "no order " + r.ERPNumber}
	}
	b := o.Billing
	if b.Never {
		return billShipmentResponse{Accepted: true}
	}
	issuedAt := at.Truncate(time.Hour).Add(2 * time.Hour)
	w.invoice(r, number("INV", r.Tenant, r.ShipmentID), issuedAt, b.Over)
	if b.Twice {
		w.invoice(r, number("INV", r.Tenant, r.ShipmentID, "again"), issuedAt.Add(time.Hour), 0)
	}
	return billShipmentResponse{Accepted: true}
}

type document struct {
	XMLName   xml.Name       `xml:"urn:troupe:erp:v1 DeliverDocument"`
	Tenant    string         `xml:"tenant"`
	Document  string         `xml:"document"`
	Kind      string         `xml:"kind"`
	ERPNumber string         `xml:"erpNumber"`
	Currency  string         `xml:"currency"`
	IssuedAt  time.Time      `xml:"issuedAt"`
	RefersTo  string         `xml:"refersTo"`
	Lines     []documentLine `xml:"lines>line"`
}

type documentLine struct {
	Line       int32  `xml:"line"`
	ERPNumber  string `xml:"erpNumber"`
	ShipmentID string `xml:"shipmentId"`
	Quantity   int32  `xml:"quantity"`
	Net        int64  `xml:"net"`
	Freight    int64  `xml:"freight"`
	Tax        int64  `xml:"tax"`
}

// invoice delivers a document for a shipment.
func (w *World) invoice(r request, name string, at time.Time, over int64) {
	d := document{Tenant: r.Tenant, Document: name, Kind: "INVOICE", ERPNumber: r.ERPNumber, Currency: r.Currency, IssuedAt: at}
	for _, l := range r.Lines {
		d.Lines = append(d.Lines, documentLine{
			Line: l.Line, ERPNumber: r.ERPNumber, ShipmentID: r.ShipmentID,
			Quantity: l.Quantity, Net: l.Net + over, Freight: l.Freight, Tax: l.Tax,
		})
		over = 0
	}
	w.later(at, "document/"+name, func(ctx context.Context) error {
		body, err := writeSOAP(d)
		if err != nil {
			return err
		}
		return w.send(ctx, w.estate.Invoicing+"/erp", "document/"+name, "text/xml; charset=utf-8", body)
	})
}
