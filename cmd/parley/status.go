package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
)

func newStatus() *cobra.Command {
	t := &target{}
	var asJSON bool
	var watch time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Where every replica is",
		Long: `Ask every replica where it is, and print a table. Each line is what that replica
says of itself; the line below the table is what replicas of more weight than may
be faulty agree on.

  view       number of the replica's view, * marks its primary
  committed  height of the last block that is certain
  executed   height of the last block that ran; lag is to the highest committed one
  stable     height of the last certified checkpoint
  snapshot   height of the last snapshot
  peers      links to other replicas that are up
  pool       requests waiting to be ordered

Exit code 1 if too few replicas to make progress can be reached.`,
		Example: `  parley status --dir demo
  parley status --dir demo --watch 2s
  parley status --dir demo --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch != 0 && watch < 100*time.Millisecond {
				return usagef(cmd, "--watch is %v: give 100ms or more", watch)
			}
			if err := t.resolve(cmd); err != nil {
				return err
			}
			d, err := t.direct()
			if err != nil {
				return err
			}
			defer d.close()
			if watch != 0 {
				return watchStatus(cmd.Context(), d, t.timeout, watch, asJSON, cmd.OutOrStdout())
			}
			s := d.states(cmd.Context(), t.timeout)
			if err := printState(cmd.OutOrStdout(), d, &s, asJSON); err != nil {
				return err
			}
			if !d.quorum(&s) {
				return fmt.Errorf("%d of %d replicas can be reached, too few to make progress: the table says why for each; start those that do not run", s.Reachable, len(s.Replicas))
			}
			return nil
		},
	}
	t.flags(cmd, 3*time.Second)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&watch, "watch", 0, "print anew each interval, until Ctrl-C")
	return cmd
}

// quorum tells whether the replicas that answered can commit.
func (d *directory) quorum(s *clusterState) bool { return s.weight() >= quorumWeight(d.roster.Cluster) }

// quorumWeight is what replicas must weigh together to commit.
func quorumWeight(c *crypto.Cluster) uint64 { return (c.TotalWeight()+c.FaultyWeight())/2 + 1 }

func watchStatus(ctx context.Context, d *directory, timeout, every time.Duration, asJSON bool, out io.Writer) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		s := d.states(ctx, timeout)
		if ctx.Err() != nil {
			return nil
		}
		if !asJSON && isTerminal(out) {
			fmt.Fprint(out, "\x1b[H\x1b[2J")
		}
		if err := printState(out, d, &s, asJSON); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func printState(out io.Writer, d *directory, s *clusterState, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	t := newTable(out, "REPLICA", "VIEW", "COMMITTED", "EXECUTED", "LAG", "STABLE", "SNAPSHOT", "PEERS", "POOL", "STATE", "BUILD")
	for i := range s.Replicas {
		r := &s.Replicas[i]
		name := r.Name
		if i == s.Primary {
			name += " *"
		}
		if !r.Reachable {
			t.row(name, "-", "-", "-", "-", "-", "-", "-", "-", "UNREACHABLE: "+longHex.ReplaceAllString(r.Error, "$1.."), "")
			continue
		}
		st := r.Status
		state := condition(st)
		if st.Transfer != 0 && st.Halted == "" {
			state = fmt.Sprintf("fetching state at %d: %d of %d chunks", st.Transfer, st.TransferChunks, st.TransferTotal)
		}
		t.row(name, st.View, st.Committed, st.Executed, max(s.Committed, st.Executed)-st.Executed, st.Stable, st.Snapshot,
			fmt.Sprintf("%d/%d", r.Says.Peers, len(s.Replicas)-1), st.Pool, state, st.Build)
	}
	if err := t.render(); err != nil {
		return err
	}
	primary := "unknown"
	if s.Primary >= 0 {
		primary = s.Replicas[s.Primary].Name
	}
	c := d.roster.Cluster
	_, err := fmt.Fprintf(out, "\n%s, epoch %d: %d of %d replicas reachable, view %d, primary %s, committed %d; weight %d of %d may be faulty\n",
		c.Name, c.Epoch, s.Reachable, len(s.Replicas), s.View, primary, s.Committed, c.FaultyWeight(), c.TotalWeight())
	return err
}
