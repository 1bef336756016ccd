package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestQuickAlarmIsNeverEarly: who is woken a moment before his time sets the alarm
// again for no time at all, and turns on the spot until the moment has passed.
func TestQuickAlarmIsNeverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := Quick(nine, 1200)
		for _, due := range []time.Duration{time.Minute, time.Minute + 1, time.Hour + 1199, 25*time.Hour + 7*time.Millisecond} {
			rung := make(chan struct{})
			a := q.Alarm("reader", func() { close(rung) })
			at := q.Now().Add(due)
			a.Set(at, time.Time{})
			<-rung
			if now := q.Now(); now.Before(at) || now.Sub(at) > time.Millisecond {
				t.Errorf("set to %v, it rings %v late", at, now.Sub(at))
			}
			a.Stop()
		}
	})
}
