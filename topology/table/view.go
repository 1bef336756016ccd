package table

import (
	"encoding/binary"
	"fmt"
	"time"
)

// View is a table that is filled from topics which can be read once more: its rows, and up
// to where each partition was read. Flush writes both together, so neither is ever without
// the other, and does not wait until they last: what a crash of the machine takes is read
// again. One goroutine fills a view, others read what was flushed.
type View struct {
	store  *Store
	prefix []byte
	until  time.Time
	staged []entry
	before int // of staged, what was put before the latest Until
}

// Place is up to where a partition was read, and of which topic by that name.
type Place struct {
	Topic     string
	Partition int32
	TopicID   [16]byte
	Next      int64
}

// Spaces of a view's keys, behind viewSpace and its name.
const (
	placeSpace = 'p' // placeSpace | partition | topic
	keptSpace  = 'r' // keptSpace | key: the second until which a row is kept, and the row
	untilSpace = 'u' // untilSpace | second | key: a row that may have to go then
)

// untilStep is how exactly rows are let go of: one that is put often has an entry for
// each of so long.
const untilStep = time.Hour

// View opens a view. One of another format, which is any text, is emptied: what its rows
// were made by is no more.
func (s *Store) View(name, format string) (*View, error) {
	v := &View{store: s, prefix: append(append([]byte{viewSpace}, name...), 0)}
	known := append([]byte{formatSpace}, name...)
	had, err := s.get(known)
	if err == nil && string(had) != format {
		if err = v.Wipe(); err == nil {
			err = s.disk.write([]entry{{known, []byte(format)}}, true)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("view %s: %w", name, err)
	}
	return v, nil
}

// Wipe forgets all rows and places.
func (v *View) Wipe() error {
	v.staged, v.before = nil, 0
	return v.store.disk.drop(v.prefix)
}

func (v *View) key(space byte, key string) []byte {
	b := make([]byte, 0, len(v.prefix)+1+len(key))
	return append(append(append(b, v.prefix...), space), key...)
}

// Until says how long what is put from now on is kept: to within an hour behind t; zero
// for as long as the view.
func (v *View) Until(t time.Time) { v.until, v.before = t, len(v.staged) }

// Undo forgets what was put since the latest Until.
func (v *View) Undo() { v.staged = v.staged[:v.before] }

// Put keeps a row, from the next flush on. The caller must not change value afterwards.
func (v *View) Put(key string, value []byte) {
	second := forever
	if !v.until.IsZero() {
		second = v.until.Truncate(untilStep).Add(untilStep).Unix()
		v.staged = append(v.staged, entry{v.key(untilSpace, string(seconds(second))+key), []byte{}})
	}
	v.staged = append(v.staged, entry{v.key(keptSpace, key), append(seconds(second), value...)})
}

// Delete forgets a row, from the next flush on.
func (v *View) Delete(key string) {
	v.staged = append(v.staged, entry{v.key(keptSpace, key), nil})
}

// forever is the second until which a row is kept that is never let go of.
const forever int64 = 0

const secondSize = 8

func seconds(s int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(s)) }

// Get returns a row as of the latest flush, nil if there is none.
func (v *View) Get(key string) ([]byte, error) {
	b, err := v.store.get(v.key(keptSpace, key))
	if b == nil || err != nil {
		return nil, err
	}
	return b[secondSize:], nil
}

// Scan calls f with every row whose key has a prefix, by key, as of the latest flush. The
// value is valid during the call.
func (v *View) Scan(prefix string, f func(key string, value []byte) error) error {
	from := v.key(keptSpace, prefix)
	return v.store.disk.scan(from, from, true, func(key, value []byte) error {
		return f(string(key[len(v.prefix)+1:]), value[secondSize:])
	})
}

// Places lists up to where each partition was read. What was put and not flushed is
// forgotten with it: whoever asks begins to read there.
func (v *View) Places() ([]Place, error) {
	v.staged, v.before = nil, 0
	var places []Place
	prefix := v.key(placeSpace, "")
	err := v.store.disk.scan(prefix, prefix, true, func(key, value []byte) error {
		p := Place{Partition: int32(binary.BigEndian.Uint32(key[len(prefix):])), Topic: string(key[len(prefix)+4:])}
		copy(p.TopicID[:], value)
		p.Next = int64(binary.BigEndian.Uint64(value[len(p.TopicID):]))
		places = append(places, p)
		return nil
	})
	return places, err
}

// Flush writes what was put, and up to where that was read.
func (v *View) Flush(places []Place) error {
	staged := v.staged
	v.staged, v.before = nil, 0
	for _, p := range places {
		at := binary.BigEndian.AppendUint64(append([]byte{}, p.TopicID[:]...), uint64(p.Next))
		staged = append(staged, entry{v.key(placeSpace, string(binary.BigEndian.AppendUint32(nil, uint32(p.Partition)))+p.Topic), at})
	}
	if len(staged) == 0 {
		return nil
	}
	return v.store.disk.write(appendSorted(nil, staged), false)
}

// Expire deletes rows whose time is over, so many at most; more says that there may be
// others. One that was put again meanwhile stays.
func (v *View) Expire(now time.Time, most int) (more bool, err error) {
	var due []entry
	var rows [][]byte
	prefix := v.key(untilSpace, "")
	err = v.store.disk.scan(prefix, prefix, false, func(key, _ []byte) error {
		second := int64(binary.BigEndian.Uint64(key[len(prefix):]))
		if more = len(due) == most; more || second > now.Unix() {
			return errStop
		}
		due = append(due, entry{append([]byte{}, key...), nil})
		rows = append(rows, v.key(keptSpace, string(key[len(prefix)+secondSize:])))
		return nil
	})
	if err != nil || len(due) == 0 {
		return false, err
	}
	err = v.store.disk.read(rows, func(i int, value []byte) error {
		if value == nil {
			return nil
		}
		if second := int64(binary.BigEndian.Uint64(value)); second != forever && second <= now.Unix() {
			due = append(due, entry{rows[i], nil})
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	return more, v.store.disk.write(appendSorted(nil, due), false)
}
