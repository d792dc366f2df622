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
	// which an access policy can be put around.
	open    func(applicationConfig) (statemachine.StateMachine, error)
	handler func(applicationConfig) (store.Handler, access.Classifier, error)

	// greet runs a first operation, which shows that a cluster works, and returns what
	// to tell the user.
	greet func(context.Context, *session) (string, error)

	// tryout are the commands to try on a cluster in dir, each after the program's name.
	tryout func(dir string) []string
}

// applicationConfig is what a state machine is made of.
type applicationConfig struct {
	cluster crypto.Digest   // the cluster's id
	genesis json.RawMessage // from the cluster file, empty if it has none
	dir     string          // the replica's data folder
}

// defaultApplication is what a cluster runs whose file names none.
const defaultApplication = "kv"

// applications are all there are, in the order of the help.
func applications() []application {
	return []application{kvApplication, ledgerApplication, registryApplication, contractApplication}
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

// openApplication makes the machine of a replica of c.
func openApplication(c *crypto.Cluster, dir string) (statemachine.StateMachine, error) {
	a, err := findApplication(applicationName(c))
	if err != nil {
		return nil, err
	}
	cfg := applicationConfig{cluster: c.ID(), dir: dir}
	if c.Application != nil {
		cfg.genesis = c.Application.Genesis
	}
	err = a.checkGenesis(cfg.genesis)
	var m statemachine.StateMachine
	if err == nil {
		m, err = a.machine(cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("application %q: %w", a.name, err)
	}
	return m, nil
}

// noGenesis refuses a beginning where the application has only one.
func noGenesis(genesis json.RawMessage) error {
	if len(genesis) > 0 {
		return fmt.Errorf("genesis is given, and this application starts empty: leave it out")
	}
	return nil
}

var kvApplication = application{
	name: "kv", about: "a key-value store with revisions and transactions",
	check: noGenesis,
	open: func(applicationConfig) (statemachine.StateMachine, error) {
		return kv.New(kv.DefaultLimits()), nil
	},
	greet: greetKV,
	tryout: func(dir string) []string {
		return []string{"put --dir " + dir + " colour green", "get --dir " + dir + " colour"}
	},
}

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
