package crosscheck

import (
	"context"
	"encoding/json"
	"flag"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/store"
)

var update = flag.Bool("update", false, "write what the simulated backend says to contracttest/gas.json")

const gasFile = "../contracttest/gas.json"

// TestGasIsTheSimulatedBackends runs the story on both, one transaction in a block.
func TestGasIsTheSimulatedBackends(t *testing.T) {
	ctx := context.Background()
	story := contracttest.NewStory(contract.DevChainID, contracttest.StoryFee)
	alloc := make(types.GenesisAlloc)
	for _, w := range story.Wallets() {
		alloc[w.Address] = types.Account{Balance: new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))}
	}
	g := &contract.Genesis{ChainID: contract.DevChainID, BlockGasLimit: 30_000_000, Alloc: alloc}

	backend := simulated.NewBackend(alloc, func(_ *node.Config, c *ethconfig.Config) {
		genesis := *c.Genesis
		genesis.Config, genesis.GasLimit = g.ChainConfig(), g.BlockGasLimit
		c.Genesis = &genesis
		c.Miner.GasCeil = g.BlockGasLimit
	})
	defer backend.Close()
	theirs := backend.Client()

	s, err := store.Open(ctx, store.DefaultConfig())
	require.NoError(t, err)
	ours, err := contract.New(s, g)
	require.NoError(t, err)
	// run runs a block of ours at the height and time of the last one of theirs.
	run := func(ops ...statemachine.Op) []statemachine.Result {
		h, err := theirs.HeaderByNumber(ctx, nil)
		require.NoError(t, err)
		return ours.Apply(statemachine.Block{Height: h.Number.Uint64(), Time: statemachine.Time(h.Time * 1e9), Ops: ops})
	}

	gas := make(map[string]uint64)
	for _, step := range story.Steps {
		for range step.Blocks {
			backend.Commit()
			run()
		}
		if step.Seconds > 0 { // with a block of its own
			require.NoError(t, backend.AdjustTime(time.Duration(step.Seconds)*time.Second))
			run()
		}
		require.NoError(t, theirs.SendTransaction(ctx, step.Tx), step.Name)
		backend.Commit()
		want, err := theirs.TransactionReceipt(ctx, step.Tx.Hash())
		require.NoError(t, err, step.Name)

		data, err := step.Tx.MarshalBinary()
		require.NoError(t, err)
		r := run(statemachine.Op{Data: data})[0]
		got, err := contract.DecodeOutcome(r)
		require.NoError(t, err, step.Name)
		require.Equal(t, step.Fails, want.Status == types.ReceiptStatusFailed, step.Name)
		require.Equal(t, step.Fails, r.Code != statemachine.CodeOK, step.Name)
		require.Equal(t, want.GasUsed, got.GasUsed, step.Name)
		require.Equal(t, want.ContractAddress, got.Contract, step.Name)
		require.Len(t, got.Logs, len(want.Logs), step.Name)
		for i, l := range want.Logs {
			require.Equal(t, l.Topics, got.Logs[i].Topics, step.Name)
			require.Equal(t, l.Data, append([]byte{}, got.Logs[i].Data...), step.Name)
		}
		gas[step.Tx.Hash().Hex()] = want.GasUsed
	}

	if *update {
		b, err := json.MarshalIndent(gas, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(gasFile, append(b, '\n'), 0o644))
	}
	b, err := os.ReadFile(gasFile)
	require.NoError(t, err)
	var recorded map[string]uint64
	require.NoError(t, json.Unmarshal(b, &recorded))
	require.Equal(t, recorded, gas, "go test -update writes it anew")
}
