package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Validate checks services against the estate: every event read has a topic,
// every fact is published by the topic's owner alone, every inbox knows its
// writers, whoever may bury an input owns a topic and so has one for dead letters,
// every inbox that is read is listed, and what a set reads is keyed and counted alike.
func Validate(e Estate, services []Service) error {
	var errs []error
	names := map[string]bool{}
	for _, s := range services {
		if names[s.Name] {
			errs = append(errs, fmt.Errorf("service %s is there twice", s.Name))
		}
		names[s.Name] = true
		errs = append(errs, e.writers(s)...)
		if len(s.Sets) > 0 && !e.owns(s.Name) {
			errs = append(errs, fmt.Errorf("service %s owns no topic of the estate: triage would not read its dead letters; list one with `owner: %s`", s.Name, s.Name))
		}
		for _, set := range s.Sets {
			errs = append(errs, e.copartitioned(s, set)...)
			errs = append(errs, e.inbox(s, set)...)
		}
	}
	return errors.Join(errs...)
}

func (e Estate) owns(service string) bool {
	return slices.ContainsFunc(e.Topics, func(t Topic) bool { return t.Owner == service && !t.Foreign })
}

// writers checks what a service writes.
func (e Estate) writers(s Service) []error {
	var errs []error
	outputs := slices.Concat(s.Publishes, s.Asks)
	for _, in := range s.Intakes {
		outputs = append(outputs, in.Writes...)
	}
	for _, o := range outputs {
		if o.Inbox != "" {
			i := slices.IndexFunc(e.Inboxes, func(in Inbox) bool { return in.Name == o.Inbox })
			if i < 0 {
				errs = append(errs, fmt.Errorf("service %s asks %s of inbox %s, which the estate does not list", s.Name, o.Type, o.Inbox))
			} else if !slices.Contains(e.Inboxes[i].Writers, s.Name) {
				errs = append(errs, fmt.Errorf("service %s asks %s of inbox %s, whose writers are %s", s.Name, o.Type, o.Inbox, strings.Join(e.Inboxes[i].Writers, ", ")))
			}
			continue
		}
		t, ok := e.TopicOf(o.Type)
		if !ok {
			errs = append(errs, fmt.Errorf("service %s publishes %s, which no topic of the estate carries", s.Name, o.Type))
		} else if t.Owner != s.Name {
			errs = append(errs, fmt.Errorf("service %s publishes %s, but topic %s is owned by %s: a public topic has one writer", s.Name, o.Type, t.Name, t.Owner))
		}
	}
	return errs
}

// inbox checks that the inbox of a set that reads one is listed: as that of its own
// answers too, which it writes itself.
func (e Estate) inbox(s Service, set Set) []error {
	name := s.Full(set)
	i := slices.IndexFunc(e.Inboxes, func(in Inbox) bool { return in.Name == name })
	for _, h := range set.Handlers {
		switch {
		case h.Trigger != OnRequest && h.Trigger != OnOutcome:
		case i < 0:
			return []error{fmt.Errorf("set %s takes %s in its inbox, which the estate does not list: nobody would judge it; list it under inboxes", name, h.Name)}
		case h.Trigger == OnOutcome && !slices.Contains(e.Inboxes[i].Writers, s.Name):
			return []error{fmt.Errorf("set %s takes the outcome %s in its inbox, but %s is not among the inbox's writers", name, h.Name, s.Name)}
		}
	}
	return nil
}

// copartitioned checks that the public topics of a set are keyed alike and have
// as many partitions as each other.
func (e Estate) copartitioned(s Service, set Set) []error {
	var errs []error
	var first Topic
	for _, h := range set.Handlers {
		if h.Trigger != OnFact {
			continue
		}
		t, ok := e.TopicOf(h.Name)
		if !ok {
			errs = append(errs, fmt.Errorf("service %s reacts to %s, which no topic of the estate carries", s.Name, h.Name))
			continue
		}
		if first.Name == "" {
			first = t
		}
		if t.Key != first.Key {
			errs = append(errs, fmt.Errorf("set %s reads %s keyed by %s and %s keyed by %s: one set, one key", s.Full(set), first.Name, first.Key, t.Name, t.Key))
		}
		if e.PartitionsOf(t) != e.PartitionsOf(first) {
			errs = append(errs, fmt.Errorf("set %s is not co-partitioned: %s has %d partitions, %s has %d", s.Full(set), first.Name, e.PartitionsOf(first), t.Name, e.PartitionsOf(t)))
		}
	}
	return errs
}
