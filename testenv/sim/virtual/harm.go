package virtual

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/testenv/probe"
	"troupe/topology"
)

// harm is a defect that the estate does not have, done to it from outside: on the
// wire, in a service's value, on a call. The judge must find each.
type harm struct {
	options []kgo.Opt                                      // of every client
	wire    func(m message, request []byte) []byte         // on its way to the broker
	service func(topology.Service) topology.Service        // before it runs
	calls   func(next http.RoundTripper) http.RoundTripper // to partners
	garbled time.Duration                                  // when a stranger writes to a public topic
}

// harms are the planted bugs. Each does its harm again and again, not always:
// what fails always is found by any test.
var harms = map[string]func() harm{
	"state applied before the commit": func() harm {
		return harm{wire: some(4, ofProbe(func(r *kmsg.EndTxnRequest) { r.Commit = false }))}
	},
	"dirty read": func() harm {
		return harm{wire: ofProbe(func(r *kmsg.FetchRequest) { r.IsolationLevel = 0 })}
	},
	"dropped tombstone": func() harm {
		return harm{options: []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}, wire: ofProbe(dropTombstones)}
	},
	"double capture": func() harm {
		return harm{calls: func(next http.RoundTripper) http.RoundTripper { return captureTwice{next} }}
	},
	"lost timer":     func() harm { return harm{service: loseTimers} },
	"garbled record": func() harm { return harm{garbled: 47 * time.Second} },
}

// garble writes a record that nobody can read.
func (s *site) garble() {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.addresses...), kgo.Dialer(s.brokers.DialContext))
	if err == nil {
		err = cl.ProduceSync(s.ctx, &kgo.Record{Topic: "stock", Value: []byte("garbled")}).FirstErr()
		cl.Close()
	}
	if err != nil {
		s.fail("nothing was garbled: %v", err)
	}
}

func (h harm) to(services []topology.Service) []topology.Service {
	if h.service == nil {
		return services
	}
	out := make([]topology.Service, len(services))
	for i, s := range services {
		out[i] = h.service(s)
	}
	return out
}

func (h harm) through(next http.RoundTripper) http.RoundTripper {
	if h.calls == nil {
		return next
	}
	return h.calls(next)
}

type rewrite = func(m message, request []byte) []byte

// some lets a rewrite happen to one in n of the requests that it would change.
func some(n int64, change rewrite) rewrite {
	var seen atomic.Int64
	return func(m message, request []byte) []byte {
		changed := change(m, request)
		if len(changed) == len(request) && string(changed) == string(request) || seen.Add(1)%n != 0 {
			return request
		}
		return changed
	}
}

// ofProbe changes a kind of request of the probe's workers.
func ofProbe[R any, P interface {
	*R
	kmsg.Request
}](change func(P)) rewrite {
	return func(m message, b []byte) []byte {
		r := P(new(R))
		if m.key != r.Key() || m.who != probePrefix+probe.Name+".0.0" && m.who != probePrefix+probe.Name+".1.0" {
			return b
		}
		at := nameAt + len(m.who)
		r.SetVersion(int16(binary.BigEndian.Uint16(b[keyAt+2:])))
		if r.IsFlexible() {
			at++ // tags of the header, of which there are none
		}
		if err := r.ReadFrom(b[at:]); err != nil {
			return b
		}
		change(r)
		b = r.AppendTo(append([]byte(nil), b[:at]...))
		binary.BigEndian.PutUint32(b, uint32(len(b)-sizeHeader))
		return b
	}
}

// dropTombstones gives every deletion of a row another key, where it deletes
// nothing.
func dropTombstones(r *kmsg.ProduceRequest) {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			if changed, err := withoutTombstones(p.Records); err == nil {
				p.Records = changed
			}
		}
	}
}

const (
	crcAt   = 17 // of a record batch
	crcFrom = 21
	batch   = 61 // the batch's own fields
)

func withoutTombstones(b []byte) ([]byte, error) {
	var h kmsg.RecordBatch
	if err := h.ReadFrom(b); err != nil {
		return nil, err
	}
	out, rest := append([]byte(nil), b[:batch]...), h.Records
	for range h.NumRecords {
		size, n := binary.Varint(rest)
		if n <= 0 || int(size)+n > len(rest) {
			return nil, errors.New("a record is cut short")
		}
		var r kmsg.Record
		if err := r.ReadFrom(rest[:n+int(size)]); err != nil {
			return nil, err
		}
		if r.Value == nil && len(r.Key) > 0 {
			r.Key = append([]byte(nil), r.Key...)
			r.Key[len(r.Key)-1] ^= 1
		}
		out = r.AppendTo(out)
		rest = rest[n+int(size):]
	}
	binary.BigEndian.PutUint32(out[crcAt:], crc32.Checksum(out[crcFrom:], crc32.MakeTable(crc32.Castagnoli)))
	return out, nil
}

// captureTwice asks for every capture once more, under another key.
type captureTwice struct{ next http.RoundTripper }

func (c captureTwice) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/captures" && r.GetBody != nil {
		again := r.Clone(r.Context())
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
		again.Header.Set("Idempotency-Key", "again/"+r.Header.Get("Idempotency-Key"))
		if resp, err := c.next.RoundTrip(again); err == nil {
			_ = resp.Body.Close() // nobody reads it
		}
	}
	return c.next.RoundTrip(r)
}

// loseTimers lets every third ring of the probe's do nothing.
func loseTimers(s topology.Service) topology.Service {
	var rings atomic.Int64
	sets := append([]topology.Set(nil), s.Sets...)
	for i := range sets {
		sets[i].Handlers = append([]topology.Handler(nil), sets[i].Handlers...)
		for j := range sets[i].Handlers {
			h := &sets[i].Handlers[j]
			if h.Trigger != topology.OnTimer || s.Name != probe.Name {
				continue
			}
			step := h.Apply
			h.Apply = func(row, message any, t *topology.Turn) error {
				if rings.Add(1)%3 == 0 {
					return nil
				}
				return step(row, message, t)
			}
		}
	}
	s.Sets = sets
	return s
}
