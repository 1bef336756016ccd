//go:build !linux

package broker

import (
	"os"
	"os/exec"
)

// tie can do nothing here: only Linux ends a child with its parent. The child
// stays in the terminal's process group, so that at least Ctrl-C reaches it.
func tie(*exec.Cmd) {}

func claim(string) (*os.File, error) { return nil, nil }

// abandoned errs on the side of leaving a folder: without a lock nobody knows.
func abandoned(string) bool { return false }
