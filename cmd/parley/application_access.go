package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/store"
)

// accessField is the field of a genesis that puts an access policy around an application.
const accessField = "access"

// splitGenesis returns the access policy of a genesis, empty if it has none, and the
// application's own part.
func splitGenesis(genesis json.RawMessage) (policy, own json.RawMessage, err error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(genesis, &fields) != nil || fields[accessField] == nil {
		return nil, genesis, nil
	}
	policy = fields[accessField]
	delete(fields, accessField)
	if len(fields) == 0 {
		return policy, nil, nil
	}
	own, err = json.Marshal(fields)
	return policy, own, err
}

// checkGenesis says what is wrong with a genesis.
func (a *application) checkGenesis(genesis json.RawMessage) error {
	policy, own, err := splitGenesis(genesis)
	if err != nil {
		return err
	}
	if policy != nil {
		if a.handler == nil {
			return fmt.Errorf("genesis has the field %q, and this application takes no access policy: leave it out", accessField)
		}
		if _, err := access.ParsePolicy(policy); err != nil {
			return err
		}
	}
	return a.check(own)
}

// machine makes one replica's machine.
func (a *application) machine(cfg applicationConfig) (statemachine.StateMachine, error) {
	if a.handler == nil {
		return a.open(cfg)
	}
	policy, own, err := splitGenesis(cfg.genesis)
	if err != nil {
		return nil, err
	}
	cfg.genesis = own
	h, classify, err := a.handler(cfg)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(context.Background(), store.DefaultConfig())
	if err != nil {
		return nil, err
	}
	if policy == nil {
		return store.NewMachine(s, h)
	}
	p, err := access.ParsePolicy(policy)
	if err != nil {
		return nil, err
	}
	wrapped, err := access.Wrap(h, classify, cfg.cluster, p)
	if err != nil {
		return nil, err
	}
	return access.NewMachine(s, wrapped)
}
