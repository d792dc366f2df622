package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
)

// traceCommand is what 'parley trace' was told.
type traceCommand struct {
	target
	admin  []string
	blocks int
	json   bool
}

func newTrace() *cobra.Command {
	c := new(traceCommand)
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Where the time of an operation goes",
		Long: `Ask every replica when its last blocks passed each stage on their way, and print
for each stage how long it took since the one before: the median, the 90th and the
99th percentile in milliseconds, and its share of the whole. BLOCKS is in how many
blocks the stage was waited for: the votes of the others may overtake a replica's
own, which then hold up nothing. Blocks that a replica proposed itself are told
apart from those of others.

  received           the block's first request came from its client
  signature checked
  taken up           by the goroutine that runs the protocol
  proposed           primary: a block was cut; this is how long the request waited for it
  proposal received  backup: the block came from the primary
  proposal verified  backup: so are the signatures of all requests in it
  block durable      the block is on this replica's disk
  Prepare sent
  prepared           a quorum has voted Prepare
  prepared, durable  the proof of that is on this replica's disk
  Commit sent
  committed          a quorum has voted Commit
  execution begun
  executed
  reply queued       the reply to the first request, for its client's stream
  reply written

Only replicas that got a request from its client itself, usually the primary, know
the first three. A reply is written by all of them.

--dir names the folder of a cluster on this machine; its replicas' admin addresses
stand in DIR/replica-N/replica.json. Give others with --admin. The same is served in
full by each replica, as JSON: GET /debug/trace?blocks=N on its admin address.

Exit code 1 if no replica could be asked.`,
		Example: `  parley trace --dir demo
  parley trace --dir demo --blocks 100 --json
  parley trace --admin 127.0.0.1:8000 --admin 127.0.0.1:8001`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&c.dir, "dir", "", "the cluster's folder (default $"+dirVariable+", or here)")
	f.StringSliceVar(&c.admin, "admin", nil, "ask the replica with this admin address instead; may be repeated")
	f.IntVar(&c.blocks, "blocks", 1000, "look at so many of the last blocks")
	f.BoolVar(&c.json, "json", false, "print JSON")
	f.DurationVar(&c.timeout, "timeout", 5*time.Second, "how long to wait for the answers")
	return cmd
}

func (c *traceCommand) run(cmd *cobra.Command) error {
	if c.blocks < 1 {
		return usagef(cmd, "--blocks is %d: give a number from 1", c.blocks)
	}
	if c.timeout <= 0 {
		return usagef(cmd, "--timeout is %v: give a positive duration, such as 5s", c.timeout)
	}
	var asked []tracedReplica
	if len(c.admin) > 0 {
		for _, address := range c.admin {
			asked = append(asked, tracedReplica{Name: address, Address: address})
		}
	} else {
		var err error
		if asked, err = c.replicas(cmd); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
	defer cancel()
	var wg sync.WaitGroup
	for i := range asked {
		wg.Go(func() { asked[i].ask(ctx, c.blocks) })
	}
	wg.Wait()
	if err := printTraces(cmd.OutOrStdout(), asked, c.json); err != nil {
		return err
	}
	for i := range asked {
		if asked[i].Error == "" {
			return nil
		}
	}
	return errors.New("no replica could be asked: do they run, and with an admin address ('adminListen' in replica.json)?")
}

// replicas finds the admin addresses of the cluster in a folder.
func (c *traceCommand) replicas(cmd *cobra.Command) ([]tracedReplica, error) {
	if err := c.resolve(cmd); err != nil {
		return nil, err
	}
	ros, err := roster.Load(c.cluster)
	if err != nil {
		return nil, err
	}
	asked := make([]tracedReplica, ros.N())
	for i := range asked {
		asked[i].Name = ros.Member(crypto.ReplicaID(i)).Name
		local, err := loadLocalConfig(replicaConfigPath(replicaDir(c.dir, i)))
		switch {
		case err != nil:
			asked[i].Error = plain(err.Error())
		case local.AdminListen == "":
			asked[i].Error = "its replica.json names no admin address (adminListen): give one there, or --admin here"
		}
		asked[i].Address = local.AdminListen
	}
	return asked, nil
}

// tracedReplica is what one replica has noted, or why it does not say.
type tracedReplica struct {
	Name    string       `json:"name"`
	Address string       `json:"address"`
	Error   string       `json:"error,omitempty"`
	Roles   []tracedRole `json:"roles"`
}

// ask fills in the answer.
func (r *tracedReplica) ask(ctx context.Context, blocks int) {
	if r.Error != "" {
		return
	}
	report, err := fetchTrace(ctx, r.Address, blocks)
	if err != nil {
		r.Error = plain(err.Error())
		return
	}
	r.Name, r.Roles = report.Name, summariseTrace(report)
}

func fetchTrace(ctx context.Context, address string, blocks int) (*replica.TraceReport, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/trace?blocks=%d", address, blocks), nil)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", address, err)
	}
	a, err := client.Do(q)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxTraceAnswer))
	if err != nil {
		return nil, err
	}
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s says %s: %.200s", address, a.Status, strings.TrimSpace(string(body)))
	}
	report := new(replica.TraceReport)
	if err := json.Unmarshal(body, report); err != nil {
		return nil, fmt.Errorf("%s gives no trace: %w", address, err)
	}
	return report, nil
}

// maxTraceAnswer is some 200000 blocks.
const maxTraceAnswer = 128 << 20
