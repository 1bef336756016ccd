package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"troupe/schemas"
	"troupe/topology"
)

// plan is a service bound to the wire.
type plan struct {
	topology.Service
	sets  []*set
	bySrc map[string]*set
}

// set is a co-partition set of a plan.
type set struct {
	topology.Set
	full     string
	inbox    string
	inputs   []string
	messages map[string]*handler
	timers   map[string]*handler
	effects  map[string]*effect
	onDead   *handler
	row      topology.RowCodec
	beside   topology.RowCodec
	frame    *schemas.State[frame]
	parked   *schemas.State[parkedInput]
}

type handler struct {
	topology.Handler
	decode topology.Decode
}

type effect struct {
	*topology.Effect
	request topology.RowCodec
}

// binder binds services to a wire. Making a decoder costs far more than a seed
// can pay for each of two hundred, and what it makes holds no state: they are
// kept by where they are used.
type binder struct {
	wire   *schemas.Wire
	estate topology.Estate

	mu     sync.Mutex
	made   map[string]topology.Decode
	codecs map[string]topology.RowCodec
	frame  *schemas.State[frame]
	parked *schemas.State[parkedInput]
}

func newBinder(wire *schemas.Wire, estate topology.Estate) (*binder, error) {
	b := &binder{wire: wire, estate: estate, made: map[string]topology.Decode{}, codecs: map[string]topology.RowCodec{}}
	var err error
	if b.frame, err = schemas.NewState[frame]("sim.frame"); err != nil {
		return nil, err
	}
	b.parked, err = schemas.NewState[parkedInput]("sim.parked")
	return b, err
}

func (b *binder) decoder(user, name string, bind func(*schemas.Wire) (topology.Decode, error)) (topology.Decode, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d, ok := b.made[user+" "+name]; ok {
		return d, nil
	}
	d, err := bind(b.wire)
	if err != nil {
		return nil, fmt.Errorf("%s reads %s: %w", user, name, err)
	}
	b.made[user+" "+name] = d
	return d, nil
}

func (b *binder) codec(name string, bind func() (topology.RowCodec, error)) (topology.RowCodec, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.codecs[name]; ok {
		return c, nil
	}
	c, err := bind()
	if err != nil {
		return nil, err
	}
	b.codecs[name] = c
	return c, nil
}

func (b *binder) rows(name string, r topology.Row) (topology.RowCodec, error) {
	return b.codec(name, func() (topology.RowCodec, error) { return r.Bind(r.Older...) })
}

func (b *binder) plan(s topology.Service) (*plan, error) {
	p := &plan{Service: s, bySrc: map[string]*set{}}
	for _, spec := range s.Sets {
		bound, err := b.set(s, spec)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		p.sets = append(p.sets, bound)
		for _, t := range bound.inputs {
			p.bySrc[t] = bound
		}
	}
	return p, nil
}

func (b *binder) set(s topology.Service, spec topology.Set) (*set, error) {
	full := s.Full(spec)
	bound := &set{
		Set: spec, full: full, inbox: topology.InboxTopic(full), frame: b.frame, parked: b.parked,
		messages: map[string]*handler{}, timers: map[string]*handler{}, effects: map[string]*effect{},
	}
	if bound.Remember == 0 {
		bound.Remember = topology.DefaultRemember
	}
	inputs, err := s.Inputs(b.estate, spec)
	if err != nil {
		return nil, err
	}
	// Nothing is replayed here.
	bound.inputs = slices.DeleteFunc(inputs, func(t string) bool { return strings.HasSuffix(t, ".replay") })
	if bound.row, err = b.rows(full, spec.Row); err != nil {
		return nil, err
	}
	if spec.Beside != nil {
		if bound.beside, err = b.rows(full+" beside", *spec.Beside); err != nil {
			return nil, err
		}
	}
	for _, h := range spec.Handlers {
		if err := b.handler(bound, h); err != nil {
			return nil, err
		}
	}
	return bound, nil
}

func (b *binder) handler(s *set, spec topology.Handler) error {
	h := &handler{Handler: spec}
	switch spec.Trigger {
	case topology.OnTimer:
		s.timers[spec.Name] = h
		return nil
	case topology.OnDead:
		s.onDead = h
		return nil
	}
	var err error
	if h.decode, err = b.decoder(s.full, spec.Name, spec.Bind); err != nil {
		return err
	}
	s.messages[spec.Name] = h
	if spec.Effect == nil {
		return nil
	}
	e := &effect{Effect: spec.Effect}
	if e.request, err = b.codec(s.full+" "+spec.Effect.Name, spec.Effect.Bind); err != nil {
		return err
	}
	s.effects[spec.Effect.Name] = e
	return nil
}
