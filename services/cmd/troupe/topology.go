package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"troupe/topology"
	"troupe/topology/stream"
)

func topologyCommand(o *options) *cobra.Command {
	c := group("topology", "The map of the estate: what exists and who may touch it")
	graph := &cobra.Command{
		Use: "graph", Short: "Draw the services and the topics between them", Args: takes(0, 0),
		Example: "  troupe topology graph -o mermaid",
	}
	chosen(graph.Flags(), "format", "o", "", "mermaid") // not output, whose variable says how answers are told
	graph.RunE = func(cmd *cobra.Command, _ []string) error {
		estate, err := topology.DefaultEstate()
		if err != nil {
			return err
		}
		contexts, err := o.contexts()
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), topology.Mermaid(estate, contexts.All))
		return err
	}
	c.AddCommand(graph,
		&cobra.Command{
			Use: "validate", Short: "Check the services against the estate, without a broker", Args: takes(0, 0),
			Example: "  troupe topology validate",
			RunE: func(cmd *cobra.Command, _ []string) error {
				estate, err := topology.DefaultEstate()
				if err != nil {
					return err
				}
				contexts, err := o.contexts()
				if err != nil {
					return err
				}
				if err := topology.Validate(estate, contexts.All); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%d services and %d public topics agree\n", len(contexts.All), len(estate.Topics))
				return nil
			},
		},
		&cobra.Command{
			Use: "apply", Short: "Make the topics that are missing", Args: takes(0, 0),
			Example: "  troupe topology apply --brokers localhost:9092",
			RunE: func(cmd *cobra.Command, _ []string) error {
				config, err := o.admin()
				if err != nil {
					return err
				}
				contexts, err := o.contexts()
				if err != nil {
					return err
				}
				made, err := stream.Apply(cmd.Context(), config, contexts.All)
				for _, t := range made {
					fmt.Fprintln(cmd.OutOrStdout(), t)
				}
				if err != nil && len(made) == 0 {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s made\n", count(len(made), "topics"))
				return err
			},
		})
	return c
}
