package payment

import (
	"context"
	"net/http"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

// Gateway asks a payment provider over HTTP. The provider keeps our idempotency
// key, so a call that may have got through is looked up before it is repeated.
type Gateway struct{ Partner partner.Client }

// answered is the shape of all of the provider's answers.
type answered struct {
	Status    string `json:"status"`
	Reference string `json:"reference"`
	Capture   string `json:"capture"`
	Refund    string `json:"refund"`
	Amount    int64  `json:"amount"`
	ExpiresAt millis `json:"expiresAt"`
	Reason    string `json:"reason"`
}

// Open implements Provider.
func (g Gateway) Open(ctx context.Context, call topology.Call, r openRequest) (tenderOpened, error) {
	a, err := g.ask(ctx, call, "/tenders", declined, map[string]any{
		"tenant": call.Envelope.Tenant, "order": call.Envelope.Order,
		"tender": r.Tender, "kind": r.Kind, "amount": r.Amount, "currency": r.Currency,
	})
	return tenderOpened{
		Tender: r.Tender, Status: a.Status, Reference: a.Reference, Amount: a.Amount, ExpiresAt: a.ExpiresAt.time(), Reason: a.Reason,
	}, err
}

// Capture implements Provider.
func (g Gateway) Capture(ctx context.Context, call topology.Call, r captureRequest) (captureAnswered, error) {
	a, err := g.ask(ctx, call, "/captures", failed, map[string]any{
		"reference": r.Reference, "shipmentId": r.ShipmentID, "amount": r.Amount, "currency": r.Currency, "last": r.Last,
	})
	return captureAnswered{
		Tender: r.Tender, ShipmentID: r.ShipmentID, Status: a.Status, Capture: a.Capture, Asked: r.Amount, Amount: a.Amount, Reason: a.Reason,
	}, err
}

// Void implements Provider.
func (g Gateway) Void(ctx context.Context, call topology.Call, r voidRequest) (voidAnswered, error) {
	a, err := g.ask(ctx, call, "/voids", failed, map[string]any{"reference": r.Reference})
	return voidAnswered{Tender: r.Tender, Status: a.Status, Amount: a.Amount, Reason: a.Reason}, err
}

// Refund implements Provider.
func (g Gateway) Refund(ctx context.Context, call topology.Call, r refundRequest) (refundAnswered, error) {
	a, err := g.ask(ctx, call, "/refunds", failed, map[string]any{"reference": r.Reference, "amount": r.Amount})
	return refundAnswered{Tender: r.Tender, Status: a.Status, Refund: a.Refund, Amount: a.Amount, Reason: a.Reason}, err
}

// ask calls the provider. What it refuses ends with the given status; what it
// does not answer to the last is unknown, never a second try under another key.
func (g Gateway) ask(ctx context.Context, call topology.Call, path, refused string, request any) (answered, error) {
	var a answered
	err := g.lookUpOrPost(ctx, call, path, request, &a)
	switch {
	case err == nil:
		return a, nil
	case partner.Refused(err):
		return answered{Status: refused, Reason: err.Error()}, nil
	case call.Last:
		return answered{Status: unknown, Reason: err.Error()}, nil
	}
	return answered{}, err
}

func (g Gateway) lookUpOrPost(ctx context.Context, call topology.Call, path string, request, into any) error {
	if call.Again {
		err := g.Partner.Get(ctx, path+"/"+call.ID, into)
		if !partner.Refused(err, http.StatusNotFound) {
			return err
		}
	}
	return g.Partner.Post(ctx, path, call.ID, request, into)
}

// millis is an instant as milliseconds since 1970; 0 is none.
type millis int64

func (m millis) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// providerIntake takes the provider's later word on tenders.
func providerIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /provider/events",
		Doc:     "final answers of the payment provider",
		Writes:  []topology.Output{topology.Asks[tenderSettled]("payment")},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			var in struct {
				ID, Tenant, Order         string
				Tender                    int32
				Status, Reference, Reason string
				Amount                    int64
				ExpiresAt                 millis
				At                        time.Time
			}
			whole := func() bool { return in.ID != "" && in.Tenant != "" && in.Order != "" && !in.At.IsZero() }
			if !partner.Read(w, r, &in, "id, tenant, order and at", whole) {
				return
			}
			m := &tenderSettled{
				Envelope: schemas.Envelope{
					ID: schemas.FactID("payment.provider", in.Tenant, in.ID), OccurredAt: in.At, Tenant: in.Tenant, Order: in.Order,
				},
				Tender: in.Tender, Status: in.Status, Reference: in.Reference, Amount: in.Amount,
				ExpiresAt: in.ExpiresAt.time(), Reason: in.Reason, SettledAt: in.At,
			}
			partner.Accept(w, r, send, topology.Request{Inbox: "payment", Key: in.Tenant + "/" + in.Order, Message: m})
		},
	}
}
