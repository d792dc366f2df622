//go:build chaos

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/store"
)

// application is what the cluster file names, as 'parley start' runs it.
type application struct {
	// machine is one that is all in memory, open makes one with its state in a folder: one
	// of them is nil, as replica.Config wants it.
	machine statemachine.StateMachine
	open    func(ctx context.Context, dir string) (statemachine.StateMachine, error)
	// twin makes the application of a traitor's second self, which has no disk.
	twin func() statemachine.StateMachine
}

func applicationOf(c *crypto.Cluster) (application, error) {
	name := "kv"
	if c.Application != nil {
		name = c.Application.Name
	}
	switch name {
	case "kv":
		memory := func() statemachine.StateMachine { return kv.New(kv.DefaultLimits()) }
		return application{machine: memory(), twin: memory}, nil
	case "kv-store":
		return application{open: openStored, twin: func() statemachine.StateMachine {
			m, err := openStored(context.Background(), "")
			if err != nil {
				panic(err) // in memory nothing can fail
			}
			return m
		}}, nil
	}
	return application{}, fmt.Errorf("application %q is none that a traitor plays: give kv or kv-store", name)
}

// openStored opens the key-value store in a folder, in memory if it has no name.
func openStored(ctx context.Context, dir string) (statemachine.StateMachine, error) {
	cfg := store.DefaultConfig()
	cfg.Dir = dir
	s, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	m, err := kv.NewStored(s, kv.DefaultLimits())
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return m, nil
}
