package invoicing

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// SOAP 1.1, document/literal: an envelope around one element of the ERP's
// namespace. That is all of the protocol that is needed here, and no library
// for it is kept well; see topology/decisions.
const (
	soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"
	erpNamespace  = "urn:troupe:erp:v1"
)

type soapEnvelope struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
	Body    soapBody `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
}

type soapBody struct {
	Fault   *soapFault `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
	Content []byte     `xml:",innerxml"`
}

// soapFault is the other side's refusal.
type soapFault struct {
	Code   string `xml:"faultcode"`
	String string `xml:"faultstring"`
}

func (f *soapFault) Error() string { return "SOAP fault " + f.Code + ": " + f.String }

// client is true when the fault says that the request was wrong, so that asking
// again would not help.
func (f *soapFault) client() bool {
	return f.Code == "Client" || strings.HasSuffix(f.Code, ":Client")
}

// writeSOAP wraps an element in an envelope.
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

// readSOAP unwraps an envelope into an element. A fault is an error.
func readSOAP(body []byte, into any) error {
	var e soapEnvelope
	if err := xml.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("read SOAP envelope: %w", err)
	}
	if e.Body.Fault != nil {
		return e.Body.Fault
	}
	if err := xml.Unmarshal(e.Body.Content, into); err != nil {
		return fmt.Errorf("read SOAP body: %w", err)
	}
	return nil
}
