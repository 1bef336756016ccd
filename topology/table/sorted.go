package table

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// appendSorted appends entries sorted by key, of each key the last one. Keys are compared by
// eight bytes behind what all of them begin with: they lie beside each other, where the
// keys themselves lie all over memory.
func appendSorted(to, entries []entry) []entry {
	if len(entries) == 0 {
		return to
	}
	type place struct {
		lead uint64
		at   int
	}
	same := common(entries)
	order := make([]place, len(entries))
	for i := range entries {
		var lead [8]byte
		copy(lead[:], entries[i].key[same:])
		order[i] = place{binary.BigEndian.Uint64(lead[:]), i}
	}
	slices.SortFunc(order, func(a, b place) int {
		if a.lead != b.lead {
			return cmp.Compare(a.lead, b.lead)
		}
		return cmp.Or(bytes.Compare(entries[a.at].key, entries[b.at].key), cmp.Compare(a.at, b.at))
	})
	for i, p := range order {
		if i+1 < len(order) && order[i+1].lead == p.lead && bytes.Equal(entries[order[i+1].at].key, entries[p.at].key) {
			continue
		}
		to = append(to, entries[p.at])
	}
	return to
}

// common is how many bytes all keys begin with.
func common(entries []entry) int {
	first := entries[0].key
	n := len(first)
	for i := range entries {
		key := entries[i].key
		n = min(n, len(key))
		for !bytes.Equal(key[:n], first[:n]) {
			n--
		}
	}
	return n
}
