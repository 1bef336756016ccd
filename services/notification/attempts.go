package notification

import (
	"sync"

	"troupe/topology"
)

// rememberedAttempts bounds what a gateway remembers of its latest calls. It is
// far above the mails that are in hand at once; a call that is forgotten too
// soon ends as UNKNOWN where it might have been tried again.
const rememberedAttempts = 4096

// attempts tells "tried again because nothing was sent" from "tried again and
// nobody knows". The runtime counts the attempts of a call from 1 each time that
// it takes an intent in hand, so what is remembered counts only if it is of the
// attempt just before: in between, the intent may have been in other hands.
type attempts struct {
	mu     sync.Mutex
	byCall map[string]attempt
	ring   []string // of call IDs; the oldest is at next once it is full
	next   int
}

// attempt is one that this process made to its end. Without an answer it
// certainly sent nothing.
type attempt struct {
	number int
	answer *mailAnswered
}

func newAttempts() *attempts { return &attempts{byCall: map[string]attempt{}} }

// note remembers how an attempt ended.
func (a *attempts) note(call topology.Call, answer *mailAnswered) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.byCall[call.ID]; !there {
		if len(a.ring) < rememberedAttempts {
			a.ring = append(a.ring, call.ID)
		} else {
			delete(a.byCall, a.ring[a.next])
			a.ring[a.next] = call.ID
			a.next = (a.next + 1) % rememberedAttempts
		}
	}
	a.byCall[call.ID] = attempt{call.Attempt, answer}
}

// before is the answer of the attempt just before, nil if that one ended in an
// error. known is false if this process did not make it.
func (a *attempts) before(call topology.Call) (answer *mailAnswered, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, there := a.byCall[call.ID]
	if !there || call.Attempt < 2 || last.number != call.Attempt-1 {
		return nil, false
	}
	return last.answer, true
}
