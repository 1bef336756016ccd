package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"troupe/services"
	"troupe/topology"
	"troupe/topology/stream"
)

func topologyCommand(o *options) *cobra.Command {
	c := group("topology", "The map of the estate: what exists and who may touch it")
	graph := &cobra.Command{
		Use: "graph", Short: "Draw the services and the topics between them", Args: cobra.NoArgs,
		Example: "  troupe topology graph -o mermaid",
	}
	format := graph.Flags().StringP("output", "o", "mermaid", "mermaid")
	graph.RunE = func(cmd *cobra.Command, _ []string) error {
		if *format != "mermaid" {
			return usageError{fmt.Errorf("output %q: only mermaid is known", *format)}
		}
		estate, err := topology.DefaultEstate()
		if err != nil {
			return err
		}
		contexts, err := services.New(o.world)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), topology.Mermaid(estate, contexts.All))
		return err
	}
	c.AddCommand(graph,
		&cobra.Command{
			Use: "validate", Short: "Check the services against the estate, without a broker", Args: cobra.NoArgs,
			Example: "  troupe topology validate",
			RunE: func(cmd *cobra.Command, _ []string) error {
				estate, err := topology.DefaultEstate()
				if err != nil {
					return err
				}
				contexts, err := services.New(o.world)
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
			Use: "apply", Short: "Make the topics that are missing", Args: cobra.NoArgs,
			Example: "  troupe topology apply --brokers localhost:9092",
			RunE: func(cmd *cobra.Command, _ []string) error {
				config, err := o.admin()
				if err != nil {
					return err
				}
				contexts, err := services.New(o.world)
				if err != nil {
					return err
				}
				made, err := stream.Apply(cmd.Context(), config, contexts.All)
				for _, t := range made {
					fmt.Fprintln(cmd.OutOrStdout(), t)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%d topics made\n", len(made))
				return err
			},
		})
	return c
}
