package broker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// tie makes the kernel kill the process when the thread that starts it ends: a
// test that panics or is killed runs no deferred Close. Its own process group
// keeps a terminal's Ctrl-C from it, so that we stop the nodes, not the shell.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// claim marks a folder as used while this process lives: the kernel drops the
// lock with the process, however that ends. The file gets its name only once
// it is locked, or a sweep between the two steps would take the folder.
func claim(dir string) (*os.File, error) {
	early := filepath.Join(dir, lockName+".new")
	f, err := os.Create(early)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", dir, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(early, filepath.Join(dir, lockName))
	}
	if err != nil {
		_ = f.Close() // the error that matters is why
		return nil, fmt.Errorf("claim %s: %w", dir, err)
	}
	return f, nil
}

// abandoned says whether a folder was claimed by a process that is gone.
func abandoned(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
