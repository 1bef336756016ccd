package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/schemas"
	"troupe/topology"
)

type scoreAnswered struct {
	schemas.Envelope `avro:"envelope"`
	Score            int32 `avro:"score"`
}

// TestIntentsWaitInTheirRows: what a partner that does not answer is owed takes no
// memory beyond the limit, however much of it there is, and neither does what is
// taken up after a restart; another partner's intents do not wait for it.
func TestIntentsWaitInTheirRows(t *testing.T) {
	silent := func(ctx context.Context, _ topology.Call, _ score) (scoreAnswered, error) {
		<-ctx.Done()
		return scoreAnswered{}, errors.New("no answer")
	}
	service := echoing
	service.Sets = []topology.Set{topology.Keyed("", "order", "row",
		topology.On("FraudHoldPlaced", func(_ *score, e score, turn *topology.Turn) error {
			turn.Intend("score", e, "")
			return nil
		}),
		topology.Outcome("score", topology.ByLookup, silent, func(*score, scoreAnswered, *topology.Turn) error { return nil }),
	)}
	w := benched(t, service)
	w.limits.EffectsAtOnce, w.limits.EffectsInHand = 2, 8
	w.effects = newEffects(w)
	defer func() { w.effects.stop() }()
	const orders = 100
	var polled []*kgo.Record
	for i := range orders {
		polled = append(polled, w.hold(t, fmt.Sprintf("web-%d", i), int64(i), time.Now()))
	}
	x := &transaction{began: time.Now()}
	if err := w.take(t.Context(), x, fetched(polled...), map[partition]int64{}); err != nil {
		t.Fatal(err)
	}
	if err := x.apply(x.changelog(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(x.started) != orders {
		t.Fatalf("%d intents of %d orders", len(x.started), orders)
	}
	w.effects.start(x.started)
	at, full := w.tasks[taskID{"", 0}], func(when string) {
		t.Helper()
		if n := len(w.effects.running); n != w.limits.EffectsInHand {
			t.Errorf("%s %d intents are in hand, want %d", when, n, w.limits.EffectsInHand)
		}
	}
	full("at first")
	at.release()
	w.effects.stop()
	w.effects = newEffects(w)
	w.effects.resume(at)
	if err := w.effects.refill(); err != nil {
		t.Fatal(err)
	}
	full("after a restart")
	if other := w.effects.lane("another"); other.inHand != 0 {
		t.Errorf("the lane of another effect has %d of them", other.inHand)
	}
}

// TestIntentsAreDetached: what is kept of an intent until its call is over lies neither in
// the batch nor in the row that it came from.
func TestIntentsAreDetached(t *testing.T) {
	b := []byte("here")
	share := func(v reflect.Value) {
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				f.SetString(unsafe.String(&b[0], len(b)))
			case reflect.Slice:
				if f.Type().Elem().Kind() == reflect.Uint8 {
					f.SetBytes(b)
				}
			}
		}
	}
	var f frame
	var in intent
	share(reflect.ValueOf(&f).Elem())
	share(reflect.ValueOf(&in).Elem())
	s := startedIntent{key: "Rweb-1", envelope: f.envelope(), intent: in}.detached()
	before := fmt.Sprintf("%+v %+v", s.envelope, s.intent)
	copy(b, "gone")
	if after := fmt.Sprintf("%+v %+v", s.envelope, s.intent); after != before || !strings.Contains(before, "here") {
		t.Errorf("it was %s and is %s", before, after)
	}
}

// TestFramesAreCompiled: what the runtime itself keeps of a key takes the library as little
// as a service's rows: what was read lies in the bytes that it was read from.
func TestFramesAreCompiled(t *testing.T) {
	s := rowsOf(t)
	b, err := s.frame.Append(nil, &frame{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	var f frame
	if err := s.frame.Decode(b, &f); err != nil {
		t.Fatal(err)
	}
	p, err := s.parked.Append(nil, &parkedInput{Topic: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	var in parkedInput
	if err := s.parked.Decode(p, &in); err != nil {
		t.Fatal(err)
	}
	copy(b[bytes.Index(b, []byte("acme")):], "none")
	copy(p[bytes.Index(p, []byte("acme")):], "none")
	if f.Tenant != "none" || in.Topic != "none" {
		t.Errorf("the library has read %q and %q: see what schemas/compiled.go knows", f.Tenant, in.Topic)
	}
}
