package conformance

import (
	"fmt"
	"os"
	"testing"

	"troupe/testenv/broker"
)

// real serves all tests of this package; each has names of its own on it.
var real broker.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := real.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
