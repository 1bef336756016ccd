package table

// cache holds rows by key: those that changed since the last checkpoint, those
// in the checkpoint that runs, and as many more as its limit allows. Rows are
// kept as bytes: decoded, they would take several times the room, and the
// collector would walk through each of them.
type cache struct {
	cells map[string]*cell
	bytes int64
	limit int64
	whole bool // every row is here: what is not here is nowhere
}

// cell is a row, nil if it was deleted. It is pinned while it is pending or
// flying: the disk does not have it yet.
type cell struct {
	key     string
	value   []byte
	pending bool // changed, and in no checkpoint yet
	flying  bool // in the checkpoint that runs
	used    bool // since the hand last passed
}

// RowOverhead is what a row takes in memory beside its key and value: itself, its place
// in the map, and what the allocator rounds up. An estimate, in bytes.
const RowOverhead = 128

func (c *cell) size() int64 { return int64(RowOverhead + len(c.key) + len(c.value)) }

// get returns a row; false if the disk must be asked.
func (c *cache) get(key string) (value []byte, is bool) {
	if at := c.cells[key]; at != nil {
		at.used = true
		return at.value, true
	}
	return nil, c.whole
}

// put keeps a row. The caller must not change value afterwards.
func (c *cache) put(key string, value []byte) *cell { return c.set(c.cells[key], key, value) }

// set is put for a key whose cell is known, nil if it has none.
func (c *cache) set(at *cell, key string, value []byte) *cell {
	if at == nil {
		at = &cell{key: key}
		c.cells[key] = at
	} else {
		c.bytes -= at.size()
	}
	at.value, at.used = value, true
	c.bytes += at.size()
	return at
}

func (c *cache) drop(at *cell) {
	delete(c.cells, at.key)
	c.bytes -= at.size()
}

// evict makes room beside what is pinned: cells not used since the hand last
// passed go first.
func (c *cache) evict(pinned int64) {
	low := pinned + c.limit - c.limit/8
	for pass := 0; pass < 2 && c.bytes > low; pass++ {
		for _, at := range c.cells {
			switch {
			case c.bytes <= low:
				return
			case at.pending || at.flying:
			case at.used && pass == 0:
				at.used = false
			default:
				c.drop(at)
				c.whole = false
			}
		}
	}
}
