package stream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"troupe/topology"
)

// parkedInput is an input that waits under its key, byte for byte.
type parkedInput struct {
	Topic     string   `avro:"topic"`
	Partition int32    `avro:"partition"`
	Offset    int64    `avro:"offset"`
	At        int64    `avro:"at"` // record time, Unix ms
	Key       []byte   `avro:"key"`
	Value     []byte   `avro:"value"`
	Headers   []header `avro:"headers"`
	Attempts  int32    `avro:"attempts"` // 0 where it only waits behind another
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
	if err == nil {
		b, err = s.codec(r.key).Append(b, r.state)
	}
	if err != nil {
		return nil, fmt.Errorf("encode row: %w", err)
	}
	*scratch = b
	return bytes.Clone(b), nil // as large as it must be: it stays
}

// isNew says that a row, but for what its parked inputs have left there, is as one that
// never was.
func (s *set) isNew(r *row, scratch *[]byte) (bool, error) {
	like := row{key: r.key, state: s.codec(r.key).New(), frame: r.frame}
	like.frame.Sequence, like.frame.Seen, like.frame.Timers, like.frame.Intents = 0, nil, nil, nil
	b, err := s.encode(&like, scratch)
	return bytes.Equal(b, r.staged), err
}

// decode fills the row from bytes, which must not change any more; nil makes it new.
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
		n := 0
		if f.Deadline, n = binary.Varint(body); n <= 0 || n >= len(body) {
			return time.Time{}, false, errFrame
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
