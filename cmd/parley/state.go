package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// stateConfig is the field state of replica.json: about the state of an application that keeps
// it on the disk, in the folder state of the data folder. A field that is not there, or 0,
// stands for the default.
type stateConfig struct {
	// CacheMiB bounds what of the state is kept in memory to be read quickly: 256, at least 2.
	CacheMiB int `json:"cacheMiB,omitempty"`
	// FlushMiB is how much of what changed is gathered in memory before it is written
	// to the disk: 8. A crash loses it, and it is executed again from the log.
	FlushMiB int `json:"flushMiB,omitempty"`
	// Heights is how many heights below the last one can be read: 128. -1: none. Those since
	// the last but one certified checkpoint can in any case.
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

// stateField is one number of a stateConfig: how replica.json and the command line call
// it, and what it may be.
type stateField struct {
	name, flag  string
	value       int64
	least, most int64
	none        bool // -1 is none
}

func (c *stateConfig) fields() []stateField {
	return []stateField{
		{"state.cacheMiB", "--state-cache", int64(c.CacheMiB), 2, maxStateMiB, false},
		{"state.flushMiB", "--state-flush", int64(c.FlushMiB), 1, store.MaxFlushBytes >> 20, false},
		{"state.heights", "--state-heights", c.Heights, 1, store.MaxKeep, true},
		{"state.feedMiB", "--state-feed", int64(c.FeedMiB), 1, maxStateMiB, true},
	}
}

// check says what is wrong with the value, under the name by which it was given.
func (f *stateField) check(name, give string) error {
	if f.least <= f.value && f.value <= f.most || f.none && f.value == -1 {
		return nil
	}
	remedy := fmt.Sprintf("%s %d to %d", give, f.least, f.most)
	if f.none {
		remedy += ", or -1 for none"
	}
	return fmt.Errorf("%s is %d: %s", name, f.value, remedy)
}

// validate checks what replica.json says. 0 is a field that is not there.
func (c *stateConfig) validate() error {
	for _, f := range c.fields() {
		if err := f.check(f.name, "write"); err != nil && f.value != 0 {
			return err
		}
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
	f.IntVar(&c.CacheMiB, "state-cache", 0, "MiB of the application's state to keep in memory, from 2, where it is on the disk (default 256)")
	f.IntVar(&c.FlushMiB, "state-flush", 0, fmt.Sprintf("MiB of changes to gather before they are written to it, 1 to %d (default 8)", store.MaxFlushBytes>>20))
	f.Int64Var(&c.Heights, "state-heights", 0, fmt.Sprintf("heights below the last one that can be read, 1 to %d, or -1 for none (default 128)", store.MaxKeep))
	f.IntVar(&c.FeedMiB, "state-feed", 0, "MiB of the last changes to keep for 'parley watch', from 1, or -1 for none (default 64)")
}

// override puts the flags that were given in the place of what replica.json says. 0 is
// refused: it would not say whether it is the default or none.
func (c *stateConfig) override(cmd *cobra.Command, flags *stateConfig) error {
	set := func(flag string) bool { return cmd.Flags().Changed(strings.TrimPrefix(flag, "--")) }
	for _, f := range flags.fields() {
		if err := f.check(f.flag, "give"); err != nil && set(f.flag) {
			return usagef(cmd, "%v", err)
		}
	}
	if set("--state-cache") {
		c.CacheMiB = flags.CacheMiB
	}
	if set("--state-flush") {
		c.FlushMiB = flags.FlushMiB
	}
	if set("--state-heights") {
		c.Heights = flags.Heights
	}
	if set("--state-feed") {
		c.FeedMiB = flags.FeedMiB
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
			return a.failed(errors.New("the field state of replica.json, or a flag such as --state-cache, is given, and this application keeps its state in memory: leave it out"))
		}
		if cfg.Machine, err = a.machine(context.Background(), open); err != nil {
			return a.failed(err)
		}
		return nil
	}
	cfg.OpenMachine = func(ctx context.Context, dir string) (statemachine.StateMachine, error) {
		open.store = c.store(dir, cfg.Logger)
		switch { // what is kept free for the log is kept free for it, too
		case cfg.Reserve > 0:
			open.store.Reserve = uint64(cfg.Reserve)
		case cfg.Reserve < 0:
			open.store.Reserve = 0
		}
		m, err := a.machine(ctx, open)
		if err != nil {
			return nil, a.failed(err)
		}
		return m, nil
	}
	return nil
}
