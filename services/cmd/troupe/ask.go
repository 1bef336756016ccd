package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"troupe/services/workbench"
)

// client asks a workbench: what people see there and what the command line says
// is one and the same.
type client struct {
	url    string
	output *string
}

func (c *client) bind(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.url, "workbench", "http://127.0.0.1:8082", "URL of the workbench")
	c.output = output(f)
}

// askTimeout bounds a question to the workbench.
const askTimeout = 10 * time.Second

// maxAnswer bounds what is read of its answer, in bytes.
const maxAnswer = 64 << 20

// ask reads a page as JSON. With -o json it is printed as it came, and text is
// not called.
func (c *client) ask(cmd *cobra.Command, path string, into any, text func(io.Writer)) error {
	b, err := c.get(cmd.Context(), path)
	if err != nil {
		return err
	}
	if *c.output == "json" {
		_, err := cmd.OutOrStdout().Write(b)
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("the workbench at %s answers in a shape of another version: %w", c.url, err)
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	text(t)
	return t.Flush()
}

func (c *client) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := absolute("workbench", c.url); err != nil {
		return nil, usageError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.url, "/")+path, nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--workbench: %w", err)}
	}
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the workbench: %w; is it running (troupe run all, troupe run workbench), and where (--workbench)?", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask the workbench: %w", err)
	}
	return b, c.refused(resp, b)
}

// refused is what is wrong with an answer that is not the one that was asked for.
func (c *client) refused(resp *http.Response, body []byte) error {
	var problem struct{ Detail string }
	said := json.Unmarshal(body, &problem) == nil
	switch {
	case resp.StatusCode == http.StatusOK && said:
		return nil
	case resp.StatusCode == http.StatusBadRequest && problem.Detail != "":
		return usageError{errors.New(problem.Detail)}
	case problem.Detail != "" && resp.StatusCode != http.StatusNotFound: // a workbench has all that it is asked for
		return fmt.Errorf("the workbench says %s: %s", resp.Status, problem.Detail)
	case resp.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("what runs at %s is not ready: %s; ask again in a moment", c.url, strings.TrimSpace(string(body)))
	}
	return fmt.Errorf("no workbench answers at %s (%s): check --workbench; troupe run says where its workbench is", c.url, resp.Status)
}

func statusCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use: "status", Short: "What is wrong, by causes, the gravest first", Args: takes(0, 0),
		Example: "  troupe status --workbench http://127.0.0.1:8082",
	}
	c.bind(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s workbench.Status
		return c.ask(cmd, "/", &s, func(w io.Writer) {
			fmt.Fprintf(w, "%s\n", s.Headline)
			for _, t := range s.Causes {
				fmt.Fprintf(w, "%s\t%s\tsince %s\n", t.Says, t.Kind, instant(t.Since))
			}
			for _, p := range s.Phases {
				fmt.Fprintf(w, "%s\t%s\n", p.Phase, count(p.Flows, "flows"))
			}
		})
	}
	return cmd
}

func flowCommand() *cobra.Command {
	c := &client{}
	cmd := group("flow", "Flows, and what they are owed")
	c.bind(cmd)
	var phase, overdue, owner string
	var page int
	ls := &cobra.Command{
		Use: "ls", Short: "List flows: the longest overdue first where that is asked for, else the youngest", Args: takes(0, 0),
		Example: "  troupe flow ls --phase RELEASED\n  troupe flow ls --overdue any\n  troupe flow ls --overdue ShipmentDelivered --owner shipment",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var l workbench.Flows
			path := "/flows?" + url.Values{"phase": {phase}, "overdue": {overdue}, "owner": {owner}, "page": {strconv.Itoa(page)}}.Encode()
			return c.ask(cmd, path, &l, func(w io.Writer) { listFlows(w, page, &l) })
		},
	}
	ls.Flags().StringVar(&phase, "phase", "", "one phase only")
	ls.Flags().StringVar(&overdue, "overdue", "", "those to which this event is owed for too long, or any")
	ls.Flags().StringVar(&owner, "owner", "", "those to which this context owes something for too long")
	ls.Flags().IntVar(&page, "page", 1, "which page of the list")
	cmd.AddCommand(ls, &cobra.Command{
		Use: "show ORDER", Short: "One flow: what happened, and what is owed but absent", Args: takes(1, 1),
		Long:    "ORDER is an order's number, the beginning of it, tenant/order, or the number of a thing that belongs to it, such as a shipment or an invoice.",
		Example: "  troupe flow show web-000017\n  troupe flow show acme/web-000017 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := c.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var a workbench.FlowAnswer
			return c.ask(cmd, path, &a, func(w io.Writer) { showFlow(w, &a) })
		},
	})
	return cmd
}

// find is the address of the flow that a number means.
func (c *client) find(ctx context.Context, number string) (string, error) {
	b, err := c.get(ctx, "/flows?q="+url.QueryEscape(number))
	if err != nil {
		return "", err
	}
	var found workbench.Flows
	if err := json.Unmarshal(b, &found); err != nil {
		return "", fmt.Errorf("the workbench at %s answers in a shape of another version: %w", c.url, err)
	}
	for _, f := range found.Flows {
		if f.Order == number || len(found.Flows) == 1 {
			return f.Link(), nil
		}
	}
	if len(found.Flows) == 0 {
		return "", fmt.Errorf("the workbench knows no flow of %q", number)
	}
	return "", fmt.Errorf("%q may mean %d flows, such as %s and %s: say more of it", number, found.Part.Total, found.Flows[0].Order, found.Flows[1].Order)
}

func listFlows(w io.Writer, page int, l *workbench.Flows) {
	fmt.Fprintf(w, "ORDER\tPHASE\tSINCE\tPROMISED BY\tOVERDUE\n")
	for _, f := range l.Flows {
		fmt.Fprintf(w, "%s/%s\t%s\t%s\t%s\t%s\n", f.Tenant, f.Order, f.Phase, instant(f.PhaseSince), instant(f.PromisedBy), strings.Join(f.Overdue, ", "))
	}
	turn(w, page, len(l.Flows), l.Part)
}

// turn says which part of a list this is, and how to see the next.
func turn(w io.Writer, asked, shown int, p workbench.Part) {
	fmt.Fprintf(w, "%d of %d", shown, p.Total)
	switch {
	case asked > p.Pages:
		fmt.Fprintf(w, ": there is no page %d, this is page %d, the last", asked, p.Page)
	case p.Page < p.Pages:
		fmt.Fprintf(w, ", page %d of %d: --page %d goes on", p.Page, p.Pages, p.Page+1)
	}
	fmt.Fprintln(w)
}

func showFlow(w io.Writer, a *workbench.FlowAnswer) {
	f := a.Flow
	fmt.Fprintf(w, "%s/%s is %s since %s; placed %s, promised by %s\n\n", f.Tenant, f.Order, f.Phase, instant(f.PhaseSince), instant(f.PlacedAt), instant(f.PromisedBy))
	for _, x := range a.Facts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s/%d@%d\n", instant(x.At), x.Source, x.Event, x.Says, x.Topic, x.Partition, x.Offset)
	}
	if a.Left != "" {
		fmt.Fprintln(w, a.Left)
	}
	for _, o := range a.Overdue {
		fmt.Fprintf(w, "OVERDUE\t%s\t%s\tdue %s, because of %s: %s\n", o.Owner, strings.Join(o.Events, " or "), instant(o.DueAt), o.CauseType, o.NextAction)
	}
	for _, o := range a.Expected {
		fmt.Fprintf(w, "owed\t%s\t%s\twithin %s of %s\n", o.Owner, strings.Join(o.Events, " or "), or(o.Within, "reconciliation's time"), o.CauseType)
	}
	for _, m := range a.Mismatches {
		fmt.Fprintf(w, "%s\treconciliation\t%s\t%s: expected %s, actual %s\n", m.State, m.Code, m.Subject, m.Amount(m.Expected), m.Amount(m.Actual))
	}
	for _, x := range a.Exceptions {
		fmt.Fprintf(w, "exception\t%s\t%s\t%s/%d@%d: %s\n", x.Service, x.Cause, x.Topic, x.Partition, x.Offset, x.Detail)
	}
}

func reconCommand() *cobra.Command {
	c := &client{}
	cmd := group("recon", "Differences between ledgers")
	c.bind(cmd)
	var state, code string
	var page int
	ls := &cobra.Command{
		Use: "ls", Short: "List mismatches", Args: takes(0, 0),
		Example: "  troupe recon ls\n  troupe recon ls --status cleared --code SHIPPED_NOT_RELEASED",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var l workbench.Mismatches
			path := "/mismatches?" + url.Values{"state": {state}, "code": {code}, "page": {strconv.Itoa(page)}}.Encode()
			return c.ask(cmd, path, &l, func(w io.Writer) {
				fmt.Fprintf(w, "CODE\tORDER\tSUBJECT\tSTATE\tEXPECTED\tACTUAL\tAT RISK\tSINCE\n")
				for _, m := range l.Mismatches {
					fmt.Fprintf(w, "%s\t%s/%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Code, m.Tenant, m.Order, m.Subject, m.State,
						m.Amount(m.Expected), m.Amount(m.Actual), m.Money(), instant(m.Since))
				}
				turn(w, page, len(l.Mismatches), l.Part)
			})
		},
	}
	ls.Flags().StringVar(&state, "status", "open", "open, cleared, accepted or all")
	ls.Flags().StringVar(&code, "code", "", "one code only")
	ls.Flags().IntVar(&page, "page", 1, "which page of the list")
	cmd.AddCommand(ls)
	return cmd
}

// count writes a number of things: "1 order", "2 orders".
func count(n int, things string) string {
	if n == 1 {
		things = strings.TrimSuffix(things, "s")
	}
	return fmt.Sprintf("%d %s", n, things)
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
