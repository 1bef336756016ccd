package virtual

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"troupe/topology"
)

// harm is what a test does to the estate from outside, as a defect of it would:
// it must be found.
type harm struct {
	options []kgo.Opt                               // of every client
	service func(topology.Service) topology.Service // each, before it runs
}

func (h harm) to(services []topology.Service) []topology.Service {
	if h.service == nil {
		return services
	}
	out := make([]topology.Service, len(services))
	for i, s := range services {
		out[i] = h.service(s)
	}
	return out
}
