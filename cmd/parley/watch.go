package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
)

// watchFlags are what 'parley watch' is told.
type watchFlags struct {
	target
	from, prefix string
	maxAge       time.Duration
	count        int
	json         bool
}

func newWatch() *cobra.Command {
	o := new(watchFlags)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Follow what changes",
		Long: `Print what changes in the state, as it comes: of each block that changed something the
keys, in ascending order, with their new values. For clusters whose application is on
the authenticated store: all but kv (kv-store is). Keys are as the store has them.

Each change is certified by a quorum, and checked to be all that changed: a replica that
forges, leaves out or withholds something is named on standard error, and another one is
asked. Changes come when a checkpoint covers them, normally within a second.

It begins now, or with --from at a cursor, or at the word "beginning". When it ends, by
Ctrl-C or --count, it prints on standard error the cursor to go on from: nothing is lost
then and nothing comes twice. With --json each change has its own. Replicas keep the
changes of the last blocks, 64 MiB by default (state.feedMiB in replica.json); a cursor
that is older is refused.`,
		Example: `  parley watch --dir demo
  parley watch --dir demo --from beginning --prefix r/ --json
  parley watch --dir demo --from 1234-5f0c... --count 10`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := client.ParseCursor(o.from)
			if err != nil {
				return usagef(cmd, "--from: %v", err)
			}
			if o.count < 0 {
				return usagef(cmd, "--count is %d: give a number of changes, or 0 for no end", o.count)
			}
			if o.maxAge < 0 {
				return usagef(cmd, "--max-age is %v: give a positive duration, such as 10s", o.maxAge)
			}
			return o.run(cmd, from)
		},
	}
	o.flags(cmd, operationTimeout)
	f := cmd.Flags()
	f.Lookup("timeout").Usage = "how long to wait for connections"
	f.StringVar(&o.from, "from", "now", "the cursor to begin at, \"beginning\" or \"now\"")
	f.StringVar(&o.prefix, "prefix", "", "only keys that begin with this")
	f.DurationVar(&o.maxAge, "max-age", 10*time.Second, "how long a replica may show nothing new before another is asked")
	f.IntVar(&o.count, "count", 0, "end after so many changes (default never)")
	f.BoolVar(&o.json, "json", false, "print one JSON object for each change")
	return cmd
}

func (o *watchFlags) run(cmd *cobra.Command, from client.Cursor) error {
	if err := o.resolve(cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	s, err := o.connect(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	notes := cmd.ErrOrStderr()
	w := s.Watch(client.WatchOptions{
		From: from, Prefix: []byte(o.prefix), MaxAge: o.maxAge,
		Fault: func(f client.WatchFault) { fmt.Fprintf(notes, "%s is %v: %s\n", f.Name, f.Kind, plain(f.Err.Error())) },
	})
	out := bufio.NewWriter(cmd.OutOrStdout())
	for n := 0; err == nil && (o.count == 0 || n < o.count); n++ {
		var e client.Event
		if e, err = w.Next(cmd.Context()); err == nil {
			err = errors.Join(o.print(out, &e), out.Flush())
		}
	}
	var compacted *client.CompactedError
	switch {
	case errors.As(err, &compacted):
		return fmt.Errorf("%w: go on with --from %v, and read what the state became meanwhile", err, compacted.Oldest)
	case err != nil && !interrupted(cmd.Context()):
		return err
	}
	fmt.Fprintf(notes, "go on with --from %v\n", w.Cursor())
	return nil
}

// jsonEvent is a change for --json.
type jsonEvent struct {
	Kind   string        `json:"kind"` // set or deleted
	Height uint64        `json:"height"`
	Time   time.Time     `json:"time"`
	Key    jsonBytes     `json:"key"`
	Value  *jsonBytes    `json:"value,omitempty"`
	Cursor client.Cursor `json:"cursor"`
}

func (o *watchFlags) print(out io.Writer, e *client.Event) error {
	if o.json {
		j := jsonEvent{Kind: e.Kind.String(), Height: uint64(e.Height), Time: e.Time.UTC(), Key: e.Key, Cursor: e.Cursor}
		if e.Kind == client.Set {
			v := jsonBytes(e.Value)
			j.Value = &v
		}
		return json.NewEncoder(out).Encode(j)
	}
	at := e.Time.UTC().Format("2006-01-02 15:04:05.000")
	var err error
	if e.Kind == client.Set {
		_, err = fmt.Fprintf(out, "%d  %s  set      %s = %s\n", e.Height, at, text(e.Key), text(e.Value))
	} else {
		_, err = fmt.Fprintf(out, "%d  %s  %-7s  %s\n", e.Height, at, e.Kind, text(e.Key))
	}
	return err
}
