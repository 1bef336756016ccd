package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Store is the one database of a process.
type Store struct {
	disk disk
	dir  string
	temp string

	mu      sync.Mutex
	writing map[string]chan struct{} // checkpoints that run, by task; closed at their end
	opened  map[string]int           // how often each task was opened: who did last alone may write it

	closing chan struct{}
	aside   sync.WaitGroup
}

// Config sizes a store. The zero value is right for a laptop.
type Config struct {
	Dir        string // "": a temporary directory, removed by Close
	Memory     bool   // no disk at all: a restart restores everything from the changelogs
	Stands     bool   // ErrNone where there is no database yet
	BlockCache int64  // bytes of blocks that were read last, indexes and filters among them; default DefaultBlockCache
}

// DefaultBlockCache is in bytes.
const DefaultBlockCache = 48 << 20

// LeastBlockCache is twice what small checkpoints may take of the block cache before they
// are written as a table. In bytes.
const LeastBlockCache = 4 * memTable

// ErrNone says that there is no database.
var ErrNone = errors.New("no state lies there")

// Open opens or makes the database.
func Open(c Config) (*Store, error) {
	s := &Store{closing: make(chan struct{}), writing: map[string]chan struct{}{}, opened: map[string]int{}}
	if c.Memory {
		s.disk = &inMemory{rows: map[string][]byte{}}
		return s, nil
	}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "troupe-state-")
		if err != nil {
			return nil, fmt.Errorf("make a temporary state directory: %w", err)
		}
		c.Dir, s.temp = dir, dir
	}
	s.dir = c.Dir
	if !c.Stands {
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("make state directory: %w", err)
		}
	}
	if c.BlockCache == 0 {
		c.BlockCache = DefaultBlockCache
	}
	d, err := openDisk(c)
	if err != nil {
		return nil, fmt.Errorf("open state in %s: %w", c.Dir, err)
	}
	s.disk = d
	if err := s.sweep(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return s, nil
}

// Dir is where the database lies, "" if that goes with it: another file that is of
// this place among its like may lie there.
func (s *Store) Dir() string {
	if s.temp != "" {
		return ""
	}
	return s.dir
}

// background runs what reads the database beside its tasks, and must end before
// it is closed.
func (s *Store) background(do func(closing <-chan struct{})) {
	s.aside.Go(func() { do(s.closing) })
}

// ErrOvertaken says that a task was opened by somebody else since.
var ErrOvertaken = errors.New("another worker has opened the task since")

// errClosing ends what runs in the background.
var errClosing = errors.New("the database is being closed")

// Close closes the database. Tasks must not be used any more: a checkpoint that still
// runs is waited for, and what a task has not given to one is lost.
func (s *Store) Close() error {
	close(s.closing)
	s.aside.Wait()
	err := s.disk.close()
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
	prefix := []byte{markerSpace}
	err := s.disk.scan(prefix, prefix, false, func(key, _ []byte) error {
		names = append(names, string(key[1:]))
		return nil
	})
	return names, err
}

// Spaces of the database's keys.
const (
	taskSpace   = 't' // taskSpace | incarnation | rowSpace or indexSpace | key: a task's keys lie together
	rowSpace    = 'r' // of the changelog's keys
	indexSpace  = 'x' // of the index's
	markerSpace = 'm' // markerSpace | task name
	incSpace    = 'i' // incSpace: the last incarnation given
	viewSpace   = 'v' // viewSpace | view name | 0 | placeSpace, keptSpace or untilSpace | …
	formatSpace = 'f' // formatSpace | view name: of its rows
)

// incarnationSize is the length of what all keys of an incarnation begin with, in
// bytes.
const incarnationSize = 1 + 8

// incarnationKey is what all keys of an incarnation begin with, with room for more.
func incarnationKey(incarnation uint64, more int) []byte {
	b := append(make([]byte, 0, incarnationSize+more), taskSpace)
	return binary.BigEndian.AppendUint64(b, incarnation)
}

func spaceKey(space byte, incarnation uint64, key string) []byte {
	b := append(incarnationKey(incarnation, 1+len(key)), space)
	return append(b, key...)
}

// sweep deletes incarnations that no marker names: of a task whose first checkpoint
// a crash ended.
func (s *Store) sweep() error {
	live := map[uint64]bool{}
	markers := []byte{markerSpace}
	err := s.disk.scan(markers, markers, true, func(_, value []byte) error {
		m, err := decodeMarker(value)
		live[m.Incarnation] = true
		return err
	})
	for from := incarnationKey(0, 0); err == nil && from != nil; {
		var found []byte
		if err = s.disk.scan([]byte{taskSpace}, from, false, func(key, _ []byte) error {
			found = bytes.Clone(key[:incarnationSize])
			return errStop
		}); err != nil || found == nil {
			break
		}
		if !live[binary.BigEndian.Uint64(found[1:])] {
			err = s.disk.drop(found)
		}
		from = after(found)
	}
	return err
}

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

func (s *Store) get(key []byte) (value []byte, err error) {
	err = s.disk.read([][]byte{key}, func(_ int, v []byte) error {
		if v != nil {
			value = append([]byte{}, v...)
		}
		return nil
	})
	return value, err
}

// checkpoint runs one of a task beside it. A database that is closed meanwhile waits
// for it, and so does the next worker of this process that opens the task: else what
// was committed before would be written over what is committed then. For the same reason
// whoever had the task before that worker writes nothing any more: what he has
// committed is on the changelog, from which the other has restored it.
func (s *Store) checkpoint(name string, opened int, write func() error) (done chan error) {
	done = make(chan error, 1)
	over := make(chan struct{})
	s.mu.Lock()
	if s.opened[name] != opened {
		s.mu.Unlock()
		done <- ErrOvertaken
		return done
	}
	s.writing[name] = over
	s.mu.Unlock()
	s.aside.Go(func() {
		err := write()
		s.mu.Lock()
		delete(s.writing, name)
		s.mu.Unlock()
		close(over)
		done <- err
	})
	return done
}

func (s *Store) isLatest(name string, opened int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened[name] == opened
}

// takeOver waits until no checkpoint of a task runs, and lets nobody begin one who opened
// the task before.
func (s *Store) takeOver(name string) (opened int) {
	for {
		s.mu.Lock()
		over := s.writing[name]
		if over == nil {
			s.opened[name]++
			opened = s.opened[name]
		}
		s.mu.Unlock()
		if over == nil {
			return opened
		}
		<-over
	}
}

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
	return n, s.disk.write([]entry{{[]byte{incSpace}, binary.BigEndian.AppendUint64(nil, n)}}, true)
}
