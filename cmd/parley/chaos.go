package main

import "github.com/spf13/cobra"

// chaosCommands make the sub-commands of 'parley chaos'. A file that has one adds
// it here in an init function.
var chaosCommands []func() *cobra.Command

func newChaos() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Test Parley itself under faults and traitors",
		Long: `Runs clusters under faults and traitors, and judges what comes out: simulated ones,
where a number (the seed) decides everything and reproduces it, and real processes.
Nothing here touches a cluster that you run.`,
	}
	for _, make := range chaosCommands {
		cmd.AddCommand(make())
	}
	return cmd
}
