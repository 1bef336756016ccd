package crash

import (
	"fmt"
	"syscall"
)

// mount makes a folder a file system of its own, in memory.
func mount(dir string, mib int) error {
	return syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib))
}

// unmount takes it away, whoever still has files open there.
func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
