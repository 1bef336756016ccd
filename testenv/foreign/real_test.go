package foreign

import (
	"os"
	"testing"

	"troupe/testenv/broker"
)

// real serves all tests of this package; each has names of its own on it.
var real broker.Shared

func TestMain(m *testing.M) { os.Exit(real.Run(m)) }
