package registry

import (
	"context"
	"errors"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Opener returns what opens a registry whose state is in a folder, which belongs to it
// until it is closed: for replica.Config.OpenMachine. chain and g are those of [New].
func Opener(chain crypto.Digest, g Genesis) func(ctx context.Context, dir string) (statemachine.StateMachine, error) {
	return func(ctx context.Context, dir string) (statemachine.StateMachine, error) {
		cfg := store.DefaultConfig()
		cfg.Dir = dir
		s, err := store.Open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		m, err := NewMachine(s, chain, g)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return m, nil
	}
}
