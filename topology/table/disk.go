package table

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
)

// disk is where checkpoints lie.
type disk interface {
	// read calls f with the value of each key in turn, nil where there is none.
	// The value is valid during the call. Keys that are sorted are read faster.
	read(keys [][]byte, f func(i int, value []byte) error) error
	// write puts entries that are sorted by key, and returns once they last.
	write(entries []entry) error
	// scan walks the keys with a prefix, from a key on. errStop ends it early.
	scan(prefix, from []byte, values bool, f func(key, value []byte) error) error
	close() error
}

// entry is a key and its value; a nil value deletes it.
type entry struct{ key, value []byte }

// errStop ends a scan early.
var errStop = errors.New("stop")

// onDisk is Badger. Every write uses one version, so an overwrite replaces the
// older entry and a read stops at its first hit: Kafka orders the writes, not
// Badger.
type onDisk struct {
	db   *badger.DB
	room room
}

const version = 1

// tombstone is Badger's mark of a tombstone in pb.KV.Meta.
const tombstone = 1

func (d onDisk) read(keys [][]byte, f func(i int, value []byte) error) error {
	txn := d.db.NewTransactionAt(version, false)
	defer txn.Discard()
	for i, key := range keys {
		item, err := txn.Get(key)
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
			err = f(i, nil)
		case err == nil:
			err = item.Value(func(v []byte) error { return f(i, v) })
		default:
			err = fmt.Errorf("read state: %w", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d onDisk) write(entries []entry) error {
	if err := d.room.check(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	loader := d.db.NewKVLoader(2)
	for i := range entries {
		e := &entries[i]
		kv := pb.KV{Key: e.key, Value: e.value, Version: version}
		if e.value == nil {
			kv.Meta = []byte{tombstone}
		}
		if err := loader.Set(&kv); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
	}
	if err := loader.Finish(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := d.db.Sync(); err != nil {
		return fmt.Errorf("sync state: %w", err)
	}
	return nil
}

func (d onDisk) scan(prefix, from []byte, values bool, f func(key, value []byte) error) error {
	txn := d.db.NewTransactionAt(version, false)
	defer txn.Discard()
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = values
	o.Prefix = prefix
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Seek(from); it.Valid(); it.Next() {
		var value []byte
		if values {
			var err error
			if value, err = it.Item().ValueCopy(nil); err != nil {
				return fmt.Errorf("scan state: %w", err)
			}
		}
		if err := f(it.Item().KeyCopy(nil), value); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
	return nil
}

// close writes what is in memory. Without room for that it leaves the database
// as it is, which is as after a crash: Badger's log has what was written.
func (d onDisk) close() error {
	if err := d.room.check(); err != nil {
		return err
	}
	return d.db.Close()
}

// inMemory keeps checkpoints in a map: for state that is cheap to restore from
// its changelog, and as the mark that a disk is measured by.
type inMemory struct {
	mu   sync.RWMutex
	rows map[string][]byte
}

func (m *inMemory) read(keys [][]byte, f func(i int, value []byte) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i, key := range keys {
		if err := f(i, m.rows[string(key)]); err != nil {
			return err
		}
	}
	return nil
}

func (m *inMemory) write(entries []entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if e.value == nil {
			delete(m.rows, string(e.key))
		} else {
			m.rows[string(e.key)] = e.value
		}
	}
	return nil
}

func (m *inMemory) scan(prefix, from []byte, values bool, f func(key, value []byte) error) error {
	m.mu.RLock()
	var keys []string
	for k := range maps.Keys(m.rows) {
		if bytes.HasPrefix([]byte(k), prefix) && k >= string(from) {
			keys = append(keys, k)
		}
	}
	m.mu.RUnlock()
	slices.Sort(keys)
	for _, k := range keys {
		m.mu.RLock()
		value, there := m.rows[k]
		m.mu.RUnlock()
		if !there {
			continue
		}
		if err := f([]byte(k), value); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
	return nil
}

func (m *inMemory) close() error { return nil }
