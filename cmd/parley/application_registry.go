package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/store"
)

var registryApplication = application{
	name: "registry", about: "records with owners, schemas, history, attestations and selective disclosure",
	check: func(genesis json.RawMessage) error {
		_, err := registry.ParseGenesis(genesis)
		return err
	},
	handler: func(cfg applicationConfig) (store.Handler, access.Classifier, error) {
		g, err := registry.ParseGenesis(cfg.genesis)
		if err != nil {
			return nil, nil, err
		}
		h, err := registry.New(cfg.cluster, g)
		return h, registry.Classify, err
	},
	kinds: registry.Kinds,
	greet: greetRegistry,
	tryout: func(dir string) []string {
		return []string{
			"registry collection create --dir " + dir + " notes --rules open-create",
			"registry create --dir " + dir + " notes first '{\"text\": \"hello\"}'",
			"registry show --dir " + dir + " notes first",
		}
	},
}

// greetRegistry reads through the log what the registry is.
func greetRegistry(ctx context.Context, s *session) (string, error) {
	a, err := s.Do(ctx, registry.Encode(&registry.GetInfo{}))
	if err != nil {
		return "", err
	}
	r, err := registry.DecodeResult(a.Result)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("  a registry of %d parties, %d collections and %d records   read in block %d\n",
		r.Info.Parties, r.Info.Collections, r.Info.Records, a.Ref.Height), nil
}
