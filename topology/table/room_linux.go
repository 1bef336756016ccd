package table

import (
	"fmt"
	"syscall"
)

// free is how many bytes a process may still write under a directory.
func free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("ask how much room is left in %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}
