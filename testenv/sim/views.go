package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/table"
)

// view fills a global view from every partition of its topics.
type view struct {
	handlers  map[string]viewHandler
	topics    []string
	positions map[place]int64
	rows      *table.View // nil: it keeps by itself what it has
	waiting   bool        // for its next turn
}

type viewHandler struct {
	topology.ViewHandler
	decode topology.Decode
}

// see binds a service's views; they read from the start.
func (s *service) see(spec topology.Service) error {
	s.views = nil
	for _, v := range spec.Views {
		made := &view{handlers: map[string]viewHandler{}, positions: map[place]int64{}}
		if v.Keep != nil {
			rows, err := s.sim.disk.View(spec.Name+"."+v.Name, v.Format)
			if err != nil {
				return err
			}
			made.rows = rows
			v.Keep(rows)
		}
		for _, h := range v.Handlers {
			decode, err := s.sim.binder.decoder("view "+spec.Name+"."+v.Name, h.Event, h.Bind)
			if err != nil {
				return err
			}
			made.handlers[h.Event] = viewHandler{h, decode}
			t, ok := s.sim.estate.TopicOf(h.Event)
			if !ok {
				return fmt.Errorf("view %s reads %s: %w", v.Name, h.Event, errNoTopic)
			}
			made.topics = append(made.topics, t.Name)
		}
		slices.Sort(made.topics)
		made.topics = slices.Compact(made.topics)
		s.views = append(s.views, made)
		s.look(made)
	}
	return nil
}

func (s *Sim) wakeViews(topics map[string]bool) {
	for _, svc := range s.services {
		for _, v := range svc.views {
			if slices.ContainsFunc(v.topics, func(t string) bool { return topics[t] }) {
				svc.look(v)
			}
		}
	}
}

// look reads on, a little later.
func (s *service) look(v *view) {
	if v.waiting {
		return
	}
	v.waiting = true
	s.sim.after(s.sim.latency(), func() {
		v.waiting = false
		for _, topic := range v.topics {
			for n := range s.sim.journal.width {
				s.follow(v, place{topic, n})
			}
		}
	})
}

func (s *service) follow(v *view, p place) {
	end := s.sim.journal.end(p)
	for _, r := range s.sim.journal.at(p).records[v.positions[p]:end] {
		if r.visible() {
			s.apply(v, r)
		}
	}
	v.positions[p] = end
	if v.rows != nil {
		sound(v.rows.Flush(nil))
	}
}

func (s *service) apply(v *view, r *record) {
	f, err := s.sim.binder.wire.Open(context.Background(), r.value)
	sound(err)
	h, ok := v.handlers[f.Type]
	if !ok {
		return
	}
	e, message, err := h.decode(f)
	sound(err)
	h.Apply(message, topology.Cause{Envelope: e, Key: r.key, Topic: r.topic, Partition: r.n, Offset: r.offset})
}

// watchEvery is between two looks at how far watched services have read.
const watchEvery = 10 * time.Second

// watch lets those who watch others see how far they have read, a little later.
func (s *Sim) watch() {
	if !s.watchAt.IsZero() {
		return
	}
	s.watchAt = s.now.Add(watchEvery)
	s.at(s.watchAt, func() {
		s.watchAt = time.Time{}
		for _, svc := range s.services {
			if svc.plan.Watch != nil {
				s.tell(svc)
			}
		}
	})
}

// tell sends the positions that were not told before.
func (s *Sim) tell(svc *service) {
	now := map[topology.Position]bool{}
	var news []topology.Request
	readers := svc.plan.Watch.Readers
	for _, reader := range slices.Sorted(maps.Keys(readers)) {
		committed := s.journal.offsets[reader]
		for _, event := range readers[reader] {
			t, _ := s.estate.TopicOf(event)
			for n := range s.journal.width {
				at, has := committed[place{t.Name, n}]
				p := topology.Position{Service: reader, Topic: t.Name, Partition: n, Offset: at}
				if !has || now[p] {
					continue
				}
				now[p] = true
				if !s.told[p] {
					p.AsOf = s.now
					news = append(news, s.position(svc, p))
				}
			}
		}
	}
	s.told = now
	sound(s.send(svc.plan.Name, news...))
}

func (s *Sim) position(svc *service, p topology.Position) topology.Request {
	m := svc.plan.Watch.Message(p)
	e := m.Head()
	e.ID = schemas.FactID("position", p.Service, p.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.Offset))
	e.OccurredAt = p.AsOf
	return topology.Request{Inbox: svc.plan.Name, Key: s.partitionKey(p.Partition), Message: m}
}
