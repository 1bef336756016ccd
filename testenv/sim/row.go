package sim

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
)

// frame is what a changelog holds for a key: the service's state and what the
// runtime keeps beside it. It and what follows is on purpose a second model of
// topology/stream/row.go and frame.go and shares no line with it, or one mistake would be in both.
type frame struct {
	Tenant      string   `avro:"tenant"`
	Region      string   `avro:"region"`
	ProductLine string   `avro:"productLine"`
	Order       string   `avro:"order"`
	Correlation string   `avro:"correlation"`
	Trace       string   `avro:"trace"`
	RecordKey   string   `avro:"recordKey"`
	Sequence    int64    `avro:"sequence"`
	Seen        []byte   `avro:"seen"` // inputs, seenSize bytes each, oldest first
	Timers      []armed  `avro:"timers"`
	Intents     []intent `avro:"intents"`
	ParkedFrom  int64    `avro:"parkedFrom"`
	ParkedTo    int64    `avro:"parkedTo"`
	ParkedUntil int64    `avro:"parkedUntil"` // Unix ms
	State       []byte   `avro:"state"`
}

type armed struct {
	Name          string `avro:"name"`
	Discriminator string `avro:"discriminator"`
	At            int64  `avro:"at"` // Unix ms
}

type intent struct {
	ID            string `avro:"id"`
	Effect        string `avro:"effect"`
	Discriminator string `avro:"discriminator"`
	Request       []byte `avro:"request"`
	CauseID       string `avro:"causeId"`
}

// parkedInput is an input that waits under its key: where it lies.
type parkedInput struct {
	Topic     string `avro:"topic"`
	Partition int32  `avro:"partition"`
	Offset    int64  `avro:"offset"`
	Attempts  int32  `avro:"attempts"`
}

// row is a key's state in memory.
type row struct {
	key     string // in the changelog
	frame   frame
	state   any
	stored  []byte // as on the changelog; nil: not there
	staged  []byte // as this transaction leaves it
	dirty   bool
	ended   bool
	touched bool // by this transaction
}

// current is the row's bytes as the steps so far have left them.
func (r *row) current() []byte {
	if r.dirty {
		return r.staged
	}
	return r.stored
}

// Keys of a changelog: a key's row, the row beside all of a partition's, and an
// input that waits.
const besideKey = "B"

func rowKey(key string) string { return "R" + key }

func parkedKey(row string, n int64) string {
	return "Q" + row[1:] + "\x00" + string(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func isParked(key string) bool { return key[0] == 'Q' }

// seenSize is 16 bytes of the ID's hash and 8 of the content's.
const (
	idSize   = 16
	seenSize = 24
)

func contentOf(id string, value []byte) []byte {
	d := make([]byte, seenSize)
	h := sha256.Sum256([]byte(id))
	copy(d, h[:idSize])
	h = sha256.Sum256(value)
	copy(d[idSize:], h[:])
	return d
}

// seen reports whether the row has had this input, and whether it was the same.
func (f *frame) seen(d []byte) (had, same bool) {
	for s := range slices.Chunk(f.Seen, seenSize) {
		if bytes.Equal(s[:idSize], d[:idSize]) {
			return true, bytes.Equal(s, d)
		}
	}
	return false, false
}

func (f *frame) remember(d []byte, limit int) {
	f.Seen = append(f.Seen, d...)
	if over := len(f.Seen) - limit*seenSize; over > 0 {
		f.Seen = slices.Delete(f.Seen, 0, over)
	}
}

func (f *frame) parked() int64 { return f.ParkedTo - f.ParkedFrom }

// deadline is the earliest time at which the row wants to run; zero for never.
// While inputs are parked its timers wait behind them.
func (f *frame) deadline() time.Time {
	if f.parked() > 0 {
		return time.UnixMilli(f.ParkedUntil).UTC()
	}
	if len(f.Timers) == 0 {
		return time.Time{}
	}
	next := slices.MinFunc(f.Timers, func(a, b armed) int { return cmp.Compare(a.At, b.At) })
	return time.UnixMilli(next.At).UTC()
}

func (f *frame) arm(t topology.Timer) {
	f.disarm(t.Name, t.Discriminator)
	if !t.At.IsZero() {
		f.Timers = append(f.Timers, armed{t.Name, t.Discriminator, t.At.UnixMilli()})
	}
}

func (f *frame) disarm(name, discriminator string) bool {
	i := slices.IndexFunc(f.Timers, func(t armed) bool { return t.Name == name && t.Discriminator == discriminator })
	if i < 0 {
		return false
	}
	f.Timers = slices.Delete(f.Timers, i, i+1)
	return true
}

func (f *frame) inHand(id string) bool {
	return slices.ContainsFunc(f.Intents, func(in intent) bool { return in.ID == id })
}

// take removes an intent that has its outcome, and remembers what it asked for.
func (f *frame) take(id string, limit int) {
	f.Intents = slices.DeleteFunc(f.Intents, func(in intent) bool {
		if in.ID != id {
			return false
		}
		d := contentOf(id, in.Request)
		if had, _ := f.seen(d); !had {
			f.remember(d, limit)
		}
		return true
	})
}

// adopt takes from an input what the row's outputs inherit, where it has none.
func (f *frame) adopt(e *schemas.Envelope, recordKey string) {
	f.Tenant = cmp.Or(f.Tenant, e.Tenant)
	f.Region = cmp.Or(f.Region, e.Region)
	f.ProductLine = cmp.Or(f.ProductLine, e.ProductLine)
	f.Order = cmp.Or(f.Order, e.Order)
	f.Correlation = cmp.Or(f.Correlation, e.CorrelationID)
	f.Trace = cmp.Or(f.Trace, e.Traceparent)
	f.RecordKey = cmp.Or(f.RecordKey, recordKey)
}

// envelope is what a timer's cause knows of its flow.
func (f *frame) envelope() schemas.Envelope {
	return schemas.Envelope{
		Tenant: f.Tenant, Region: f.Region, ProductLine: f.ProductLine, Order: f.Order, CorrelationID: f.Correlation, Traceparent: f.Trace,
	}
}

func (s *set) codec(key string) topology.RowCodec {
	if key == besideKey {
		return s.beside
	}
	return s.row
}

// encode writes the row as it stands.
func (s *set) encode(r *row) ([]byte, error) {
	state, err := s.codec(r.key).Append(nil, r.state)
	if err != nil {
		return nil, fmt.Errorf("encode row %q: %w", r.key, err)
	}
	r.frame.State = state
	b, err := s.frame.Append(nil, &r.frame)
	r.frame.State = nil
	if err != nil {
		return nil, fmt.Errorf("encode frame of %q: %w", r.key, err)
	}
	return b, nil
}

// decode fills the row from bytes; nil makes it new.
func (s *set) decode(r *row, b []byte) error {
	r.frame = frame{}
	if b == nil {
		r.state = s.codec(r.key).New()
		return nil
	}
	if err := s.frame.Decode(b, &r.frame); err != nil {
		return fmt.Errorf("read row %q: %w", r.key, err)
	}
	state, err := s.codec(r.key).Decode(r.frame.State)
	if err != nil {
		return fmt.Errorf("read row %q: %w", r.key, err)
	}
	r.state, r.frame.State = state, nil
	return nil
}
