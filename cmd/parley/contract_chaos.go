package main

import (
	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contractsim"
	"github.com/parley-bft/parley/statemachine/store"
)

// contractWorld is contracts in the simulator, which does not import them.
type contractWorld struct{ *contractsim.Workload }

func (w contractWorld) Machine() statemachine.StateMachine { return w.Workload.Machine() }
func (w contractWorld) Model() chaos.Model                 { return contractsim.NewModel(w.Workload) }

func (w contractWorld) MachineOn(cfg store.Config) (statemachine.StateMachine, error) {
	return w.Workload.MachineOn(cfg)
}

var _ chaos.StoredWorld = contractWorld{}

func init() {
	chaos.Register(chaos.Application{
		Name: contractApplication.name,
		Doc:  "contracts that are deployed, used and abused, replays, noise; every result is compared with go-ethereum's own state",
		New: func(_ crypto.Digest, clients []crypto.PublicKey) chaos.World {
			return contractWorld{contractsim.New(len(clients))}
		},
	})
}
