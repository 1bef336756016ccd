package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/stream"
)

type (
	holdPlaced struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Reason           string `avro:"reason"`
	}
	fraudCleared struct {
		schemas.Envelope `avro:"envelope"`
		Score            int32  `avro:"score"`
		Basis            string `avro:"basis"`
	}
	echoRead struct {
		Score int32 `avro:"score"`
	}
	echoRow struct {
		Score int32 `avro:"score"`
	}
)

// echoService is the smallest service: one event in, one fact out, one row.
func echoService() topology.Service {
	return topology.Service{
		Name: "risk", Owner: "risk", Doc: "echoes", Publishes: []topology.Output{topology.Publishes[fraudCleared]()},
		Sets: []topology.Set{topology.Keyed("", "order", "row", topology.On("FraudHoldPlaced", func(r *echoRow, e echoRead, t *topology.Turn) error {
			r.Score = e.Score
			t.Publish(&fraudCleared{Score: e.Score, Basis: "SCORE"})
			return nil
		}))},
	}
}

func echoEstate() topology.Estate {
	return topology.Estate{Version: 1, Partitions: 1, Topics: []topology.Topic{
		{Name: "holds", Owner: "risk", Key: "tenant/order", Events: []string{"FraudHoldPlaced"}, Retention: topology.Retention{For: 400 * 24 * time.Hour}},
		{Name: "fraud", Owner: "risk", Key: "tenant/order", Events: []string{"FraudCleared"}, Retention: topology.Retention{For: 400 * 24 * time.Hour}},
	}}
}

// echoRecords are the inputs of an echo, each of an order that is new.
const echoRecords = 1_000_000

// echoSizes are the records of a transaction.
var echoSizes = []int{5_000, 20_000, 100_000}

// echo compares the runtime with a bare client that moves the same bytes: it
// reads what the runtime reads, and writes as many records of the same sizes, the
// fact and the changed row, in as large transactions. What the bare client
// neither does nor knows is what the runtime costs. A copy of the input alone is
// shown beside it.
func echo(ctx context.Context, s *sitting) error {
	p, n := s.place("echo"), s.scaled(echoRecords)
	if _, err := s.trial(ctx, "holds", filling{Place: p, Records: n}); err != nil {
		return err
	}
	var lowest []float64
	for _, size := range echoSizes {
		reached, err := s.echoOf(ctx, p, n, size)
		if err != nil {
			return fmt.Errorf("%d records a transaction: %w", size, err)
		}
		ratio := ratios(reached["runtime"], reached["bare"])
		lowest = append(lowest, median(ratio))
		s.detail("echo, %s records a transaction: runtime %s/s, bare client of the same bytes %s/s, ratio %s; bare copy of the input alone %s/s, ratio %s",
			strconv.Itoa(size), spread(reached["runtime"]), spread(reached["bare"]), spread(ratio),
			spread(reached["copy"]), spread(ratios(reached["runtime"], reached["copy"])))
	}
	s.figures["echo_ratio"] = slices.Min(lowest)
	return s.forgetAll(ctx, p.Prefix)
}

func (s *sitting) echoOf(ctx context.Context, p place, n, size int) (map[string][]float64, error) {
	bare := func(echoed bool) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			if err := s.forget(ctx, p.topic("bare"), p.topic("bare.fraud"), p.topic("bare.state")); err != nil {
				return 0, err
			}
			r, err := s.trial(ctx, "copy", copying{Place: p, Records: n, Size: size, Echoed: echoed})
			return r["rate"], err
		}
	}
	return s.alternate(ctx,
		contender{"runtime", func(ctx context.Context) (float64, error) {
			if err := s.forget(ctx, p.topic("risk"), p.topic("fraud"), p.topic("risk.state")); err != nil {
				return 0, err
			}
			r, err := s.trial(ctx, "serve", work{
				Place: p, Service: "echo", Inputs: []string{"holds"}, Records: n, Output: "fraud", Facts: n, Limits: echoLimits(size),
			})
			s.say("records in a transaction: %.0f", r["transaction"])
			return r["rate"], err
		}},
		contender{"bare", bare(true)}, contender{"copy", bare(false)})
}

// filling is events to be written.
type filling struct {
	Place   place
	Records int
}

// holds writes the inputs of an echo.
func holds(ctx context.Context, f filling) (result, error) {
	w, err := f.Place.wire(ctx, [2]string{"holds", "FraudHoldPlaced"})
	if err != nil {
		return nil, err
	}
	pen, err := f.Place.pen(ctx, "holds")
	if err != nil {
		return nil, err
	}
	defer pen.close()
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for i := range f.Records {
		if err := pen.write(ctx, w, "holds", hold(i, at), time.Time{}); err != nil {
			return nil, err
		}
	}
	return result{}, pen.flush(ctx)
}

func hold(i int, at time.Time) *holdPlaced {
	order := orderID(i)
	return &holdPlaced{
		Envelope: schemas.Envelope{
			ID: schemas.FactID("FraudHoldPlaced", order), Type: "FraudHoldPlaced", Source: "risk", OccurredAt: at, Tenant: tenant,
			Order: order, CorrelationID: schemas.FactID("flow", order), AggregateID: order, AggregateSequence: 1,
		},
		Score: int32(i), Reason: "measured",
	}
}

const tenant = "acme"

func orderID(i int) string {
	n := strconv.Itoa(i)
	return "web-" + strings.Repeat("0", 9-len(n)) + n
}

// echoLimits let the number of records alone say when a transaction is full.
func echoLimits(size int) stream.Limits {
	return stream.Limits{TransactionInputs: size, TransactionBytes: 1 << 30, TransactionAge: 10 * time.Second}
}
