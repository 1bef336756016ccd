package processmanager

import (
	"time"

	"troupe/schemas"
)

// What this context publishes.
type (
	flowStarted struct {
		schemas.Envelope `avro:"envelope"`
		Definition       string `avro:"definition"`
		Version          int32  `avro:"version"`
	}
	flowPhaseChanged struct {
		schemas.Envelope `avro:"envelope"`
		Phase            string `avro:"phase"`
		Previous         string `avro:"previous"`
	}
	obligationOverdue struct {
		schemas.Envelope `avro:"envelope"`
		Obligation       string    `avro:"obligation"`
		Event            string    `avro:"event"`
		Events           []string  `avro:"events"`
		Owner            string    `avro:"owner"`
		Subject          string    `avro:"subject"`
		CauseID          string    `avro:"causeId"`
		CauseType        string    `avro:"causeType"`
		DueAt            time.Time `avro:"dueAt"`
		Clock            string    `avro:"clock"`
		OwnerLag         int64     `avro:"ownerLag"`
		NextAction       string    `avro:"nextAction"`
	}
	obligationMet struct {
		schemas.Envelope `avro:"envelope"`
		Obligation       string    `avro:"obligation"`
		Event            string    `avro:"event"`
		Owner            string    `avro:"owner"`
		Subject          string    `avro:"subject"`
		CauseID          string    `avro:"causeId"`
		DueAt            time.Time `avro:"dueAt"`
		MetBy            string    `avro:"metBy"`
	}
	decidedLine struct {
		Line      int32 `avro:"line"`
		Cancelled int32 `avro:"cancelled"`
		Kept      int32 `avro:"kept"`
	}
	cancellationDecided struct {
		schemas.Envelope `avro:"envelope"`
		Accepted         bool          `avro:"accepted"`
		Reason           string        `avro:"reason"`
		Lines            []decidedLine `avro:"lines"`
	}
	personNeeded struct {
		schemas.Envelope `avro:"envelope"`
		Desk             string `avro:"desk"`
		Reason           string `avro:"reason"`
		Severity         string `avro:"severity"`
	}
	flowClosed struct {
		schemas.Envelope `avro:"envelope"`
		Outcome          string `avro:"outcome"`
		Definition       string `avro:"definition"`
		Version          int32  `avro:"version"`
	}
	ownerBehind struct {
		schemas.Envelope `avro:"envelope"`
		Owner            string    `avro:"owner"`
		Topic            string    `avro:"topic"`
		Flows            int64     `avro:"flows"`
		Since            time.Time `avro:"since"`
	}
	ownerCaughtUp struct {
		schemas.Envelope `avro:"envelope"`
		Owner            string `avro:"owner"`
		Topic            string `avro:"topic"`
	}
)

// What it asks of others, and of itself.
type (
	stopFulfilment struct {
		schemas.Envelope `avro:"envelope"`
		Reason           string `avro:"reason"`
	}
	voidPayment struct {
		schemas.Envelope `avro:"envelope"`
		Reason           string `avro:"reason"`
	}
	releaseReservation struct {
		schemas.Envelope `avro:"envelope"`
		Reason           string `avro:"reason"`
	}
	ownerAwaited struct {
		schemas.Envelope `avro:"envelope"`
		Owner            string    `avro:"owner"`
		Topic            string    `avro:"topic"`
		Offset           int64     `avro:"offset"`
		Since            time.Time `avro:"since"`
	}
)

// What it reads of its inbox; the first it has the runtime write.
type (
	ownerPosition struct {
		schemas.Envelope `avro:"envelope"`
		Owner            string    `avro:"owner"`
		Topic            string    `avro:"topic"`
		Partition        int32     `avro:"partition"`
		Offset           int64     `avro:"offset"`
		AsOf             time.Time `avro:"asOf"`
	}
	position struct {
		Owner  string    `avro:"owner"`
		Topic  string    `avro:"topic"`
		Offset int64     `avro:"offset"`
		AsOf   time.Time `avro:"asOf"`
	}
	awaited struct {
		Owner  string    `avro:"owner"`
		Topic  string    `avro:"topic"`
		Offset int64     `avro:"offset"`
		Since  time.Time `avro:"since"`
	}
	step struct {
		Step string `avro:"step"`
	}
)
