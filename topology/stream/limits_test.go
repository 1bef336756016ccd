package stream

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestEveryLimitIsNamed: a limit that cannot be set, or says nothing of what
// happens at it, is none that somebody could use.
func TestEveryLimitIsNamed(t *testing.T) {
	l := Limits{}.withDefaults()
	fields := map[any]string{}
	v := reflect.ValueOf(&l).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s has no default", v.Type().Field(i).Name)
		}
		fields[v.Field(i).Addr().Interface()] = v.Type().Field(i).Name
	}
	for _, n := range l.Named() {
		field, is := fields[n.value]
		if !is {
			t.Errorf("%s is of no field, or of one that has a name already", n.Name)
			continue
		}
		delete(fields, n.value)
		if strings.ReplaceAll(n.Name, "-", "") != strings.ToLower(field) || n.At == "" || n.Value() == "" {
			t.Errorf("%s is called %q, does %q at %q", field, n.Name, n.At, n.Value())
		}
		var other Limits
		if err := other.Set(n.Name, n.Value()); err != nil {
			t.Error(err)
		}
		for _, m := range other.Named() {
			if m.Name == n.Name && m.Value() != n.Value() {
				t.Errorf("%s was set to %s and is %s", n.Name, n.Value(), m.Value())
			}
		}
	}
	for _, field := range fields {
		t.Errorf("%s cannot be set", field)
	}
}

func TestLimitsThatCannotBeSet(t *testing.T) {
	for _, c := range []struct{ name, value, says string }{
		{"no-such", "1", "troupe limits"},
		{"poll-wait", "5", "duration"},
		{"record-bytes", "1MiB", "number"},
		{"record-bytes", "-1", "above zero"},
		{"fetch-bytes", "9999999999", "number"},
		{"session-timeout", "0s", "above zero"},
	} {
		var l Limits
		if err := l.Set(c.name, c.value); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s=%s: %v, want it to say %q", c.name, c.value, err, c.says)
		}
	}
}

// TestContradictions: each pair of limits of which one breaks what the other
// promises is refused, with the reason.
func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		says   string
	}{
		{Limits{TransactionTimeout: time.Minute, RebalanceTimeout: time.Minute}, "while its old owner still commits"},
		{Limits{EffectTimeout: 2 * time.Minute}, "effect timeout"},
		{Limits{BatchBytes: 1 << 10}, "batch-bytes"},
		{Limits{EffectsInHand: 10}, "effects-at-once"},
		{Limits{CommitPause: time.Second}, "commit-pause"},
		{Limits{RecordBytes: 10 << 20}, "set at most"},
		{Limits{FetchBytes: 1 << 10}, "starve"},
		{Limits{FetchBytes: 512 << 20}, "takes no answer"},
		{Limits{RestoreFetchBytes: 1 << 10}, "restore-partition-bytes"},
		{Limits{RestoreFetchBytes: 512 << 20}, "takes no answer"},
		{Limits{BlockCacheBytes: 1 << 20}, "block-cache-bytes"},
		{Limits{Heartbeat: time.Minute}, "living worker"},
	} {
		if err := (Config{Limits: c.limits}).Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want it to say %q", c.limits, err, c.says)
		}
	}
}
