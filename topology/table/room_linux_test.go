package table

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk: what cannot be written is said in words, harms nothing that was
// written before, and a start finds that.
func TestFullDisk(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("none", mount, "tmpfs", 0, "size=128m"); err != nil {
		t.Skip("full disk: this process may not mount one:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c := Config{Dir: filepath.Join(mount, "state")}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	task, _, err := s.Task("t")
	if err != nil {
		t.Fatal(err)
	}
	commit := func(value string, next int64) error {
		return errors.Join(task.Commit([]Change{{Key: "k", Value: []byte(value)}}, Marker{Next: next}), task.Checkpoint())
	}
	if err := commit("old", 1); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(mount, "ballast")
	fill(t, ballast)
	if err := commit("new", 2); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Errorf("a full disk is not said in words: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("an end on a full disk says %v", err)
	}
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Errorf("a start on a full disk says %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(c); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if task, _, err = s.Task("t"); err != nil {
		t.Fatal(err)
	}
	if value, err := task.Get("k"); err != nil || string(value) != "old" || task.Marker().Next != 1 {
		t.Errorf("%q up to offset %d, %v; want what was written before the disk was full", value, task.Marker().Next, err)
	}
	if err := commit("new", 2); err != nil {
		t.Error("there is room again:", err)
	}
}

// fill writes until nothing more fits.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it has no room to be complete in
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal("the disk is not full:", err)
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
