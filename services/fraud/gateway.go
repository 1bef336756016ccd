package fraud

import (
	"context"
	"net/http"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

// Gateway asks a scoring service over HTTP.
type Gateway struct{ Partner partner.Client }

// Score implements Scorer.
func (g Gateway) Score(ctx context.Context, call topology.Call, r scoreRequest) (fraudScored, error) {
	e := call.Envelope
	request := map[string]any{
		"tenant": e.Tenant, "order": e.Order, "customerId": r.CustomerID, "amount": r.Amount, "currency": r.Currency,
	}
	var answer struct {
		Decision string `json:"decision"`
		Score    int32  `json:"score"`
		Reason   string `json:"reason"`
	}
	if err := g.Partner.Post(ctx, "/scores", call.ID, request, &answer); err != nil {
		if call.Last {
			return fraudScored{Decision: hold, Reason: "the scoring service does not answer: " + err.Error()}, nil
		}
		return fraudScored{}, err
	}
	return fraudScored{Decision: answer.Decision, Score: answer.Score, Reason: answer.Reason}, nil
}

// deskIntake takes the risk desk's reviews.
func deskIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /desk/events",
		Doc:     "reviews of the risk desk",
		Writes:  []topology.Output{topology.Asks[fraudReviewed]("fraud")},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			var in struct {
				ID, Tenant, Order, Decision, Reviewer, Reason string
				Score                                         int32
				At                                            time.Time
			}
			whole := func() bool { return in.ID != "" && in.Tenant != "" && in.Order != "" && !in.At.IsZero() }
			if !partner.Read(w, r, &in, "id, tenant, order and at", whole) {
				return
			}
			m := &fraudReviewed{
				Envelope: schemas.Envelope{ID: schemas.FactID("fraud.desk", in.Tenant, in.ID), OccurredAt: in.At, Tenant: in.Tenant, Order: in.Order},
				Decision: in.Decision, Reviewer: in.Reviewer, Score: in.Score, Reason: in.Reason,
			}
			partner.Accept(w, r, send, topology.Request{Inbox: "fraud", Key: in.Tenant + "/" + in.Order, Message: m})
		},
	}
}
