package table

import "fmt"

// room refuses to write where little is left. Badger maps its log into memory: a
// page that the disk has no room for is no error of a write but the end of the
// process. Nothing is lost either way, since the changelog has all of it; but
// this way whoever looks is told why, and nothing stands still that need not.
type room struct {
	dir     string
	reserve int64 // bytes that Badger may need for what it has begun
}

// reserveTables is the room that is kept, in memtables: two in memory, each with
// its log, and what a compaction writes before it deletes.
const reserveTables = 4

func (r room) check() error {
	left, err := free(r.dir)
	if err != nil {
		return err
	}
	if left < r.reserve {
		return fmt.Errorf("%d MiB are left on the disk of %s and at least %d are kept free: make room; until then the state stays as it was at the last checkpoint and is restored from the changelog",
			left>>20, r.dir, r.reserve>>20)
	}
	return nil
}
