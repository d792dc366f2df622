package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/internal/strictjson"
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
	fields = nil // which had the last of those that are there twice
	if err := strictjson.Decode(genesis, &fields); err != nil {
		return nil, nil, fmt.Errorf("genesis: %w", err)
	}
	policy = fields[accessField]
	delete(fields, accessField)
	if len(fields) == 0 {
		return policy, nil, nil
	}
	own, err = json.Marshal(fields)
	return policy, own, err
}

// readGenesis reads a genesis: the first access policy, nil if there is none, and the
// application's own part.
func (a *application) readGenesis(genesis json.RawMessage) (*access.Policy, json.RawMessage, error) {
	policy, own, err := splitGenesis(genesis)
	if err != nil {
		return nil, nil, err
	}
	if policy == nil {
		return nil, own, a.check(own)
	}
	if !a.stored() {
		return nil, nil, fmt.Errorf("genesis has the field %q, and this application takes no access policy: leave it out, or run kv-store", accessField)
	}
	p, err := access.ParsePolicy(policy)
	if err != nil {
		return nil, nil, fmt.Errorf("field %q: %w", accessField, err)
	}
	return &p, own, a.check(own)
}

// policyKinds are what a policy in front of the application may be about.
func (a *application) policyKinds() access.Kinds {
	submit, read := a.kinds()
	return access.KindsWith(submit, read)
}

// machine makes one replica's machine. What it keeps on the disk belongs to it.
func (a *application) machine(ctx context.Context, cfg applicationConfig) (m statemachine.StateMachine, err error) {
	if !a.stored() {
		return a.open(cfg)
	}
	s, err := store.Open(ctx, cfg.store)
	if err != nil {
		return nil, err
	}
	if a.onStore != nil {
		m, err = a.onStore(cfg, s)
	} else {
		m, err = a.guarded(cfg, s)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return m, nil
}

// guarded makes a machine of the application's handler, with the policy around it.
func (a *application) guarded(cfg applicationConfig, s *store.Store) (statemachine.StateMachine, error) {
	h, classify, err := a.handler(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.policy == nil {
		return store.NewMachine(s, h)
	}
	wrapped, err := access.Wrap(h, classify, cfg.cluster, *cfg.policy)
	if err != nil {
		return nil, err
	}
	return access.NewMachine(s, wrapped)
}
