package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/kv"
)

// clusterCommand is what 'parley cluster' was told.
type clusterCommand struct {
	plan     clusterPlan
	keep     bool
	restart  bool
	interval time.Duration
}

func newClusterCommand() *cobra.Command {
	c := &clusterCommand{}
	var weights []string
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Run a whole cluster on this machine",
		Long: `Run a cluster of replicas on this machine, each in a process of its own, with real
disks and mutual TLS between them, until Ctrl-C. A first write and read show that
it works; after that one line says where it is.

Without --dir everything is in a temporary folder and removed at the end, unless
--keep. With --dir a cluster is made there, or the one that is there is started
again. What each replica logs is in DIR/replica-N/log.txt, and
what is older than its last 64 MiB or so in log.txt.1.

Ctrl-C stops all replicas in order, a second one kills them, and so does a replica's
taking more than 35 seconds. A replica that dies, or cannot start, is reported, and
the others go on; try it: kill -9 one. While too few are up to make progress the
status line says so; only if too few can start does the command end. With --restart
a replica that is down is started again after a second, and after pauses that double
up to a minute when that does not help.`,
		Example: `  parley cluster
  parley cluster --replicas 7 --dir demo
  parley put --dir DIR colour green    # from another terminal`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.plan.setWeights(weights); err != nil {
				return usagef(cmd, "--weights: %v", err)
			}
			if cmd.Flags().Changed("keep") && c.plan.dir != "" {
				return usagef(cmd, "--keep is for the temporary folder; what is in --dir is always kept")
			}
			return c.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.plan.dir, "dir", "", "the cluster's folder (default a temporary one)")
	c.plan.flags(cmd)
	f.IntVar(&c.plan.basePort, "base-port", 0, "first port (default whatever is free)")
	f.StringSliceVar(&weights, "weights", nil, "a weight for each replica (default 1 each)")
	f.BoolVar(&c.keep, "keep", false, "keep the temporary folder")
	f.BoolVar(&c.restart, "restart", false, "start again replicas that died or could not start")
	f.DurationVar(&c.interval, "interval", 0, "between status lines (default 500ms on a terminal, 5s otherwise)")
	return cmd
}

func (c *clusterCommand) run(cmd *cobra.Command) (err error) {
	out := cmd.OutOrStdout()
	c.plan.host = "127.0.0.1"
	named := false // the folder, to the user
	if c.plan.dir == "" {
		if c.plan.dir, err = os.MkdirTemp("", "parley-cluster-"); err != nil {
			return err
		}
		defer func() {
			if c.keep {
				fmt.Fprintf(out, "Kept in %s\n", c.plan.dir)
				return
			}
			if rerr := os.RemoveAll(c.plan.dir); rerr != nil {
				err = errors.Join(err, rerr)
				return
			}
			if named {
				fmt.Fprintf(out, "Removed %s (--keep keeps it)\n", c.plan.dir)
			}
		}()
	}
	if err := c.make(cmd); err != nil {
		return err
	}
	ros, err := roster.Load(clusterFilePath(c.plan.dir))
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	warnOpen(out, ros.Cluster)
	fmt.Fprintf(out, "Starting %d replicas in %s\n", ros.N(), c.plan.dir)
	named = true
	s := newSupervisor(program, c.plan.dir, ros.Cluster, c.restart, cmd.ErrOrStderr())
	defer func() {
		fmt.Fprintln(out, "Stopping")
		s.stopAll()
		fmt.Fprintln(out, "All replicas have stopped")
	}()
	s.startAll()
	for i, pid := range s.pids() {
		if pid != 0 {
			fmt.Fprintf(out, "  %s is process %d\n", replicaName(i), pid)
		}
	}
	began := time.Now()
	if err := c.firstOperation(cmd.Context(), s, out, began); err != nil {
		if interrupted(cmd.Context()) {
			return nil
		}
		return err
	}
	me := invocation()
	app, err := findApplication(applicationName(ros.Cluster))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nTalk to it from another terminal:")
	for _, try := range append(app.tryout(c.plan.dir), "status --dir "+c.plan.dir) {
		fmt.Fprintf(out, "  %s %s\n", me, try)
	}
	fmt.Fprintln(out, "\nCtrl-C stops it.")
	return c.watch(cmd.Context(), s, ros, out)
}

// make makes the cluster unless there is one.
func (c *clusterCommand) make(cmd *cobra.Command) error {
	if _, err := os.Stat(clusterFilePath(c.plan.dir)); err == nil {
		for _, name := range []string{"replicas", "weights", "scheme", "checkpoint-every", "window", "name", "allow-dominant", "base-port", "open", "client-keys", "app", "genesis", "policy"} {
			if cmd.Flags().Changed(name) {
				return usagef(cmd, "--%s is for a new cluster, and %s exists: leave it out, or name another --dir", name, clusterFilePath(c.plan.dir))
			}
		}
		return nil
	}
	if c.plan.basePort == 0 {
		if c.plan.replicas < 1 || c.plan.replicas > 256 {
			c.plan.basePort = lowestPort // refused below, for the number of replicas
		} else {
			var err error
			if c.plan.basePort, err = freePorts(c.plan.host, c.plan.replicas); err != nil {
				return err
			}
		}
	}
	if err := c.plan.setApplication(); err != nil {
		return usagef(cmd, "%v", err)
	}
	if err := c.plan.validate(); err != nil {
		return usagef(cmd, "%v", err)
	}
	_, err := c.plan.write()
	return err
}

// readyTimeout is how long the first operation may take.
const readyTimeout = time.Minute

// firstOperation runs the application's first operation.
func (c *clusterCommand) firstOperation(ctx context.Context, s *supervisor, out io.Writer, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	// Without a quorum the others would wait for nothing.
	go func() {
		select {
		case <-s.noQuorum():
			cancel()
		case <-ctx.Done():
		}
	}()
	fail := func(err error) error {
		if why := s.failure(); why != nil {
			return why
		}
		return err
	}
	t := target{dir: c.plan.dir, cluster: clusterFilePath(c.plan.dir)}
	session, err := t.connect(ctx, nil)
	if err != nil {
		return fail(err)
	}
	defer session.close()
	app, err := findApplication(applicationName(session.roster.Cluster))
	if err != nil {
		return err
	}
	said, err := app.greet(ctx, session)
	var refusal *access.Refusal
	if errors.As(err, &refusal) {
		said, err = fmt.Sprintf("  an access policy, under which client.key may not try it: rule %v\n", refusal.Rule), nil
	}
	if err != nil {
		return fail(err)
	}
	fmt.Fprintf(out, "Ready after %.1f s\n%s", time.Since(began).Seconds(), said)
	return nil
}

// watch shows where the cluster is until ctx ends.
func (c *clusterCommand) watch(ctx context.Context, s *supervisor, ros *roster.Roster, out io.Writer) error {
	t := target{dir: c.plan.dir, cluster: clusterFilePath(c.plan.dir)}
	d, err := t.direct()
	if err != nil {
		return err
	}
	defer d.close()
	live := isTerminal(out)
	interval := c.interval
	if interval <= 0 {
		interval = 5 * time.Second
		if live {
			interval = 500 * time.Millisecond
		}
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var rate rateMeter
	stalled := false
	for {
		state := d.states(ctx, 2*time.Second)
		if ctx.Err() != nil {
			if live {
				fmt.Fprintln(out)
			}
			return nil
		}
		line := statusLine(ros, &state, rate.update(ctx, d, &state))
		if enough := d.quorum(&state); enough == stalled {
			stalled = !enough
			if live {
				fmt.Fprint(out, "\r\x1b[K")
			}
			fmt.Fprintln(out, progressLine(ros, &state, stalled))
		}
		if live {
			fmt.Fprintf(out, "\r\x1b[K%s", line)
		} else {
			fmt.Fprintln(out, line)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// progressLine says that from now on too few replicas are up, or enough again.
func progressLine(ros *roster.Roster, s *clusterState, stalled bool) string {
	if !stalled {
		return fmt.Sprintf("Enough replicas are up again to make progress: %d of %d", s.Reachable, ros.N())
	}
	return fmt.Sprintf("TOO FEW REPLICAS ARE UP TO MAKE PROGRESS: %d of %d (weight %d of %d; %d is needed); nothing is committed until more are",
		s.Reachable, ros.N(), s.weight(), ros.Cluster.TotalWeight(), quorumWeight(ros.Cluster))
}

func statusLine(ros *roster.Roster, s *clusterState, perSecond float64) string {
	primary := "unknown"
	if s.Primary >= 0 {
		primary = s.Replicas[s.Primary].Name
	}
	lowest := s.Executed
	for i := range s.Replicas {
		if r := &s.Replicas[i]; r.Reachable {
			lowest = min(lowest, r.Status.Executed)
		}
	}
	tooFew := ""
	if s.weight() < quorumWeight(ros.Cluster) {
		tooFew = ", TOO FEW to make progress"
	}
	return fmt.Sprintf("%d of %d up%s | view %d, primary %s | committed %d, executed %d to %d | %.0f changes/s",
		s.Reachable, ros.N(), tooFew, s.View, primary, s.Committed, lowest, s.Executed, perSecond)
}

// rateMeter measures how fast the state changes: a key-value store by its revision,
// other applications by the blocks that they executed.
type rateMeter struct {
	at    time.Time
	count uint64
}

func (m *rateMeter) update(ctx context.Context, d *directory, s *clusterState) float64 {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	highest := m.count
	if isKV(applicationName(d.roster.Cluster)) {
		for i := range d.conns {
			if r, _, err := d.query(ctx, i, kv.RevisionQuery()); err == nil {
				highest = max(highest, r.Revision)
			}
		}
	} else {
		highest = max(highest, s.Executed)
	}
	now := time.Now()
	rate := 0.0
	if !m.at.IsZero() {
		rate = float64(highest-m.count) / now.Sub(m.at).Seconds()
	}
	m.at, m.count = now, highest
	return rate
}
