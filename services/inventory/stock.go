package inventory

import (
	"cmp"
	"slices"
	"time"
)

// Stock is what is known of one SKU: a count for each node and who holds what.
// What is on hand less what is reserved is available.
type Stock struct {
	Nodes   []Node        `avro:"nodes"`
	Held    []Reservation `avro:"held"`
	Waiting []Reservation `avro:"waiting"` // wanted and not there, oldest first

	Changes   []Change `avro:"changes,default=[]"`  // adjustments that were taken in, by time
	Forgotten int64    `avro:"forgotten,default=0"` // time of the latest that is not among them any more, Unix ms
}

// Change is an adjustment.
type Change struct {
	ID string `avro:"id"`
	At int64  `avro:"at"` // Unix ms
}

// Limits of a SKU's row.
const (
	maxOpen      = 4000               // reservations that are held or wait
	maxOpenBytes = 640 << 10          // of them: with long names fewer fit into a row
	maxChanges   = 1000               // adjustments that are remembered
	changesKept  = 64                 // of them, however old
	repeatedFor  = 7 * 24 * time.Hour // before the one that comes, after which others are forgotten
)

// took notes an adjustment. It is known if it was taken in before; of one that is as old as
// what is forgotten nobody can say that.
func (s *Stock) took(c Change) (known, uncertain bool) {
	if slices.ContainsFunc(s.Changes, func(had Change) bool { return had.ID == c.ID }) {
		return true, false
	}
	if s.Forgotten > 0 && c.At <= s.Forgotten {
		return false, true
	}
	at, _ := slices.BinarySearchFunc(s.Changes, c, func(had, c Change) int { return cmp.Or(cmp.Compare(had.At, c.At), cmp.Compare(had.ID, c.ID)) })
	s.Changes = slices.Insert(s.Changes, at, c)
	for n := len(s.Changes); n > maxChanges || n > changesKept && s.Changes[0].At < c.At-repeatedFor.Milliseconds(); n = len(s.Changes) {
		s.Forgotten = max(s.Forgotten, s.Changes[0].At)
		s.Changes = slices.Delete(s.Changes, 0, 1)
	}
	return false, false
}

// full says that no more reservations can be open.
func (s *Stock) full() bool {
	return len(s.Held)+len(s.Waiting) >= maxOpen || size(s.Held)+size(s.Waiting) >= maxOpenBytes
}

// size is at least what reservations take in a row, in bytes.
func size(of []Reservation) (n int) {
	for i := range of {
		r := &of[i]
		n += len(r.ID) + len(r.Node) + len(r.Order) + len(r.Correlation) + reservationNumbers
	}
	return n
}

// reservationNumbers is what a reservation's numbers, and its texts' lengths, may take.
const reservationNumbers = 3*5 + 4*2

// Node is the SKU's count in one fulfilment node.
type Node struct {
	Name     string `avro:"name"`
	OnHand   int32  `avro:"onHand"`
	Reserved int32  `avro:"reserved"`
}

// Reservation is units of the SKU for one line of one order.
type Reservation struct {
	ID       string `avro:"id"`
	Node     string `avro:"node"` // "" while waiting for any
	Quantity int32  `avro:"quantity"`
	Order    string `avro:"order"` // key to answer to
	Line     int32  `avro:"line"`
	Round    int32  `avro:"round"`

	Correlation string `avro:"correlation,default="` // of the order's flow: a SKU is of many; "" in rows of before it was kept
}

func (n Node) available() int32 { return n.OnHand - n.Reserved }

// node finds or makes the count of a node.
func (s *Stock) node(name string) *Node {
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i]
		}
	}
	s.Nodes = append(s.Nodes, Node{Name: name})
	return &s.Nodes[len(s.Nodes)-1]
}

// candidate is the node that can serve a reservation: the one that is named, or
// the one with most available, the first by name among equals.
func (s *Stock) candidate(r Reservation) *Node {
	if r.Node != "" {
		if n := s.node(r.Node); n.available() >= r.Quantity {
			return n
		}
		return nil
	}
	var best *Node
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.available() < r.Quantity {
			continue
		}
		if best == nil || n.available() > best.available() || n.available() == best.available() && n.Name < best.Name {
			best = n
		}
	}
	return best
}

// reserve holds units, or lets the reservation wait. known is true if it was
// asked for before.
func (s *Stock) reserve(r Reservation) (held Reservation, granted, known bool) {
	if i := find(s.Held, r.ID); i >= 0 {
		return s.Held[i], true, true
	}
	if i := find(s.Waiting, r.ID); i >= 0 {
		return s.Waiting[i], false, true
	}
	n := s.candidate(r)
	if n == nil {
		s.Waiting = append(s.Waiting, r)
		return r, false, false
	}
	return s.hold(r, n), true, false
}

func (s *Stock) hold(r Reservation, n *Node) Reservation {
	r.Node = n.Name
	n.Reserved += r.Quantity
	s.Held = append(s.Held, r)
	return r
}

// release gives a reservation back, held or waiting; false if there is none.
func (s *Stock) release(id string) bool {
	if i := find(s.Held, id); i >= 0 {
		s.node(s.Held[i].Node).Reserved -= s.Held[i].Quantity
		s.Held = slices.Delete(s.Held, i, i+1)
		return true
	}
	if i := find(s.Waiting, id); i >= 0 {
		s.Waiting = slices.Delete(s.Waiting, i, i+1)
		return true
	}
	return false
}

// consume takes a held reservation's units away for good. One that waits is
// withdrawn: its goods left although none were counted, and a later count has
// them off already.
func (s *Stock) consume(id string) bool {
	if i := find(s.Waiting, id); i >= 0 {
		s.Waiting = slices.Delete(s.Waiting, i, i+1)
		return true
	}
	i := find(s.Held, id)
	if i < 0 {
		return false
	}
	n := s.node(s.Held[i].Node)
	n.Reserved -= s.Held[i].Quantity
	n.OnHand -= s.Held[i].Quantity
	s.Held = slices.Delete(s.Held, i, i+1)
	return true
}

// count sets a node's count, and returns the youngest reservations that it no
// longer covers: they wait again.
func (s *Stock) count(node string, onHand int32) (lost []Reservation) {
	n := s.node(node)
	n.OnHand = onHand
	for n.Reserved > n.OnHand {
		i := lastOf(s.Held, node)
		if i < 0 {
			return lost
		}
		r := s.Held[i]
		s.release(r.ID)
		s.Waiting = append(s.Waiting, r)
		lost = append(lost, r)
	}
	return lost
}

// serve grants what waits and can be had now, oldest first.
func (s *Stock) serve() (granted []Reservation) {
	var still []Reservation
	for _, r := range s.Waiting {
		if n := s.candidate(r); n != nil {
			granted = append(granted, s.hold(r, n))
		} else {
			still = append(still, r)
		}
	}
	s.Waiting = still
	return granted
}

func find(rs []Reservation, id string) int {
	return slices.IndexFunc(rs, func(r Reservation) bool { return r.ID == id })
}

func lastOf(rs []Reservation, node string) int {
	for i, r := range slices.Backward(rs) {
		if r.Node == node {
			return i
		}
	}
	return -1
}

// available is what all nodes together could still promise.
func (s *Stock) available() (n int32) {
	for _, node := range s.Nodes {
		n += max(0, node.available())
	}
	return n
}

// sorted keeps nodes in one order, whatever order they were heard of in.
func (s *Stock) sorted() {
	slices.SortFunc(s.Nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
}
