package broker

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockName is the file that a living owner holds locked.
const lockName = "in-use"

// scratch is a folder that goes when we close it, or, if we are killed first,
// when the next one of its kind is made.
type scratch struct {
	dir  string
	lock *os.File // nil where the system has no such locks
}

func newScratch(parent, prefix string) (*scratch, error) {
	old, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("look for leftovers: %w", err)
	}
	for _, dir := range old {
		if abandoned(dir) {
			_ = os.RemoveAll(dir) // somebody else's: not worth failing for
		}
	}
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	lock, err := claim(dir)
	if err != nil {
		_ = os.RemoveAll(dir) // the error that matters is the claim's
		return nil, err
	}
	return &scratch{dir: dir, lock: lock}, nil
}

// remove is safe on nil: a folder that the caller named is the caller's.
func (s *scratch) remove() error {
	if s == nil {
		return nil
	}
	if s.lock != nil {
		defer func() { _ = s.lock.Close() }()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove scratch folder: %w", err)
	}
	return nil
}

// folder is the caller's folder or, with none named, a scratch one.
func folder(named, prefix string) (string, *scratch, error) {
	if named == "" {
		s, err := newScratch(os.TempDir(), prefix)
		if err != nil {
			return "", nil, err
		}
		return s.dir, s, nil
	}
	dir, err := filepath.Abs(named)
	if err != nil {
		return "", nil, fmt.Errorf("find data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("make data folder: %w", err)
	}
	return dir, nil, nil
}
