package stream

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"troupe/schemas"
	"troupe/topology"
)

// taskID is a co-partition set of a service and a partition: the unit of
// assignment, state, changelog and timers.
type taskID struct {
	set       string
	partition int32
}

func (t taskID) compare(o taskID) int {
	return cmp.Or(cmp.Compare(t.set, o.set), cmp.Compare(t.partition, o.partition))
}

// plan is a service made ready to run: its handlers bound to the wire, its
// topics named as on the broker.
type plan struct {
	service topology.Service
	sets    map[string]*set
	bySrc   map[string]*set // input topic → set
	outputs map[string]topology.Output
	topicOf map[string]string // fact → topic on the broker
	dead    string
}

// set is a co-partition set of a plan.
type set struct {
	name     string
	full     string
	spec     topology.Set
	inputs   []string
	inbox    string
	state    string
	width    int32 // partitions, known once the broker was asked
	messages map[string]*handler
	timers   map[string]*handler
	effects  map[string]*effect
	onDead   *handler
	row      topology.RowCodec
	beside   topology.RowCodec
	frame    *schemas.State[frame]
	parked   *schemas.State[parkedInput]
	remember int
}

type handler struct {
	topology.Handler
	decode  topology.Decode
	metrics stepMetrics
}

type effect struct {
	*topology.Effect
	request topology.RowCodec
}

func newPlan(c Config, s topology.Service) (*plan, error) {
	p := &plan{
		service: s, sets: map[string]*set{}, bySrc: map[string]*set{}, outputs: map[string]topology.Output{},
		topicOf: map[string]string{}, dead: c.topic(topology.DeadTopic(s.Name)),
	}
	for _, o := range slices.Concat(s.Publishes, s.Asks) {
		p.outputs[o.Inbox+"/"+o.Type] = o
		if o.Inbox == "" {
			t, ok := c.Estate.TopicOf(o.Type)
			if !ok {
				return nil, fmt.Errorf("service %s publishes %s, which no topic of the estate carries", s.Name, o.Type)
			}
			p.topicOf[o.Type] = c.topic(t.Name)
		}
	}
	for _, spec := range s.Sets {
		bound, err := newSet(c, s, spec)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		p.sets[spec.Name] = bound
		for _, t := range bound.inputs {
			if other, taken := p.bySrc[t]; taken {
				return nil, fmt.Errorf("service %s: sets %q and %q both read %s", s.Name, other.name, spec.Name, t)
			}
			p.bySrc[t] = bound
		}
	}
	return p, nil
}

func newSet(c Config, s topology.Service, spec topology.Set) (*set, error) {
	b := &set{
		name: spec.Name, full: s.Full(spec), spec: spec, inbox: c.topic(topology.InboxTopic(s.Full(spec))),
		state: c.topic(s.StateTopic(spec)), messages: map[string]*handler{}, timers: map[string]*handler{},
		effects: map[string]*effect{}, remember: spec.Remember,
	}
	def(&b.remember, topology.DefaultRemember)
	inputs, err := s.Inputs(c.Estate, spec)
	if err != nil {
		return nil, err
	}
	for _, t := range inputs {
		b.inputs = append(b.inputs, c.topic(t))
	}
	if b.row, err = spec.Row.Bind(spec.Row.Older...); err != nil {
		return nil, err
	}
	if spec.Beside != nil {
		if b.beside, err = spec.Beside.Bind(spec.Beside.Older...); err != nil {
			return nil, err
		}
	}
	if b.frame, err = schemas.NewState[frame]("troupe.frame"); err != nil {
		return nil, err
	}
	if b.parked, err = schemas.NewState[parkedInput]("troupe.parked"); err != nil {
		return nil, err
	}
	for _, spec := range spec.Handlers {
		if err := b.bind(c, s.Name, spec); err != nil {
			return nil, fmt.Errorf("%s: %w", spec.Name, err)
		}
	}
	return b, nil
}

func (s *set) bind(c Config, service string, spec topology.Handler) error {
	h := &handler{Handler: spec, metrics: c.Metrics.ofStep(service, spec.Name)}
	switch spec.Trigger {
	case topology.OnTimer:
		s.timers[spec.Name] = h
		return nil
	case topology.OnDead:
		s.onDead = h
		return nil
	}
	if _, twice := s.messages[spec.Name]; twice {
		return fmt.Errorf("handled twice in set %q", s.name)
	}
	var err error
	if h.decode, err = spec.Bind(c.Wire); err != nil {
		return err
	}
	s.messages[spec.Name] = h
	if spec.Effect != nil {
		e := &effect{Effect: spec.Effect}
		if e.request, err = spec.Effect.Bind(); err != nil {
			return err
		}
		s.effects[spec.Effect.Name] = e
	}
	return nil
}

// topics maps each set to its inputs, as the balancer wants them.
func (p *plan) topics() map[string][]string {
	m := map[string][]string{}
	for name, s := range p.sets {
		if len(s.inputs) > 0 {
			m[name] = s.inputs
		}
	}
	return m
}

func (p *plan) inputs() []string { return slices.Sorted(maps.Keys(p.bySrc)) }

// output finds the topic of a message, and refuses one that is not declared.
func (p *plan) output(c Config, inbox, typ string) (string, error) {
	if _, ok := p.outputs[inbox+"/"+typ]; !ok {
		where := "a fact"
		if inbox != "" {
			where = "a request to " + inbox
		}
		return "", fmt.Errorf("service %s does not declare %s as %s: declare it in its Publishes or Asks", p.service.Name, typ, where)
	}
	if inbox != "" {
		return c.topic(topology.InboxTopic(inbox)), nil
	}
	return p.topicOf[typ], nil
}
