package contract_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contractsim"
)

// world is contracts in a simulation. It remembers the machines.
type world struct {
	*contractsim.Workload
	machines []*contract.Machine
}

func (w *world) Machine() statemachine.StateMachine {
	m := w.Workload.Machine()
	w.machines = append(w.machines, m)
	return m
}

func (w *world) Model() chaos.Model { return contractsim.NewModel(w.Workload) }

// Whole clusters in the simulator, under faults and traitors: all honest replicas agree,
// as the simulation's judge says, every result is go-ethereum's, as the model says, and
// no state is one that cannot be.
func TestSimulatedClusters(t *testing.T) {
	var last *world
	chaos.Register(chaos.Application{Name: "contract", New: func(_ crypto.Digest, clients []crypto.PublicKey) chaos.World {
		last = &world{Workload: contractsim.New(len(clients))}
		return last
	}})
	var traitors, transfers, included int
	for seed := uint64(1); seed <= 9; seed++ {
		o := chaos.Swarm(seed)
		o.Application = "contract"
		r := chaos.Run(o)
		require.NoError(t, r.Err(), "seed %d", seed)
		traitors += len(o.Traitors)
		transfers += r.Transfers
		for _, m := range last.machines {
			require.NoError(t, m.Check(), "seed %d", seed)
			head, err := m.Head()
			require.NoError(t, err)
			for h := range head + 1 {
				header, err := m.Header(h)
				require.NoError(t, err)
				if header != nil && header.GasUsed > 0 {
					included++
				}
			}
		}
	}
	require.Positive(t, traitors)
	require.Positive(t, transfers)
	require.Positive(t, included)
	t.Logf("%d traitors, %d state transfers, %d blocks with transactions", traitors, transfers, included)
}

// The model agrees with the machine, whose every result it notices when it is changed.
func TestModelNotices(t *testing.T) {
	w := contractsim.New(3)
	m, model := w.Machine(), contractsim.NewModel(w)
	rng := rand.New(rand.NewPCG(1, 1))
	codes := make(map[statemachine.ResultCode]int)
	for h := uint64(1); h <= 60; h++ {
		b := statemachine.Block{Height: h, Time: statemachine.Time(h * 1e9)}
		for range rng.IntN(4) {
			b.Ops = append(b.Ops, statemachine.Op{Data: w.Operation(rng, rng.IntN(3), 0)})
		}
		model.Begin(b.Time)
		for i, r := range m.Apply(b) {
			require.NoError(t, model.Judge(crypto.PublicKey{}, b.Ops[i].Data, r))
			codes[r.Code]++
		}
	}
	for _, c := range []statemachine.ResultCode{statemachine.CodeOK, contract.CodeReverted, contract.CodeBadInstruction, contract.CodeNonceUsed} {
		require.Positive(t, codes[c], contract.CodeText(c))
	}
	for name, change := range map[string]func(r *statemachine.Result){
		"refused":  func(r *statemachine.Result) { *r = statemachine.Reject(contract.CodeFunds, nil) },
		"failed":   func(r *statemachine.Result) { r.Code = contract.CodeReverted },
		"no data":  func(r *statemachine.Result) { r.Data = nil },
		"anything": func(r *statemachine.Result) { r.Data = append([]byte(nil), r.Data...); r.Data[40] ^= 1 },
	} {
		w := contractsim.New(1)
		m, model := w.Machine(), contractsim.NewModel(w)
		op := w.Operation(rand.New(rand.NewPCG(1, 3)), 0, 0)
		r := m.Apply(statemachine.Block{Height: 1, Ops: []statemachine.Op{{Data: op}}})[0]
		change(&r)
		model.Begin(0)
		require.Error(t, model.Judge(crypto.PublicKey{}, op, r), name)
	}
}
