package edge

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// keys remembers the final answer to each idempotency key, up to a number of
// keys and for a time. A key that is forgotten costs nothing but the replay:
// downstream the same order is the same order.
type keys struct {
	limit int
	ttl   time.Duration
	now   func() time.Time

	mu    sync.Mutex
	known map[string]*entry
	ages  *list.List // of answered entries, oldest first; those in flight are not to be evicted
}

type entry struct {
	key    string
	print  [sha256.Size]byte // of the request
	answer *answer           // nil: in flight
	at     time.Time         // of the answer
}

// answer is what a request was answered with.
type answer struct {
	status   int
	location string
	body     []byte
}

// seen is what is known of a key.
type seen int

const (
	isNew seen = iota + 1
	isAnswered
	isInFlight
	isOther // the key was used for another request
	isFull  // as many requests are in flight as may be remembered
)

func newKeys(limit int, ttl time.Duration, now func() time.Time) *keys {
	return &keys{limit: limit, ttl: ttl, now: now, known: map[string]*entry{}, ages: list.New()}
}

// begin takes a key in hand. After isNew, end must follow.
func (k *keys) begin(key string, print [sha256.Size]byte) (seen, *answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	if e := k.known[key]; e != nil {
		switch {
		case e.print != print:
			return isOther, nil
		case e.answer == nil:
			return isInFlight, nil
		}
		return isAnswered, e.answer
	}
	if len(k.known) >= k.limit && !k.evict() {
		return isFull, nil
	}
	k.known[key] = &entry{key: key, print: print}
	return isNew, nil
}

// end keeps the answer to a key, or forgets the key if there is none to keep.
func (k *keys) end(key string, a *answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a == nil {
		delete(k.known, key)
		return
	}
	e := k.known[key]
	e.answer, e.at = a, k.now()
	k.ages.PushBack(e)
}

func (k *keys) expire() {
	for {
		oldest := k.ages.Front()
		if oldest == nil || k.now().Sub(oldest.Value.(*entry).at) < k.ttl {
			return
		}
		k.evict()
	}
}

// evict forgets the oldest answer.
func (k *keys) evict() bool {
	oldest := k.ages.Front()
	if oldest == nil {
		return false
	}
	delete(k.known, k.ages.Remove(oldest).(*entry).key)
	return true
}
