package sim

import (
	"time"

	"troupe/topology"
)

// tally is the probe's row: an order's first days in counts.
type tally struct {
	Placed bool  `avro:"placed"`
	Facts  int32 `avro:"facts"`
	Looks  int32 `avro:"looks"`
}

// looks is how often the probe looks at a row before it ends it.
const looks = 6

// probe is a service that does what no context needs yet and the runtime
// promises: it parks what comes too early, and ends its rows. What comes after
// the end is parked in vain, and so becomes a dead letter.
func probe() topology.Service {
	return topology.Service{
		Name: "probe", Owner: "simulation", Doc: "counts an order's facts in its first days",
		Sets: []topology.Set{topology.Keyed("", "order", "probe.tally",
			topology.On("OrderPlaced", func(r *tally, _ struct{}, t *topology.Turn) error {
				r.Placed = true
				t.At(t.Now.Add(time.Hour), "look", "")
				return nil
			}),
			topology.On("FraudCleared", counted), topology.On("PaymentAuthorized", counted), topology.On("ShipmentDispatched", counted),
			topology.Due("look", func(r *tally, t *topology.Turn) error {
				if r.Looks++; r.Looks == looks {
					t.End()
					return nil
				}
				t.At(t.Now.Add(8*time.Hour), "look", "")
				return nil
			}),
		)},
	}
}

// counted waits for the order: the topics are read in any order.
func counted(r *tally, _ struct{}, _ *topology.Turn) error {
	if !r.Placed {
		return topology.Park(10*time.Minute, "not placed, as far as is known here")
	}
	r.Facts++
	return nil
}
