package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/statemachine/access"
)

// The roles that init gives to the keys that it makes, where a policy has them.
const (
	clientRole  = "client"
	gatewayRole = "gateway"
)

// addPolicy puts the policy that --policy names into the genesis.
func (p *clusterPlan) addPolicy() error {
	policy, err := os.ReadFile(p.policyFile)
	if err != nil {
		return err
	}
	there, own, err := splitGenesis(p.application.Genesis)
	switch {
	case err != nil:
		return err
	case there != nil:
		return fmt.Errorf("the genesis has the field %q already: give the policy in one of the two files", accessField)
	}
	if _, err := access.ParsePolicy(policy); err != nil {
		return fmt.Errorf("%s: %w ('parley access --help' shows a policy)", p.policyFile, err)
	}
	p.application.Genesis, err = joinGenesis(policy, own)
	return err
}

// joinGenesis is the opposite of splitGenesis.
func joinGenesis(policy, own json.RawMessage) (json.RawMessage, error) {
	fields := make(map[string]json.RawMessage)
	if len(own) > 0 && json.Unmarshal(own, &fields) != nil {
		return nil, errors.New("the genesis is no object")
	}
	fields[accessField] = policy
	return json.Marshal(fields)
}

// enrol makes members of the keys that a new cluster's clients and gateways have, for
// whoever writes the policy does not know them yet.
func enrol(a *crypto.Application, clients, gateways []*keyfile.Client) error {
	if a == nil {
		return nil
	}
	data, own, err := splitGenesis(a.Genesis)
	if err != nil || data == nil {
		return err
	}
	policy, err := access.ParsePolicy(data)
	if err != nil {
		return err
	}
	add := func(role, name string, k *keyfile.Client) {
		if slices.ContainsFunc(policy.Roles, func(r access.Role) bool { return r.Name == role }) {
			policy.Members = append(policy.Members, access.Member{Key: k.Signing.Public(), Name: name, Roles: []string{role}})
		}
	}
	for i, k := range clients {
		add(clientRole, spareKeyPath(clientKeyName, i+1), k)
	}
	for i, k := range gateways {
		add(gatewayRole, "gateway of "+replicaName(i), k)
	}
	if err := policy.Validate(); err != nil {
		return err
	}
	if data, err = json.Marshal(&policy); err != nil {
		return err
	}
	a.Genesis, err = joinGenesis(data, own)
	return err
}
