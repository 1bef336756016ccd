//go:build unix

package stream

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// share makes a file of a page and is that file as memory: what is written there
// lies in the file at once, and stays when the process is killed. The file is
// whole from the start: to write into a hole of it on a full disk would kill.
func share(path string, content []byte) (page []byte, release func() error, err error) {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return nil, nil, err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if page, err = unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, nil, err
	}
	return page, func() error { return unix.Munmap(page) }, nil
}
