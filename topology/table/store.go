package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
)

// Every write uses one version, so an overwrite replaces the older entry and a
// read stops at its first hit: Kafka orders the writes, not Badger.
const version = 1

// deleted is Badger's mark of a tombstone in pb.KV.Meta.
const deleted = 1

// Store is the one database of a process.
type Store struct {
	db   *badger.DB
	temp string

	mu    sync.Mutex
	tasks map[string]*Task
}

// Config sizes a store. The zero value is right for a laptop.
type Config struct {
	Dir           string        // "": a temporary directory, removed by Close
	MemTable      int64         // bytes; default 16 MiB
	PendingLimit  int64         // bytes committed but not checkpointed, a task; default 8 MiB
	CheckpointGap time.Duration // longest time between checkpoints of a task that changes; default 5 s
}

func (c Config) withDefaults() Config {
	if c.MemTable == 0 {
		c.MemTable = 16 << 20
	}
	if c.PendingLimit == 0 {
		c.PendingLimit = 8 << 20
	}
	if c.CheckpointGap == 0 {
		c.CheckpointGap = 5 * time.Second
	}
	return c
}

// Open opens or makes the database.
func Open(c Config) (*Store, error) {
	c = c.withDefaults()
	s := &Store{tasks: map[string]*Task{}}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "troupe-state-")
		if err != nil {
			return nil, fmt.Errorf("make a temporary state directory: %w", err)
		}
		c.Dir, s.temp = dir, dir
	}
	o := badger.DefaultOptions(c.Dir).WithLogger(nil).WithDetectConflicts(false).WithMetricsEnabled(false).
		WithMemTableSize(c.MemTable).WithNumMemtables(2).WithValueLogFileSize(64 << 20).
		WithCompression(options.None).WithBlockCacheSize(0).WithIndexCacheSize(0).
		WithNumVersionsToKeep(1)
	db, err := badger.OpenManaged(o)
	if err != nil {
		return nil, fmt.Errorf("open state in %s: %w", c.Dir, err)
	}
	s.db = db
	return s, nil
}

// Close closes the database. Tasks must have been closed before.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.temp != "" {
		err = errors.Join(err, os.RemoveAll(s.temp))
	}
	if err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// Names lists the tasks that lie on disk, for warm placement.
func (s *Store) Names() ([]string, error) {
	var names []string
	txn := s.db.NewTransactionAt(version, false)
	defer txn.Discard()
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	o.Prefix = []byte{markerSpace}
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		names = append(names, string(it.Item().Key()[1:]))
	}
	return names, nil
}

// Spaces of the database's keys.
const (
	rowSpace    = 'r' // rowSpace | incarnation | changelog key
	indexSpace  = 'x' // indexSpace | incarnation | index key
	markerSpace = 'm' // markerSpace | task name
	incSpace    = 'i' // incSpace: the last incarnation given
)

// Marker says up to where of which changelog a checkpoint reaches.
type Marker struct {
	Incarnation uint64
	TopicID     [16]byte
	Next        int64 // changelog offset to read next
	Epoch       int32
	Applied     time.Time // record time of the last applied record
}

func (m Marker) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, m.Incarnation)
	b = append(b, m.TopicID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Next))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Epoch))
	return binary.BigEndian.AppendUint64(b, uint64(m.Applied.UnixMilli()))
}

const markerSize = 8 + 16 + 8 + 4 + 8

func decodeMarker(b []byte) (m Marker, err error) {
	if len(b) != markerSize {
		return m, fmt.Errorf("a marker of %d bytes, want %d: the state directory is damaged or of another version", len(b), markerSize)
	}
	m.Incarnation = binary.BigEndian.Uint64(b)
	copy(m.TopicID[:], b[8:])
	m.Next = int64(binary.BigEndian.Uint64(b[24:]))
	m.Epoch = int32(binary.BigEndian.Uint32(b[32:]))
	m.Applied = time.UnixMilli(int64(binary.BigEndian.Uint64(b[36:]))).UTC()
	return m, nil
}

func (s *Store) get(key []byte) ([]byte, error) {
	txn := s.db.NewTransactionAt(version, false)
	defer txn.Discard()
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return item.ValueCopy(nil)
}

// write writes entries that are sorted by key and syncs them.
func (s *Store) write(entries []entry) error {
	loader := s.db.NewKVLoader(2)
	for i := range entries {
		e := &entries[i]
		kv := pb.KV{Key: e.key, Value: e.value, Version: version}
		if e.value == nil {
			kv.Meta = []byte{deleted}
		}
		if err := loader.Set(&kv); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
	}
	if err := loader.Finish(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := s.db.Sync(); err != nil {
		return fmt.Errorf("sync state: %w", err)
	}
	return nil
}

// entry is a key of the database and its value; a nil value deletes it.
type entry struct{ key, value []byte }

// incarnation gives a number that no task has had.
func (s *Store) incarnation() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.get([]byte{incSpace})
	if err != nil {
		return 0, err
	}
	var n uint64
	if len(b) == 8 {
		n = binary.BigEndian.Uint64(b)
	}
	n++
	return n, s.write([]entry{{[]byte{incSpace}, binary.BigEndian.AppendUint64(nil, n)}})
}
