package topology

import (
	"fmt"
	"slices"
	"strings"
)

// edge of the graph: who writes what to where, and who reads it there.
type edge struct{ from, label, to string }

// Mermaid draws the services and the topics between them. It is derived from
// the same values that run, so it cannot go stale.
func Mermaid(e Estate, services []Service) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	services = slices.SortedFunc(slices.Values(services), func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range services {
		fmt.Fprintf(&b, "  %s[%s]\n", s.Name, s.Name)
	}
	topics := map[string]bool{}
	var edges []edge
	for _, s := range services {
		for _, o := range s.Publishes {
			if t, ok := e.TopicOf(o.Type); ok {
				topics[t.Name] = true
				edges = append(edges, edge{s.Name, "", "t_" + t.Name})
			}
		}
		for _, in := range s.Intakes {
			for _, o := range in.Writes {
				if t, ok := e.TopicOf(o.Type); ok && o.Inbox == "" {
					topics[t.Name] = true
					edges = append(edges, edge{s.Name, "", "t_" + t.Name})
				}
			}
		}
		for _, o := range s.Asks {
			if service, _, _ := strings.Cut(o.Inbox, "."); service != s.Name {
				edges = append(edges, edge{s.Name, o.Type, service})
			}
		}
		for _, set := range s.Sets {
			for _, h := range set.Handlers {
				if t, ok := e.TopicOf(h.Name); ok && h.Trigger == OnFact {
					topics[t.Name] = true
					edges = append(edges, edge{"t_" + t.Name, "", s.Name})
				}
			}
		}
		for _, v := range s.Views {
			for _, h := range v.Handlers {
				if t, ok := e.TopicOf(h.Event); ok {
					topics[t.Name] = true
					edges = append(edges, edge{"t_" + t.Name, "view", s.Name})
				}
			}
		}
	}
	for _, t := range e.Topics {
		if topics[t.Name] {
			fmt.Fprintf(&b, "  t_%s([%s])\n", t.Name, t.Name)
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return strings.Compare(a.from+"|"+a.to+"|"+a.label, b.from+"|"+b.to+"|"+b.label)
	})
	for _, g := range slices.Compact(edges) {
		switch g.label {
		case "":
			fmt.Fprintf(&b, "  %s --> %s\n", g.from, g.to)
		case "view":
			fmt.Fprintf(&b, "  %s -.-> %s\n", g.from, g.to)
		default:
			fmt.Fprintf(&b, "  %s -- %s --> %s\n", g.from, g.label, g.to)
		}
	}
	return b.String()
}
