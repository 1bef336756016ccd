//go:build synctests

//go:debug randautoseed=0

package virtual

import (
	"os"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

func TestThin(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, 1)
		s, err := build(t.Context(), setup{seed: 1, dir: dir, processes: 1, orders: 1, trace: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		s.connect()
		s.trace.add("connected")
		time.Sleep(5 * time.Minute)
		if err := s.close(); err != nil {
			t.Error(err)
		}
		t.Log("hash ", s.trace.hash(), s.trace.lines)
		if err := s.failed(); err != nil {
			t.Error(err)
		}
	})
}
