package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// order is an order as order capture's intake takes it. The edge reads all of
// it to refuse what it does not know: a misspelt field that is passed over is a
// line without its discount.
type order struct {
	Tenant       string    `json:"tenant"`
	Channel      string    `json:"channel"`
	ChannelOrder string    `json:"channelOrder"`
	Customer     customer  `json:"customer"`
	Currency     string    `json:"currency"`
	Lines        []line    `json:"lines"`
	Tenders      []tender  `json:"tenders"`
	PromisedBy   time.Time `json:"promisedBy,omitzero"`
	PlacedAt     time.Time `json:"placedAt"`
}

type customer struct {
	CustomerID string `json:"customerId"`
	Name       string `json:"name"`
	Email      string `json:"email"`
	City       string `json:"city"`
	State      string `json:"state"`
	Postcode   string `json:"postcode"`
}

type line struct {
	Line     int32     `json:"line"`
	SKU      string    `json:"sku"`
	Quantity int32     `json:"quantity"`
	UnitNet  int64     `json:"unitNet"`
	Discount int64     `json:"discount"`
	Freight  int64     `json:"freight"`
	Tax      int64     `json:"tax"`
	Node     string    `json:"node"`
	ShipBy   time.Time `json:"shipBy,omitzero"`
}

type tender struct {
	Sequence int32  `json:"sequence"`
	Kind     string `json:"kind"`
	Amount   int64  `json:"amount"`
}

// cancellation is a wish to cancel as order capture's intake takes it.
type cancellation struct {
	RequestedBy string    `json:"requestedBy"`
	Reason      string    `json:"reason"`
	At          time.Time `json:"at"`
}

// command is a request that is fit to be forwarded.
type command struct {
	tenant, order string
	path          string // at order capture
	body          []byte // encoded anew, so that order capture reads what was checked here
}

// refusal is why a request is not forwarded.
type refusal struct {
	status int
	detail string
}

func readOrder(r *http.Request) (command, *refusal) {
	var o order
	if no := decode(r, &o); no != nil {
		return command{}, no
	}
	err := errors.Join(
		identifier("tenant", o.Tenant), identifier("channel", o.Channel), identifier("channelOrder", o.ChannelOrder),
		identifier("customer.customerId", o.Customer.CustomerID), required("currency", o.Currency != ""), required("placedAt", !o.PlacedAt.IsZero()),
	)
	for i, l := range o.Lines {
		err = errors.Join(err, short(fmt.Sprintf("lines[%d].sku", i), l.SKU), short(fmt.Sprintf("lines[%d].node", i), l.Node))
	}
	return fit(command{tenant: o.Tenant, order: o.Channel + "-" + o.ChannelOrder, path: "/orders"}, o, err)
}

func readCancellation(r *http.Request) (command, *refusal) {
	var c cancellation
	if no := decode(r, &c); no != nil {
		return command{}, no
	}
	tenant, order := r.PathValue("tenant"), r.PathValue("order")
	err := errors.Join(
		identifier("tenant", tenant), identifier("order", order),
		required("requestedBy", c.RequestedBy != ""), required("reason", c.Reason != ""), required("at", !c.At.IsZero()),
	)
	return fit(command{tenant: tenant, order: order, path: pathOf("orders", tenant, order, "cancellation")}, c, err)
}

func fit(c command, body any, err error) (command, *refusal) {
	if err != nil {
		return command{}, &refusal{http.StatusUnprocessableEntity, strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	if c.body, err = json.Marshal(body); err != nil {
		// A time of the year 10000 can be read and not written.
		return command{}, &refusal{http.StatusUnprocessableEntity, "the body holds a value that cannot be passed on"}
	}
	return c, nil
}

// decode reads one JSON value of a known shape, and nothing after it.
func decode(r *http.Request, into any) *refusal {
	if t := r.Header.Get("Content-Type"); t != "" {
		if media, _, err := mime.ParseMediaType(t); err != nil || media != "application/json" {
			return &refusal{http.StatusUnsupportedMediaType, "the body must be application/json"}
		}
	}
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	}
	if err != nil {
		return &refusal{http.StatusBadRequest, "the body did not arrive in full"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &refusal{http.StatusBadRequest, "the body is not of the agreed shape: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	if _, err := d.Token(); err != io.EOF {
		return &refusal{http.StatusBadRequest, "something follows the body"}
	}
	return nil
}

func required(name string, there bool) error {
	if !there {
		return errors.New(name + " is required")
	}
	return nil
}

// identifierLimit bounds a tenant, a channel, an order's or a customer's number, a SKU
// and a node, in bytes.
const identifierLimit = 128

// short checks a name that the estate makes keys of.
func short(name, text string) error {
	if len(text) > identifierLimit {
		return fmt.Errorf("%s is longer than %d bytes", name, identifierLimit)
	}
	return nil
}

// identifier checks what becomes part of keys and addresses: the estate's keys
// are tenant/order, so a slash in either would name another tenant's order.
func identifier(name, id string) error {
	if err := short(name, id); err != nil {
		return err
	}
	switch {
	case id == "":
		return errors.New(name + " is required")
	case id == "." || id == "..":
		return errors.New(name + " is no part of an address")
	case strings.ContainsFunc(id, func(r rune) bool {
		return r == '/' || unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == unicode.ReplacementChar
	}):
		return errors.New(name + " holds a slash, a space or a character that cannot be shown")
	}
	return nil
}
