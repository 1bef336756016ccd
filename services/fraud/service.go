package fraud

import (
	"context"

	"troupe/schemas"
	"troupe/topology"
)

// What this context publishes.
type (
	fraudHoldPlaced struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	fraudCleared struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Basis            string `avro:"basis"`
	}
	fraudRejected struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Basis            string `avro:"basis"`
		Reason           string `avro:"reason"`
	}
)

// What reaches its inbox.
type (
	fraudScored struct {
		schemas.Envelope `avro:"envelope"`
		Decision         string `avro:"decision"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	fraudReviewed struct {
		schemas.Envelope `avro:"envelope"`
		Decision         string `avro:"decision"`
		Reviewer         string `avro:"reviewer"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
)

// placed is what fraud reads of OrderPlaced.
type placed struct {
	CustomerID string `avro:"customerId"`
	Currency   string `avro:"currency"`
	Tenders    []struct {
		Amount int64 `avro:"amount"`
	} `avro:"tenders"`
}

// review is what fraud reads of FraudReviewed.
type review struct {
	Decision string `avro:"decision"`
	Score    int32  `avro:"score"`
	Reason   string `avro:"reason"`
}

// scoreRequest is the intent of fraud.score.
type scoreRequest struct {
	CustomerID string `avro:"customerId"`
	Amount     int64  `avro:"amount"`
	Currency   string `avro:"currency"`
}

// Scorer is the scoring service. An error means that it may be asked again.
type Scorer interface {
	Score(ctx context.Context, call topology.Call, r scoreRequest) (fraudScored, error)
}

// Service is the fraud context.
func Service(scorer Scorer) topology.Service {
	return topology.Service{
		Name: "fraud", Owner: "risk",
		Doc: "decides whether an order may be trusted with goods",
		Publishes: []topology.Output{
			topology.Publishes[fraudCleared](),
			topology.Publishes[fraudHoldPlaced](),
			topology.Publishes[fraudRejected](),
		},
		Sets: []topology.Set{topology.Keyed("", "order", "fraud.assessment",
			topology.On("OrderPlaced", onPlaced),
			topology.Outcome("fraud.score", topology.ByKey, scorer.Score, onScored),
			topology.Asked("FraudReviewed", onReviewed),
		)},
		Intakes: []topology.Intake{deskIntake()},
	}
}

func onPlaced(a *Assessment, e placed, t *topology.Turn) error {
	if a.Asked {
		return topology.Drop("already asked for a score")
	}
	a.Asked = true
	request := scoreRequest{CustomerID: e.CustomerID, Currency: e.Currency}
	for _, tender := range e.Tenders {
		request.Amount += tender.Amount
	}
	t.Intend("fraud.score", request, "")
	return nil
}

func onScored(a *Assessment, e fraudScored, t *topology.Turn) error {
	return decide(a, review{Decision: e.Decision, Score: e.Score, Reason: e.Reason}, "SCORE", t)
}

func onReviewed(a *Assessment, e review, t *topology.Turn) error {
	return decide(a, e, "REVIEWER", t)
}

func decide(a *Assessment, r review, basis string, t *topology.Turn) error {
	switch r.Decision {
	case clear:
		if a.settle(Cleared) {
			t.Publish(&fraudCleared{Score: r.Score, Basis: basis})
		}
	case reject:
		if a.settle(Rejected) {
			t.Publish(&fraudRejected{Score: r.Score, Basis: basis, Reason: r.Reason})
		}
	case hold:
		if a.hold() {
			t.Publish(&fraudHoldPlaced{Score: r.Score, Reason: r.Reason})
		}
	default:
		return topology.Poison("decision %q is none of CLEAR, HOLD, REJECT", r.Decision)
	}
	return nil
}
