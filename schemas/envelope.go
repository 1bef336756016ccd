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
	h := sha256.New()
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	s := hex.EncodeToString(u)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
