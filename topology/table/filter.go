package table

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// filter says which keys cannot be on disk, so that the first event of a key
// costs no look there: a chain of blocked Bloom filters (Putze, Sanders, Singler,
// "Cache-, Hash- and Space-Efficient Bloom Filters", 2007), one cache line a
// look. Each is twice as large as the one before, at about twelve bits a key; of
// keys that were never added one in a hundred passes. A chain that would grow beyond
// its limit is given up, and every key passes.
type filter struct {
	seed   maphash.Seed
	layers []bloom
	most   *atomic.Int64 // bytes
	full   bool
}

type bloom struct {
	lines [][8]uint64
	keys  int
	room  int
}

const (
	firstRoom  = 1 << 14 // keys in the first filter of a chain
	bitsPerKey = 12
	probes     = 6
)

func newFilter(most *atomic.Int64) *filter { return &filter{seed: maphash.MakeSeed(), most: most} }

func (f *filter) hash(key string) uint64 { return maphash.String(f.seed, key) }

// has is false only if the key was never added.
func (f *filter) has(key string) bool {
	if f.full {
		return true
	}
	h := f.hash(key)
	for i := range f.layers {
		if f.layers[i].has(h) {
			return true
		}
	}
	return false
}

func (f *filter) add(key string) {
	if f.has(key) {
		return
	}
	last := len(f.layers) - 1
	if last < 0 || f.layers[last].keys == f.layers[last].room {
		room := firstRoom << len(f.layers)
		if size := int64(2*room-firstRoom) * bitsPerKey / 8; size > f.most.Load() {
			f.layers, f.full = nil, true
			return
		}
		f.layers = append(f.layers, bloom{lines: make([][8]uint64, room*bitsPerKey/512), room: room})
		last++
	}
	f.layers[last].add(f.hash(key))
}

// line picks the cache line by the upper bits of the hash, so that the lower
// ones, which pick the bits in it, are independent of it.
func (b *bloom) line(h uint64) *[8]uint64 {
	at, _ := bits.Mul64(h, uint64(len(b.lines)))
	return &b.lines[at]
}

// spread makes of one hash the nine bits of each probe.
func spread(h uint64) uint64 { return h * 0x9e3779b97f4a7c15 }

func (b *bloom) has(h uint64) bool {
	line := b.line(h)
	for x, i := spread(h), 0; i < probes; x, i = x>>9, i+1 {
		if line[x>>6&7]&(1<<(x&63)) == 0 {
			return false
		}
	}
	return true
}

func (b *bloom) add(h uint64) {
	line := b.line(h)
	for x, i := spread(h), 0; i < probes; x, i = x>>9, i+1 {
		line[x>>6&7] |= 1 << (x & 63)
	}
	b.keys++
}
