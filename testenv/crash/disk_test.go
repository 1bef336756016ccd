package crash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// diskMiB is the size of a process's disk, where it has one of its own.
const diskMiB = 512

// disk is a folder, and a small file system of its own where we may mount one.
type disk struct {
	dir string
	own error // why it has none
}

func newDisk(t *testing.T, dir string) *disk {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &disk{dir: dir}
	if err := mount(dir, diskMiB); err != nil {
		d.own = fmt.Errorf("full disk: this process may not mount one: %w", err)
		return d
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill writes until nothing more fits.
func (d *disk) fill() (err error) {
	if d.own != nil {
		return d.own
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		return fmt.Errorf("full disk: %w", err)
	}
	defer func() { _ = f.Close() }() // it has no room to be complete in
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("full disk: it is not: %w", err)
	}
	return nil
}

func (d *disk) clear() { _ = os.Remove(d.ballast()) } // by another that came in between

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
