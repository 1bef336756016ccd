package workbench

import "time"

// What the view keeps books on; every other fact is only told (facts.v1.yaml).
type (
	orderPlaced struct {
		Channel    string    `avro:"channel"`
		CustomerID string    `avro:"customerId"`
		Currency   string    `avro:"currency"`
		PromisedBy time.Time `avro:"promisedBy"`
		Lines      []struct {
			Quantity int32 `avro:"quantity"`
			UnitNet  int64 `avro:"unitNet"`
			Discount int64 `avro:"discount"`
			Freight  int64 `avro:"freight"`
			Tax      int64 `avro:"tax"`
		} `avro:"lines"`
	}

	flowPhaseChanged struct {
		Phase    string `avro:"phase"`
		Previous string `avro:"previous"`
	}
	flowClosed struct {
		Outcome string `avro:"outcome"`
	}
	cancellationDecided struct {
		Accepted bool `avro:"accepted"`
		Lines    []struct {
			Cancelled int32 `avro:"cancelled"`
			Kept      int32 `avro:"kept"`
		} `avro:"lines"`
	}
	obligationOverdue struct {
		Obligation string    `avro:"obligation"`
		Event      string    `avro:"event"`
		Events     []string  `avro:"events"`
		Owner      string    `avro:"owner"`
		Subject    string    `avro:"subject"`
		CauseID    string    `avro:"causeId"`
		CauseType  string    `avro:"causeType"`
		DueAt      time.Time `avro:"dueAt"`
		Clock      string    `avro:"clock"`
		OwnerLag   int64     `avro:"ownerLag"`
		NextAction string    `avro:"nextAction"`
	}
	obligationMet struct {
		Obligation string `avro:"obligation"`
		Subject    string `avro:"subject"`
		CauseID    string `avro:"causeId"`
		MetBy      string `avro:"metBy"`
	}
	ownerBehind struct {
		Owner string    `avro:"owner"`
		Topic string    `avro:"topic"`
		Flows int64     `avro:"flows"`
		Since time.Time `avro:"since"`
	}
	ownerCaughtUp struct {
		Owner string `avro:"owner"`
		Topic string `avro:"topic"`
	}

	mismatchHead struct {
		MismatchID string `avro:"mismatchId"`
		Code       string `avro:"code"`
		Number     int32  `avro:"number"`
		Subject    string `avro:"subject"`
	}
	mismatchSized struct {
		Head     mismatchHead `avro:",inline"`
		Severity string       `avro:"severity"`
		Currency string       `avro:"currency"`
		Expected int64        `avro:"expected"`
		Actual   int64        `avro:"actual"`
		Delta    int64        `avro:"delta"`
		AtRisk   int64        `avro:"atRisk"`
		Repair   string       `avro:"repair"`
		Rules    int32        `avro:"rules"`
		Evidence []evidence   `avro:"evidence"`
	}
	evidence struct {
		Topic     string `avro:"topic" json:"topic"`
		Partition int32  `avro:"partition" json:"partition"`
		Offset    int64  `avro:"offset" json:"offset"`
		EventID   string `avro:"eventId" json:"eventId"`
	}
	mismatchCleared struct {
		Head   mismatchHead `avro:",inline"`
		Reason string       `avro:"reason"`
	}
	mismatchAccepted struct {
		Head       mismatchHead `avro:",inline"`
		AcceptedBy string       `avro:"acceptedBy"`
		Delta      int64        `avro:"delta"`
		Currency   string       `avro:"currency"`
	}

	exceptionRaised struct {
		ExceptionID   string `avro:"exceptionId"`
		Service       string `avro:"service"`
		Topic         string `avro:"topic"`
		Partition     int32  `avro:"partition"`
		Offset        int64  `avro:"offset"`
		RecordKey     string `avro:"recordKey"`
		Cause         string `avro:"cause"`
		Detail        string `avro:"detail"`
		Attempts      int32  `avro:"attempts"`
		DeadTopic     string `avro:"deadTopic"`
		DeadPartition int32  `avro:"deadPartition"`
		DeadOffset    int64  `avro:"deadOffset"`
		Order         string `avro:"order"`
	}
)

// total is what the order is worth, tax and freight included.
func (e orderPlaced) total() Money {
	m := Money{Currency: e.Currency}
	for _, l := range e.Lines {
		m.Minor += int64(l.Quantity)*l.UnitNet - l.Discount + l.Freight + l.Tax
	}
	return m
}

// verdict is what became of a wish to cancel.
func (e cancellationDecided) verdict() string {
	if !e.Accepted {
		return "refused"
	}
	for _, l := range e.Lines {
		if l.Kept > 0 {
			return "accepted in part"
		}
	}
	return "accepted"
}
