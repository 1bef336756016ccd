package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
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
	Seen        []byte   `avro:"seen"`      // inputs, seenSize bytes each, oldest first
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

// parkedInput is an input that waits under its key, byte for byte.
type parkedInput struct {
	Topic     string   `avro:"topic"`
	Partition int32    `avro:"partition"`
	Offset    int64    `avro:"offset"`
	At        int64    `avro:"at"` // record time, Unix ms
	Key       []byte   `avro:"key"`
	Value     []byte   `avro:"value"`
	Headers   []header `avro:"headers"`
	Attempts  int32    `avro:"attempts"`
	Why       string   `avro:"why"`
}

type header struct {
	Key   string `avro:"key"`
	Value []byte `avro:"value"`
}

// row is a key's state, decoded while a transaction works on it. Its bytes as
// committed are the table's.
type row struct {
	key    string // in the changelog
	bytes  []byte // as committed; nil: there is none
	opened bool
	frame  frame
	state  any
	err    error // why it cannot be read

	// what the open transaction has done to it
	touched bool
	was     time.Time // deadline and intents before
	wasHand bool
	staged  []byte // its bytes as the steps so far have left them; nil: it ends
	dirty   bool
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

// take removes an intent that has its outcome.
func (f *frame) take(id string) {
	f.Intents = slices.DeleteFunc(f.Intents, func(in intent) bool { return in.ID == id })
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

// Keys of the changelog.
const (
	rowPrefix    = 'R'
	besidePrefix = 'B'
	parkedPrefix = 'Q'
)

func rowKey(key string) string { return string(rowPrefix) + key }

// besideKey is the row that all keys of a partition share.
const besideKey = string(besidePrefix)

func parkedKey(key string, n int64) string {
	b := append([]byte{parkedPrefix}, key[1:]...)
	b = append(b, 0)
	return string(binary.BigEndian.AppendUint64(b, uint64(n)))
}

// codec codes the state of a row.
func (s *set) codec(key string) topology.RowCodec {
	if key[0] == besidePrefix {
		return s.beside
	}
	return s.row
}

// encode writes the row as it stands.
func (s *set) encode(r *row, scratch *[]byte) ([]byte, error) {
	r.frame.Deadline, r.frame.InHand = 0, len(r.frame.Intents) > 0
	if at := r.frame.deadline(); !at.IsZero() {
		r.frame.Deadline = at.UnixMilli()
	}
	b, err := s.frame.Append((*scratch)[:0], &r.frame)
	if err != nil {
		return nil, fmt.Errorf("encode row's frame: %w", err)
	}
	if b, err = s.codec(r.key).Append(b, r.state); err != nil {
		return nil, fmt.Errorf("encode row: %w", err)
	}
	*scratch = b
	return bytes.Clone(b), nil // as large as it must be: it stays
}

// decode fills the row from bytes; nil makes it new.
func (s *set) decode(r *row, b []byte) error {
	codec := s.codec(r.key)
	r.frame = frame{}
	if b == nil {
		r.state = codec.New()
		return nil
	}
	rest, err := s.frame.DecodePrefix(b, &r.frame)
	if err != nil {
		return fmt.Errorf("read row %q: %w", r.key[1:], err)
	}
	if r.state, err = codec.Decode(rest); err != nil {
		return fmt.Errorf("read row %q: %w", r.key[1:], err)
	}
	return nil
}

// glance reads a row's deadline, zero for none, and whether it has intents in
// hand, and leaves the rest: a restore has millions to read.
func (s *set) glance(b []byte) (deadline time.Time, inHand bool, err error) {
	var f frame
	if body, current := s.frame.Current(b); current {
		var n int
		f.Deadline, n = binary.Varint(body) // an Avro long
		if n <= 0 || n >= len(body) {
			return time.Time{}, false, errors.New("the row is cut short")
		}
		f.InHand = body[n] == 1
	} else if _, err := s.frame.DecodePrefix(b, &f); err != nil {
		return time.Time{}, false, err
	}
	if f.Deadline != 0 {
		deadline = time.UnixMilli(f.Deadline).UTC()
	}
	return deadline, f.InHand, nil
}
