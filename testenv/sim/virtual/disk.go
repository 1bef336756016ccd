package virtual

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyDisk copies a folder as it is at this instant, torn where it is being
// written. What is empty in a file stays so: a store makes its files large.
func copyDisk(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := filepath.Join(to, path[len(from):])
		if d.IsDir() {
			return os.MkdirAll(at, 0o755)
		}
		return copySparse(path, at)
	})
}

const block = 1 << 20

var nothing = make([]byte, block)

func copySparse(from, to string) (err error) {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was taken away just now
	}
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was read alone
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	b := make([]byte, block)
	for at := int64(0); ; at += block {
		n, err := io.ReadFull(in, b)
		if n > 0 && !bytes.Equal(b[:n], nothing[:n]) {
			if _, err := out.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return out.Truncate(at + int64(n))
			}
			return err
		}
	}
}
