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
	if place := os.Getenv(childPlace); place != "" {
		if err := child(place); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(real.Run(m))
}
