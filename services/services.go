// Package services is the one place that knows every context.
package services

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"troupe/services/fraud"
	"troupe/services/inventory"
	"troupe/services/invoicing"
	"troupe/services/notification"
	"troupe/services/ordercapture"
	"troupe/services/payment"
	"troupe/services/processmanager"
	"troupe/services/reconciliation"
	"troupe/services/shipment"
	"troupe/services/tracking"
	"troupe/services/triage"
	"troupe/services/workbench"
	"troupe/topology"
	"troupe/topology/partner"
)

// Config is where the outside world is: base URLs, and for mail a server's
// host:port and the sender.
type Config struct {
	Provider, Scoring, Warehouse, ERP string
	Mail, MailFrom                    string

	Transport http.RoundTripper                                                    // of calls to partners; nil: the network
	DialMail  func(ctx context.Context, network, address string) (net.Conn, error) // nil: the network

	Process *processmanager.Definition // nil: the default; it is only read
	Unknown []string                   // ledgers that reconciliation cannot know here: orders, payments, stock

	Now func() time.Time // business time, for what people are shown
}

// Contexts is every service of the estate, and the views that people are shown.
type Contexts struct {
	All       []topology.Service
	Tracking  *tracking.View
	Workbench *workbench.Bench
}

// New makes every service. It connects to nothing.
func New(c Config) (Contexts, error) {
	policy, err := payment.DefaultPolicy()
	if err != nil {
		return Contexts{}, fmt.Errorf("payment policy: %w", err)
	}
	process := c.Process
	if process == nil {
		if process, err = processmanager.DefaultDefinition(); err != nil {
			return Contexts{}, fmt.Errorf("process definition: %w", err)
		}
	}
	rules, err := reconciliation.DefaultRules()
	if err == nil {
		rules, err = rules.Without(c.Unknown...)
	}
	if err != nil {
		return Contexts{}, fmt.Errorf("reconciliation rules: %w", err)
	}
	customers := notification.NewDirectory()
	mailer, err := notification.NewGateway(notification.Config{Addr: c.Mail, From: c.MailFrom, Dial: c.DialMail}, customers)
	if err != nil {
		return Contexts{}, fmt.Errorf("mail: %w", err)
	}
	client := &http.Client{Transport: c.Transport}
	if client.Transport == nil {
		client.Transport = partner.Transport()
	}
	at := func(url string) partner.Client { return partner.Client{URL: url, HTTP: client} }
	view := tracking.New()
	bench := workbench.New(workbench.Config{Now: c.Now, Duties: duties(process), Codes: slices.Collect(maps.Keys(rules.Codes))})
	return Contexts{
		Tracking: view, Workbench: bench,
		All: []topology.Service{
			ordercapture.Service(),
			fraud.Service(fraud.Gateway{Partner: at(c.Scoring)}),
			payment.Service(payment.Gateway{Partner: at(c.Provider)}, policy),
			inventory.Service(),
			shipment.Service(shipment.Gateway{Partner: at(c.Warehouse)}),
			invoicing.Service(invoicing.Gateway{Partner: at(c.ERP)}),
			notification.Service(mailer, customers),
			view.Service(),
			processmanager.Service(process),
			reconciliation.Service(rules),
			triage.Service(),
			bench.Service(),
		},
	}, nil
}

// duties tells the workbench the process, so that it can show what is expected.
func duties(process *processmanager.Definition) []workbench.Duty {
	var out []workbench.Duty
	for _, r := range process.Obligations {
		d := workbench.Duty{
			Name: r.Name, Owner: r.Owner, Because: sign(r.Because), Events: signs(r.Events), Void: signs(r.Void),
			Subject: r.Subject, Within: r.Within(), NextAction: r.NextAction,
		}
		for _, need := range r.Needs {
			d.Needs = append(d.Needs, signs(need))
		}
		out = append(out, d)
	}
	return out
}

func signs(patterns []processmanager.Pattern) (out []workbench.Sign) {
	for _, p := range patterns {
		out = append(out, sign(p))
	}
	return out
}

func sign(p processmanager.Pattern) workbench.Sign {
	s := workbench.Sign{Event: p.Event, When: map[string]string{}}
	for field, want := range p.When {
		s.When[field] = fmt.Sprint(want)
	}
	return s
}
