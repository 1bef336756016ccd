package stream

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"troupe/topology/table"
)

// maxTold bounds what is told of one side of a difference, in bytes.
const maxTold = 300

// compare holds what was rebuilt against the rows of the changelog.
func (t *RebuildTask) compare(live map[string][]byte, made *table.Task) error {
	seen := map[string]bool{}
	note := func(key string, rebuilt []byte, what string) {
		if what != "" {
			name := key
			if len(key) > 0 {
				name = key[1:]
			}
			t.Differs = append(t.Differs, Difference{Key: name, What: what, changelog: key, rebuilt: rebuilt})
		}
	}
	err := made.Each(func(key string, value []byte) error {
		seen[key] = true
		value = bytes.Clone(value)
		note(key, value, t.set.differ(key, live[key], value))
		return nil
	})
	for _, key := range slices.Sorted(maps.Keys(live)) {
		if !seen[key] {
			note(key, nil, t.set.differ(key, live[key], nil))
		}
	}
	slices.SortFunc(t.Differs, func(a, b Difference) int { return cmp.Compare(a.changelog, b.changelog) })
	return err
}

// differ says in what two rows of a key mean different things; "" if in nothing.
// Bytes may differ all the same: inputs of different topics come in no order, and
// what a row has seen is kept in the order in which it came.
func (s *set) differ(key string, live, rebuilt []byte) string {
	switch {
	case bytes.Equal(live, rebuilt):
		return ""
	case live == nil:
		return "is not on the changelog"
	case rebuilt == nil:
		return "is on the changelog and no input makes it"
	case key[0] == parkedPrefix:
		return s.differParked(live, rebuilt)
	}
	was, is := &row{key: key}, &row{key: key}
	if err := s.decode(was, live); err != nil {
		return "cannot be read: " + err.Error()
	}
	if err := s.decode(is, rebuilt); err != nil {
		return "cannot be read as rebuilt: " + err.Error()
	}
	var what []string
	if !reflect.DeepEqual(was.state, is.state) {
		what = append(what, "state: "+apart(was.state, is.state))
	}
	a, b := was.frame.canonical(key, s.remember), is.frame.canonical(key, s.remember)
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if x, y := va.Field(i).Interface(), vb.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			what = append(what, strings.ToLower(va.Type().Field(i).Name)+": "+apart(x, y))
		}
	}
	return strings.Join(what, "; ")
}

// apart prints two values from shortly before where they part.
func apart(live, rebuilt any) string {
	a, b := fmt.Sprintf("%+v", live), fmt.Sprintf("%+v", rebuilt)
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	from := max(0, same-maxTold/3)
	return fmt.Sprintf("%s on the changelog, %s rebuilt", excerpt(a, from), excerpt(b, from))
}

func excerpt(s string, from int) string {
	head, tail := "", ""
	if from > 0 {
		head = "…"
	}
	if s = s[from:]; len(s) > maxTold {
		s, tail = s[:maxTold], "…"
	}
	return strings.ToValidUTF8(head+strings.TrimPrefix(s, "&")+tail, "")
}

// canonical is a frame without what hangs on the order in which inputs of
// different topics came, or on how often one was tried, or says nothing.
func (f frame) canonical(key string, remember int) frame {
	if f.RecordKey == key[1:] { // as rows of before have it
		f.RecordKey = ""
	}
	seen := slices.Collect(slices.Chunk(f.Seen, seenSize))
	slices.SortFunc(seen, bytes.Compare)
	f.Seen = slices.Concat(seen...)
	if len(seen) >= remember { // which were forgotten hangs on the order too
		f.Seen = nil
	}
	f.Timers = slices.Clone(f.Timers)
	slices.SortFunc(f.Timers, func(a, b armed) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Discriminator, b.Discriminator))
	})
	f.Intents = slices.Clone(f.Intents)
	slices.SortFunc(f.Intents, func(a, b intent) int { return cmp.Compare(a.ID, b.ID) })
	f.ParkedFrom, f.ParkedTo, f.ParkedUntil = 0, f.parked(), 0
	if len(f.Timers) == 0 {
		f.Timers = nil
	}
	if len(f.Intents) == 0 {
		f.Intents = nil
	}
	f.Deadline = 0
	if len(f.Seen) == 0 {
		f.Seen = nil
	}
	return f
}

func (s *set) differParked(live, rebuilt []byte) string {
	var was, is parkedInput
	if err := s.parked.Decode(live, &was); err != nil {
		return "cannot be read: " + err.Error()
	}
	if err := s.parked.Decode(rebuilt, &is); err != nil {
		return "cannot be read as rebuilt: " + err.Error()
	}
	was.Attempts, was.Why, is.Attempts, is.Why = 0, "", 0, "" // of how often it was tried
	if reflect.DeepEqual(was, is) {
		return ""
	}
	return fmt.Sprintf("parked: %s/%d offset %d on the changelog, %s/%d offset %d rebuilt", was.Topic, was.Partition, was.Offset, is.Topic, is.Partition, is.Offset)
}
