package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	tablefilter "github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is where checkpoints lie.
type disk interface {
	// read calls f with the value of each key in turn, nil where there is none.
	// The value is valid during the call. Keys that are sorted are read faster.
	read(keys [][]byte, f func(i int, value []byte) error) error
	// write puts entries that are sorted by key, all of them or none; with lasts it returns
	// once they last, without it a crash of the machine may take the latest of them.
	write(entries []entry, lasts bool) error
	// drop deletes all keys with a prefix, and some others with them.
	drop(prefix []byte, also ...[]byte) error
	// scan walks the keys with a prefix, from a key on. Key and value are valid
	// during the call. errStop ends it early.
	scan(prefix, from []byte, values bool, f func(key, value []byte) error) error
	close() error
}

// entry is a key and its value; a nil value deletes it.
type entry struct{ key, value []byte }

// errStop ends a scan early.
var errStop = errors.New("stop")

// Limits of the database.
const (
	memTable     = 8 << 20               // bytes of small checkpoints in memory, before they are written as a table; two at most, taken from the block cache
	tableFrom    = 1 << 20               // bytes of entries that are written as a table of their own
	MostLoose    = 24                    // tables on top of each other: a checkpoint waits while there are more
	looseWait    = 10 * time.Millisecond // between two looks at that
	LongestStall = 10 * time.Second      // longest wait: a database that cannot merge is slow to read, and right
	dropDelay    = time.Second           // after which what was dropped begins to free its room
	filterBits   = 10                    // a key, of a table's filter
	mergers      = 2                     // tables are merged by so many at most
)

// onDisk is Pebble. What is small goes through its log; what is large is written as
// a sorted table that Pebble takes in as it is: neither its log nor its memory sees it.
type onDisk struct {
	db       *pebble.DB
	options  *pebble.Options
	incoming string        // directory of tables that are being written
	tables   atomic.Uint64 // written so far
	room     room
}

func openDisk(c Config) (d *onDisk, err error) {
	dir := c.Dir
	d = &onDisk{incoming: filepath.Join(dir, "incoming"), room: room{dir}}
	if err := d.room.check(); err != nil {
		return nil, err
	}
	if c.Stands { // Pebble's own option for that leaves a file
		switch at, err := pebble.Peek(dir, vfs.Default); {
		case err == nil && !at.Exists:
			return nil, ErrNone
		case err != nil:
			return nil, d.explain("pebble", err)
		}
	}
	d.options = &pebble.Options{
		FS:                         inPieces{vfs.Default}, // Pebble's own choice looks after each write by a timer
		CacheSize:                  c.BlockCache,
		L0StopWritesThreshold:      math.MaxInt, // a stop of Pebble's has no end; table waits
		FlushDelayDeleteRange:      dropDelay,
		MemTableSize:               memTable,
		FormatMajorVersion:         pebble.FormatNewest,
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, mergers },
		Logger:                     words{},
		EventListener:              &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) { words{}.Errorf("%s is damaged: %v", i.Path, i.Details) }}, // by itself it ends the process; whoever reads is told
	}
	for i := range d.options.Levels {
		d.options.Levels[i].Compression = func() *block.CompressionProfile { return block.NoCompression }
		d.options.Levels[i].FilterPolicy = tablefilter.FilterPolicy(filterBits)
	}
	d.options.Levels[len(d.options.Levels)-1].FilterPolicy = pebble.NoFilterPolicy // what the last level lacks is nowhere, and Task knows that by itself
	if d.db, err = pebble.Open(dir, d.options); errors.Is(err, syscall.EAGAIN) {
		return nil, errors.New("another process has it open: end that, or use another directory")
	} else if err != nil {
		return nil, d.explain("pebble", err)
	}
	if err := errors.Join(os.RemoveAll(d.incoming), os.Mkdir(d.incoming, 0o755)); err != nil { // what a crash left there was never taken in
		return nil, errors.Join(err, d.db.Close())
	}
	return d, nil
}

// words sends what Pebble has to say to the log.
type words struct{}

func (words) Infof(string, ...any)         {}
func (words) Errorf(f string, args ...any) { slog.Error("state: " + fmt.Sprintf(f, args...)) }

// Fatalf must not return: Pebble cannot go on, and nothing is lost, since the
// changelog has all of it.
func (words) Fatalf(f string, args ...any) { panic("state: " + fmt.Sprintf(f, args...)) }

func (d *onDisk) read(keys [][]byte, f func(i int, value []byte) error) error {
	for i, key := range keys {
		value, closer, err := d.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			if err := f(i, nil); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return d.explain("read state", err)
		}
		if err := errors.Join(f(i, value), closer.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (d *onDisk) write(entries []entry, lasts bool) error {
	if err := d.room.check(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	size := 0
	for i := range entries {
		size += len(entries[i].key) + len(entries[i].value)
	}
	var err error
	if size >= tableFrom {
		err = d.table(entries)
	} else {
		err = d.log(entries, lasts)
	}
	if err != nil {
		return d.explain("write state", err)
	}
	return nil
}

// explain says what to do about a damaged database.
func (d *onDisk) explain(what string, err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%s: %w: the disk has not kept what was written in %s: stop the process, look after the disk and delete the directory; its state is restored from the changelogs", what, err, d.room.dir)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (d *onDisk) log(entries []entry, lasts bool) error {
	how := pebble.NoSync
	if lasts {
		how = pebble.Sync
	}
	b := d.db.NewBatch()
	return commit(b, how, each(entries, func(key, value []byte) error { return b.Set(key, value, nil) }, func(key []byte) error { return b.Delete(key, nil) }))
}

// commit writes a batch that was filled without an error.
func commit(b *pebble.Batch, how *pebble.WriteOptions, err error) error {
	if err == nil {
		err = b.Commit(how)
	}
	return errors.Join(err, b.Close())
}

// each puts or deletes every entry.
func each(entries []entry, put func(key, value []byte) error, del func(key []byte) error) error {
	for i := range entries {
		e := &entries[i]
		var err error
		if e.value == nil {
			err = del(e.key)
		} else {
			err = put(e.key, e.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// table writes entries as a table of the database's, which comes in whole or not at
// all. Pebble takes in as many as it is given, however many lie on top of each other
// and must all be looked into by a read: so this waits.
func (d *onDisk) table(entries []entry) error {
	for began := time.Now(); d.db.Metrics().Levels[0].Sublevels > MostLoose && time.Since(began) < LongestStall; {
		time.Sleep(looseWait)
	}
	name := filepath.Join(d.incoming, strconv.FormatUint(d.tables.Add(1), 10)+tableExt)
	file, err := d.options.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), d.options.MakeWriterOptions(0, d.db.FormatMajorVersion().MaxTableFormat()))
	if err := errors.Join(each(entries, w.Set, w.Delete), w.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	if err := d.db.Ingest(context.Background(), []string{name}); err != nil { // else the file is the database's
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

func (d *onDisk) drop(prefix []byte, also ...[]byte) error {
	b := d.db.NewBatch()
	err := b.DeleteRange(prefix, after(prefix), nil)
	for _, key := range also {
		err = errors.Join(err, b.Delete(key, nil))
	}
	if err := commit(b, pebble.Sync, err); err != nil {
		return d.explain("drop state", err)
	}
	return nil
}

// after is the first key behind all that have a prefix, nil if there is none.
func after(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if last := prefix[n-1]; last < 0xff {
			return append(bytes.Clone(prefix[:n-1]), last+1)
		}
	}
	return nil
}

func (d *onDisk) scan(prefix, from []byte, values bool, f func(key, value []byte) error) (err error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(prefix)})
	if err != nil {
		return d.explain("scan state", err)
	}
	defer func() {
		if broken := it.Close(); broken != nil && err == nil { // with what went wrong on the way
			err = d.explain("scan state", broken)
		}
	}()
	for there := it.First(); there; there = it.Next() {
		var value []byte
		if values {
			if value, err = it.ValueAndErr(); err != nil {
				return d.explain("scan state", err)
			}
		}
		if err := f(it.Key(), value); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
	return nil
}

func (d *onDisk) close() error { return d.db.Close() }
