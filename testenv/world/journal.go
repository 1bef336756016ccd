package world

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// entry is a line of the journal: a request that a partner took, a call that
// was made, or a mail that came.
type entry struct {
	At   time.Time       `json:"at,omitzero"`
	Path string          `json:"path,omitempty"`
	Key  string          `json:"key,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
	Done string          `json:"done,omitempty"`
	Mail string          `json:"mail,omitempty"`
}

// journal is an append-only file of entries. It survives the death of the
// process, not of the machine: nothing is synced.
type journal struct{ file *os.File }

// openJournal opens or makes dir/world.jsonl; "" keeps nothing. A last line that
// was torn by a kill is cut off: nobody was answered on its strength.
func openJournal(dir string) (*journal, []entry, error) {
	if dir == "" {
		return &journal{}, nil, nil
	}
	path := filepath.Join(dir, "world.jsonl")
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read journal: %w", err)
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	entries, err := readEntries(b[:whole])
	if err != nil {
		return nil, nil, fmt.Errorf("read journal %s: %w", path, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make journal's directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cut journal: %w", err), f.Close())
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("seek journal: %w", err), f.Close())
	}
	return &journal{f}, entries, nil
}

func readEntries(b []byte) (out []entry, err error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxBody*2)
	for n := 1; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, e)
	}
	return out, lines.Err()
}

func (j *journal) add(e entry) error {
	if j.file == nil {
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
