package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// stateConfig is the field state of replica.json: about the state of an application that keeps
// it on the disk, in the folder state of the data folder.
type stateConfig struct {
	// CacheMiB bounds what of the state is kept in memory to be read quickly: 256.
	CacheMiB int `json:"cacheMiB,omitempty"`
	// FlushMiB is how much of what changed is gathered in memory before it is written
	// to the disk: 8. A crash loses it, and it is executed again from the log.
	FlushMiB int `json:"flushMiB,omitempty"`
	// Heights is how many heights below the last one can be read: 128. -1: none.
	Heights int64 `json:"heights,omitempty"`
	// FeedMiB bounds what is kept of the last changes for 'parley watch': 64. -1: none.
	FeedMiB int `json:"feedMiB,omitempty"`
}

const maxStateMiB = 1 << 20

// defaultStateConfig is what 'parley init' writes.
func defaultStateConfig() stateConfig {
	d := store.DefaultConfig()
	return stateConfig{
		CacheMiB: int((d.CacheBytes + d.DatabaseCacheBytes) >> 20), FlushMiB: int(d.FlushBytes >> 20), Heights: int64(d.Keep),
		FeedMiB: int(d.FeedBytes >> 20),
	}
}

func (c *stateConfig) validate() error {
	switch {
	case c.CacheMiB < 0 || c.CacheMiB > maxStateMiB || c.CacheMiB == 1:
		return fmt.Errorf("state.cacheMiB is %d: write 2 to %d", c.CacheMiB, maxStateMiB)
	case c.FlushMiB < 0 || c.FlushMiB > store.MaxFlushBytes>>20:
		return fmt.Errorf("state.flushMiB is %d: write 1 to %d", c.FlushMiB, store.MaxFlushBytes>>20)
	case c.FeedMiB < -1 || c.FeedMiB > maxStateMiB:
		return fmt.Errorf("state.feedMiB is %d: write 1 to %d, or -1 for none", c.FeedMiB, maxStateMiB)
	case c.Heights < -1 || c.Heights > store.MaxKeep:
		return fmt.Errorf("state.heights is %d: write a number of heights up to %d, or -1 for none", c.Heights, store.MaxKeep)
	}
	return nil
}

// store is the configuration of the store in dir.
func (c *stateConfig) store(dir string, logger *slog.Logger) store.Config {
	s := store.DefaultConfig()
	s.Dir, s.Logger = dir, logger
	if c.CacheMiB > 0 {
		s.DatabaseCacheBytes = int64(c.CacheMiB) << 19 // half of it
		s.CacheBytes = s.DatabaseCacheBytes
	}
	if c.FlushMiB > 0 {
		s.FlushBytes = int64(c.FlushMiB) << 20
	}
	switch {
	case c.FeedMiB > 0:
		s.FeedBytes = int64(c.FeedMiB) << 20
	case c.FeedMiB < 0:
		s.FeedBytes = 0
	}
	switch {
	case c.Heights > 0:
		s.Keep = uint64(c.Heights)
	case c.Heights < 0:
		s.Keep = 0
	}
	return s
}

// flags are those of start, which win over replica.json.
func (c *stateConfig) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&c.CacheMiB, "state-cache", 0, "MiB of the application's state to keep in memory, where it is on the disk (default 256)")
	f.IntVar(&c.FlushMiB, "state-flush", 0, "MiB of changes to gather before they are written to it (default 8)")
	f.Int64Var(&c.Heights, "state-heights", 0, "heights below the last one that can be read, -1 for none (default 128)")
	f.IntVar(&c.FeedMiB, "state-feed", 0, "MiB of the last changes to keep for 'parley watch', -1 for none (default 64)")
}

// override puts the flags that were given in the place of what replica.json says.
func (c *stateConfig) override(cmd *cobra.Command, flags *stateConfig) error {
	set := cmd.Flags().Changed
	if set("state-cache") {
		c.CacheMiB = flags.CacheMiB
	}
	if set("state-flush") {
		c.FlushMiB = flags.FlushMiB
	}
	if set("state-heights") {
		c.Heights = flags.Heights
	}
	if set("state-feed") {
		c.FeedMiB = flags.FeedMiB
	}
	if err := flags.validate(); err != nil {
		return usagef(cmd, "%v", err)
	}
	return nil
}

// useApplication makes cfg run what the cluster names.
func (c *stateConfig) useApplication(cluster *crypto.Cluster, cfg *replica.Config) error {
	a, open, err := clusterApplication(cluster)
	if err != nil {
		return err
	}
	if !a.stored() {
		if *c != (stateConfig{}) {
			return a.failed(errors.New("state is given in replica.json or by flags, and this application keeps its state in memory: leave it out"))
		}
		if cfg.Machine, err = a.machine(context.Background(), open); err != nil {
			return a.failed(err)
		}
		return nil
	}
	cfg.OpenMachine = func(ctx context.Context, dir string) (statemachine.StateMachine, error) {
		open.store = c.store(dir, cfg.Logger)
		m, err := a.machine(ctx, open)
		if err != nil {
			return nil, a.failed(err)
		}
		return m, nil
	}
	return nil
}
