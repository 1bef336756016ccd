package virtual

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"troupe/topology/stream"
)

// scenarios are schedules by hand: what a seed once found, so that it is looked
// for again whatever seeds draw today.
var scenarios = map[string][]fault{
	// Nothing befalls anybody. Two instances told how far owners had read under one
	// ID, each in its own words, and buried what the other had said; an input that
	// came after the end of its row, in one transaction, found the row again; an
	// outcome that came after the order was settled stayed in hand for ever.
	"two instances in peace": nil,

	// A process whose network is gone while it hands outcomes over. It waited for the
	// broker to say what had become of them, and never stopped.
	"death with answers under way": deathsWithAnswersUnderWay(),

	"zombie at every point": zombies(),
}

func deathsWithAnswersUnderWay() (plan []fault) {
	for n := range 10 {
		at := time.Duration(5+12*n) * time.Second
		plan = append(plan,
			fault{at: at, kind: slowed, who: n % processes, lasts: 6 * time.Second},
			fault{at: at, kind: unheard, who: n % processes, key: kmsg.Produce, count: 2},
			fault{at: at + time.Duration(n)*400*time.Millisecond + time.Second, kind: killed, who: n % processes, lasts: time.Second},
		)
	}
	return plan
}

func zombies() (plan []fault) {
	for n, point := range []stream.Point{stream.AtPolled, stream.AtTaken, stream.AtProduced, stream.AtOffsets, stream.AtEnded, stream.AtApplied, stream.AtCalled} {
		plan = append(plan, fault{at: time.Duration(4+18*n) * time.Second, kind: replaced, who: n % processes, point: point, after: 2, lasts: 12 * time.Second})
	}
	return plan
}
