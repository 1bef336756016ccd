package inventory

import (
	"net/http"
	"time"

	"troupe/schemas"
	"troupe/topology"
	"troupe/topology/partner"
)

type adjustStock struct {
	schemas.Envelope `avro:"envelope"`
	SKU              string `avro:"sku"`
	Node             string `avro:"node"`
	Quantity         int32  `avro:"quantity"`
	Mode             string `avro:"mode"`
	Reason           string `avro:"reason"`
}

// maxLevels bounds the counts in one report.
const maxLevels = 500

func countsIntake() topology.Intake {
	return topology.Intake{
		Pattern: "POST /stock/events", Doc: "counts of the warehouse",
		Writes: []topology.Output{topology.Asks[adjustStock]("inventory.stock")},
		Handle: func(w http.ResponseWriter, r *http.Request, send topology.Send) {
			var in struct {
				ID, Tenant, Mode, Reason string
				At                       time.Time
				Levels                   []struct {
					SKU, Node string
					Quantity  int32
				}
			}
			whole := func() bool {
				return in.ID != "" && in.Tenant != "" && in.Mode != "" && !in.At.IsZero() && len(in.Levels) > 0
			}
			if !partner.Read(w, r, &in, "id, tenant, mode, at and levels", whole) {
				return
			}
			if len(in.Levels) > maxLevels {
				partner.Refuse(w, http.StatusRequestEntityTooLarge, "too many levels in one report: send at most 500")
				return
			}
			var messages []topology.Request
			for _, l := range in.Levels {
				messages = append(messages, topology.Request{Inbox: "inventory.stock", Key: in.Tenant + "/" + l.SKU, Message: &adjustStock{
					Envelope: schemas.Envelope{ID: schemas.FactID("wms.stock", in.Tenant, in.ID, l.SKU, l.Node), OccurredAt: in.At, Tenant: in.Tenant},
					SKU:      l.SKU, Node: l.Node, Quantity: l.Quantity, Mode: in.Mode, Reason: in.Reason,
				}})
			}
			partner.Accept(w, r, send, messages...)
		},
	}
}
