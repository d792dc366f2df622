package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/chaos"
)

func init() { chaosCommands = append(chaosCommands, newChaosBound) }

func newChaosBound() *cobra.Command {
	var seeds int
	var from uint64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bound",
		Short: "Show that F traitors break nothing, and what more of them do",
		Long: `Plays attacks of a whole coalition against clusters of 4 to 13 replicas and of
unequal weights, with traitors of three weights:

  F      as many as are tolerated: nothing may fall
  F+1    they stop everything, or lie to clients, or fork the cluster
  2Q-W   as many as two quorums may share: they fork the cluster

After a fork the logs of any two honest replicas that disagree must name culprits
of more than F, and at no time may anybody honest be named. The exit code is 1 if
one of these does not hold, or if nothing ever falls: then the tester is blind.`,
		Example: `  parley chaos bound
  parley chaos bound --seeds 40`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seeds < 8 {
				return usagef(cmd, "--seeds is %d: at least 8, so that each attack is played", seeds)
			}
			rows, faults, err := runBound(cmd, from, seeds)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(rows)
			} else {
				err = printBound(cmd, rows)
			}
			if err != nil {
				return err
			}
			if len(faults) > 0 {
				return fmt.Errorf("%d promises do not hold, the first: %s", len(faults), faults[0])
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&seeds, "seeds", 8, "runs of each cluster and weight")
	cmd.Flags().Uint64Var(&from, "from", 1, "first seed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runBound(cmd *cobra.Command, from uint64, seeds int) (rows []*chaos.BoundRow, faults []string, err error) {
	for _, weights := range chaos.BoundSizes() {
		fell := false
		for _, guilt := range []chaos.Guilt{chaos.AtBound, chaos.OverBound, chaos.Forking} {
			row, err := chaos.RunBound(cmd.Context(), weights, guilt, from, seeds)
			if err != nil {
				return nil, nil, err
			}
			rows = append(rows, row)
			fmt.Fprintf(cmd.ErrOrStderr(), "weights %v, traitors %v: %d runs, safety fell in %d, liveness in %d, %d forks\n",
				weights, guilt, row.Runs, row.SafetyFell, row.LivenessFell, row.Forks)
			faults = append(faults, row.Broken...)
			if guilt == chaos.AtBound && row.SafetyFell+row.LivenessFell > 0 {
				faults = append(faults, fmt.Sprintf("weights %v: with traitors of weight %d something fell", weights, row.Guilty))
			}
			fell = fell || guilt != chaos.AtBound && row.SafetyFell > 0
		}
		if !fell {
			faults = append(faults, fmt.Sprintf("weights %v: nothing fell above the bound", weights))
		}
	}
	return rows, faults, nil
}

func printBound(cmd *cobra.Command, rows []*chaos.BoundRow) error {
	t := newTable(cmd.OutOrStdout(), "WEIGHTS", "F", "TRAITORS", "RUNS", "SAFETY FELL", "LIVENESS FELL", "FORKS", "NAMED", "LEAST NAMED", "HISTORY GONE", "BROKEN")
	for _, r := range rows {
		t.row(fmt.Sprint(r.Weights), r.F, fmt.Sprintf("%v = %d", r.Guilt, r.Guilty), r.Runs, r.SafetyFell, r.LivenessFell, r.Forks, r.Named, r.LeastNamed, r.Gone, len(r.Broken))
	}
	return t.render()
}
