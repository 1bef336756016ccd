// Package services is the one place that knows every context.
package services

import (
	"troupe/services/fraud"
	"troupe/services/inventory"
	"troupe/services/ordercapture"
	"troupe/services/triage"
	"troupe/topology"
	"troupe/topology/partner"
)

// Config is what the contexts need of the outside world.
type Config struct {
	Fraud string // URL of the scoring service
}

// All returns every service of the estate.
func All(c Config) []topology.Service {
	return []topology.Service{
		ordercapture.Service(),
		fraud.Service(fraud.Gateway{Partner: partner.Client{URL: c.Fraud}}),
		inventory.Service(),
		triage.Service(),
	}
}
