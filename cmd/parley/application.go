package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/store"
)

// application is a state machine that this program runs, by the name that cluster
// files give it.
type application struct {
	name, about string

	// check says what is wrong with the beginning that a new cluster is given.
	check func(genesis json.RawMessage) error

	// open makes one replica's machine. An application on a store has handler instead,
	// which an access policy can be put around, or onStore, if it puts one around itself.
	open    func(applicationConfig) (statemachine.StateMachine, error)
	handler func(applicationConfig) (store.Handler, access.Classifier, error)
	onStore func(applicationConfig, *store.Store) (statemachine.StateMachine, error)
	// kinds are what its operations and queries are called in a policy, of one on a store.
	kinds func() (submit, read []string)

	// greet runs a first operation, which shows that a cluster works, and returns what
	// to tell the user.
	greet func(context.Context, *session) (string, error)

	// tryout are the commands to try on a cluster in dir, each after the program's name.
	tryout func(dir string) []string
}

// applicationConfig is what a state machine is made of.
type applicationConfig struct {
	cluster crypto.Digest   // the cluster's id
	genesis json.RawMessage // from the cluster file, without the policy; empty if it has none
	policy  *access.Policy  // the first one, nil if there is none
	store   store.Config    // of an application on a store
}

// stored tells whether the application keeps its state in a store, on the disk.
func (a *application) stored() bool { return a.open == nil }

// defaultApplication is what a cluster runs whose file names none.
const defaultApplication = "kv"

// applications are all there are, in the order of the help.
func applications() []application {
	return []application{kvApplication, kvStoreApplication, ledgerApplication, registryApplication, contractApplication}
}

func applicationNames() string {
	var names []string
	for _, a := range applications() {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}

// applicationName is what c runs.
func applicationName(c *crypto.Cluster) string {
	if c.Application == nil {
		return defaultApplication
	}
	return c.Application.Name
}

// findApplication returns the application that a cluster runs.
func findApplication(name string) (application, error) {
	for _, a := range applications() {
		if a.name == name {
			return a, nil
		}
	}
	return application{}, fmt.Errorf("application %q is none that this program runs, which are %s: start it with the program that embeds it", name, applicationNames())
}

// clusterApplication returns what the replicas of c run, and what it begins with.
func clusterApplication(c *crypto.Cluster) (a application, cfg applicationConfig, err error) {
	if a, err = findApplication(applicationName(c)); err != nil {
		return a, cfg, err
	}
	cfg = applicationConfig{cluster: c.ID(), store: store.DefaultConfig()}
	if c.Application == nil {
		return a, cfg, nil
	}
	if cfg.policy, cfg.genesis, err = a.readGenesis(c.Application.Genesis); err != nil {
		return a, cfg, a.failed(err)
	}
	return a, cfg, nil
}

func (a *application) failed(err error) error { return fmt.Errorf("application %q: %w", a.name, err) }

// noGenesis refuses a beginning where the application has only one.
func noGenesis(genesis json.RawMessage) error {
	if len(genesis) > 0 {
		return fmt.Errorf("genesis is given, and this application starts empty: leave it out")
	}
	return nil
}

var kvApplication = application{
	name: "kv", about: "a key-value store with revisions and transactions, in memory",
	check: noGenesis,
	open: func(applicationConfig) (statemachine.StateMachine, error) {
		return kv.New(kv.DefaultLimits()), nil
	},
	greet: greetKV,
	tryout: func(dir string) []string {
		return []string{"put --dir " + dir + " colour green", "get --dir " + dir + " colour"}
	},
}

var kvStoreApplication = application{
	name: "kv-store", about: "the same on the disk: larger than memory, with proofs, earlier heights and an access policy",
	check: noGenesis,
	handler: func(applicationConfig) (store.Handler, access.Classifier, error) {
		h, err := kv.NewHandler(kv.DefaultLimits())
		return h, kv.Classify, err
	},
	kinds: kv.Kinds,
	greet: greetKV,
	tryout: func(dir string) []string {
		return []string{"put --dir " + dir + " colour green", "get --dir " + dir + " colour", "get --dir " + dir + " --certified colour"}
	},
}

// isKV tells whether a cluster's application has the operations of the key-value store.
func isKV(name string) bool { return name == kvApplication.name || name == kvStoreApplication.name }

// greetKV writes and reads one key.
func greetKV(ctx context.Context, s *session) (string, error) {
	key, val := []byte("parley/hello"), []byte(time.Now().UTC().Format(time.RFC3339))
	a, err := s.Do(ctx, kv.Put(key, val))
	if err != nil {
		return "", err
	}
	b, err := s.Do(ctx, kv.Get(key))
	if err != nil {
		return "", err
	}
	r, err := kv.DecodeResult(b.Result)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("  put %s = %s   committed in block %d\n  get %s = %s   read in block %d\n",
		key, val, a.Ref.Height, key, r.KV.Value, b.Ref.Height), nil
}
