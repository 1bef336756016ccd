package table

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
)

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

func (m *inMemory) write(entries []entry, _ bool) error {
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

func (m *inMemory) drop(prefix []byte, also ...[]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.rows {
		if strings.HasPrefix(key, string(prefix)) {
			delete(m.rows, key)
		}
	}
	for _, key := range also {
		delete(m.rows, string(key))
	}
	return nil
}

func (m *inMemory) scan(prefix, from []byte, values bool, f func(key, value []byte) error) error {
	m.mu.RLock()
	var keys []string
	for k := range maps.Keys(m.rows) {
		if strings.HasPrefix(k, string(prefix)) && k >= string(from) {
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
