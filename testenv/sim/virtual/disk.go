package virtual

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// copies is how often a copy of a disk is begun anew before it is given up.
const copies = 1000

// copyDisk copies a folder as it is at this instant, torn where it is being
// written: while files come and go it is copied anew, for a disk does not have the
// list of a database's files without the files.
func copyDisk(from, to string) error {
	for range copies {
		before, err := filesOf(from)
		if err != nil {
			return err
		}
		if err := copyFiles(from, to, before); err != nil {
			return err
		}
		after, err := filesOf(from)
		if err != nil {
			return err
		}
		if maps.Equal(before, after) {
			return nil
		}
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
	return fmt.Errorf("copy %s: it was never the same for as long as a copy takes", from)
}

// filesOf lists a folder's files and their sizes, those of a log of writes as -1: it
// may be torn.
func filesOf(folder string) (map[string]int64, error) {
	files := map[string]int64{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if gone(err) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		files[path[len(folder):]] = -1
		if filepath.Ext(path) == ".log" {
			return nil
		}
		i, err := d.Info()
		if err == nil {
			files[path[len(folder):]] = i.Size()
		}
		if gone(err) {
			return nil
		}
		return err
	})
	return files, err
}

func copyFiles(from, to string, files map[string]int64) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for name := range files {
		b, err := os.ReadFile(from + name)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to+name), 0o755), os.WriteFile(to+name, b, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// gone says that a file was taken away just now.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
