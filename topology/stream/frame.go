package stream

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"troupe/schemas"
)

// frame is what the runtime keeps of a key beside the service's state, which
// follows it in the changelog's record.
type frame struct {
	Deadline    int64    `avro:"deadline"` // the earliest, Unix ms; 0 for none. The first two can be read without the rest
	InHand      bool     `avro:"inHand"`   // has intents
	Tenant      string   `avro:"tenant"`
	Region      string   `avro:"region"`
	ProductLine string   `avro:"productLine"`
	Order       string   `avro:"order"`
	Correlation string   `avro:"correlation"`
	Trace       string   `avro:"trace"`
	RecordKey   string   `avro:"recordKey"` // of the records that reach this row, where it is not the row's
	Sequence    int64    `avro:"sequence"`  // facts published so far
	Seen        []byte   `avro:"seen"`      // inputs, and intents that had their outcome, seenSize bytes each, oldest first
	Timers      []armed  `avro:"timers"`
	Intents     []intent `avro:"intents"`
	ParkedFrom  int64    `avro:"parkedFrom"` // parked inputs are ParkedFrom … ParkedTo-1
	ParkedTo    int64    `avro:"parkedTo"`
	ParkedUntil int64    `avro:"parkedUntil"` // Unix ms
}

// armed is a timer.
type armed struct {
	Name          string `avro:"name"`
	Discriminator string `avro:"discriminator"`
	At            int64  `avro:"at"` // Unix ms
}

// intent is an effect that was asked for and has no outcome yet.
type intent struct {
	ID            string `avro:"id"`
	Effect        string `avro:"effect"`
	Discriminator string `avro:"discriminator"`
	Request       []byte `avro:"request"`
	CauseID       string `avro:"causeId"`
	At            int64  `avro:"at"` // Unix ms
}

// seenSize is 16 bytes of the ID's hash and 8 of the content's.
const seenSize = 24

// contentOf digests an input for deduplication.
func contentOf(id string, value []byte) (d [seenSize]byte) {
	var space [64]byte
	h := sha256.Sum256(append(space[:0], id...))
	copy(d[:16], h[:])
	h = sha256.Sum256(value)
	copy(d[16:], h[:])
	return d
}

// seen reports whether the row has had this input, and whether it was the same.
func (f *frame) seen(d [seenSize]byte) (had, same bool) {
	for i := 0; i+seenSize <= len(f.Seen); i += seenSize {
		if bytes.Equal(f.Seen[i:i+16], d[:16]) {
			return true, bytes.Equal(f.Seen[i+16:i+seenSize], d[16:])
		}
	}
	return false, false
}

func (f *frame) remember(d [seenSize]byte, limit int) {
	if excess := len(f.Seen) - (limit-1)*seenSize; excess > 0 {
		f.Seen = append([]byte(nil), f.Seen[excess:]...)
	}
	f.Seen = append(f.Seen, d[:]...)
}

// deadline is the earliest time at which the row wants to run; zero for never.
// While inputs are parked its timers wait behind them.
func (f *frame) deadline() time.Time {
	if f.parked() > 0 {
		return time.UnixMilli(f.ParkedUntil).UTC()
	}
	var next int64
	for _, t := range f.Timers {
		if next == 0 || t.At < next {
			next = t.At
		}
	}
	if next == 0 {
		return time.Time{}
	}
	return time.UnixMilli(next).UTC()
}

// ended is what is left of the frame of a row that ends: what is parked under its
// key is yet to be run.
func (f *frame) ended() frame {
	if f.parked() == 0 {
		return frame{}
	}
	return frame{ParkedFrom: f.ParkedFrom, ParkedTo: f.ParkedTo, ParkedUntil: f.ParkedUntil}
}

func (f *frame) parked() int64 { return f.ParkedTo - f.ParkedFrom }

func (f *frame) arm(name, discriminator string, at time.Time) {
	f.disarm(name, discriminator)
	f.Timers = append(f.Timers, armed{name, discriminator, at.UnixMilli()})
}

func (f *frame) disarm(name, discriminator string) bool {
	for i, t := range f.Timers {
		if t.Name == name && t.Discriminator == discriminator {
			f.Timers = append(f.Timers[:i], f.Timers[i+1:]...)
			return true
		}
	}
	return false
}

func (f *frame) inHand(id string) bool {
	return slices.ContainsFunc(f.Intents, func(in intent) bool { return in.ID == id })
}

// take removes an intent that has its outcome. It is remembered like an input, with
// what it asked for: asked for something else under the same ID, the world would repeat
// its old answer.
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
	keep(&f.Tenant, e.Tenant)
	keep(&f.Region, e.Region)
	keep(&f.ProductLine, e.ProductLine)
	keep(&f.Order, e.Order)
	keep(&f.Correlation, e.CorrelationID)
	keep(&f.Trace, e.Traceparent)
	keep(&f.RecordKey, recordKey)
}

func keep(have *string, got string) {
	if *have == "" {
		*have = got
	}
}

// envelope is what a timer's cause knows of its flow.
func (f *frame) envelope() schemas.Envelope {
	return schemas.Envelope{
		Tenant: f.Tenant, Region: f.Region, ProductLine: f.ProductLine, Order: f.Order,
		CorrelationID: f.Correlation, Traceparent: f.Trace,
	}
}

// errFrame says that bytes are no frame.
var errFrame = errors.New("the row's frame is cut short or damaged")
