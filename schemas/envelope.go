package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Envelope is what every event says of itself. It is the body's first field,
// since tools drop headers; names follow CloudEvents.
type Envelope struct {
	ID                string    `avro:"id"`
	Type              string    `avro:"type"`
	Source            string    `avro:"source"`
	OccurredAt        time.Time `avro:"occurredAt"`
	Tenant            string    `avro:"tenant"`
	Region            string    `avro:"region"`
	ProductLine       string    `avro:"productLine"`
	CorrelationID     string    `avro:"correlationId"`
	CausationID       string    `avro:"causationId"`
	Order             string    `avro:"order"`
	AggregateID       string    `avro:"aggregateId"`
	AggregateSequence int64     `avro:"aggregateSequence"`
	Traceparent       string    `avro:"traceparent"`
}

// Head gives access to the envelope of any message that embeds one.
func (e *Envelope) Head() *Envelope { return e }

// Message is an event or request: a struct that embeds Envelope under the tag
// `avro:"envelope"`.
type Message interface{ Head() *Envelope }

// FactID derives an identity from what it is about: an RFC 9562 version 8 UUID
// of the SHA-256 over the parts, each with its length, so that no two lists of
// parts run together.
func FactID(parts ...string) string {
	var space [256]byte
	b := space[:0]
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	u := sha256.Sum256(b)
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	var text [36]byte
	at := 0
	for _, group := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:16]} {
		if at > 0 {
			text[at] = '-'
			at++
		}
		at += hex.Encode(text[at:], group)
	}
	return string(text[:])
}
