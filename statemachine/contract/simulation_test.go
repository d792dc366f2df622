package contract_test

import (
	"context"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/store"
)

// player makes a client's transactions in the simulator: it deploys contracts and uses
// them and those of others, well and badly.
type player struct {
	wallets []*contracttest.Wallet
}

func newPlayer() *player {
	p := new(player)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		p.wallets = append(p.wallets, contracttest.NewWallet(contract.DevChainID, "player "+name))
	}
	return p
}

// next is the n-th operation of a client.
func (p *player) next(rng *rand.Rand, client, n int) []byte {
	w := p.wallets[client%len(p.wallets)]
	w.Nonce = uint64(n)
	if rng.IntN(10) == 0 {
		w.Nonce -= min(w.Nonce, uint64(rng.IntN(3))) // a replay, or another one in its place
	}
	coin, hostile := contracttest.Load("Coin"), contracttest.Load("Hostile")
	peer := p.wallets[rng.IntN(len(p.wallets))]
	// What the wallets deploy with their first two transactions.
	coinAt, hostileAt := contractOf(peer, 0), contractOf(peer, 1)
	var tx *types.Transaction
	switch {
	case n == 0:
		tx, _ = w.Deploy(coin.Deploy(big.NewInt(1_000_000)))
	case n == 1:
		tx, _ = w.Deploy(hostile.Deploy())
	default:
		switch rng.IntN(8) {
		case 0:
			tx = w.Send(peer.Address, big.NewInt(rng.Int64N(1e18)), nil)
		case 1:
			tx = w.Send(hostileAt, big.NewInt(7), nil)
		case 2:
			tx = w.Send(hostileAt, nil, hostile.Call("spark", peer.Address))
		case 3:
			tx = w.Send(hostileAt, nil, hostile.Call("destroy", w.Address))
		case 4:
			tx = w.Send(hostileAt, nil, hostile.Call("refuse", "no"))
		case 5:
			tx = w.Send(hostileAt, nil, hostile.Call("fill", big.NewInt(rng.Int64N(9))))
		default:
			tx = w.Send(coinAt, nil, coin.Call("transfer", peer.Address, big.NewInt(rng.Int64N(100))))
		}
	}
	b, err := tx.MarshalBinary()
	if err != nil {
		panic(err)
	}
	if rng.IntN(20) == 0 {
		b = slices.Clone(b)
		b[rng.IntN(len(b))] ^= 1
	}
	return b
}

func contractOf(w *contracttest.Wallet, nonce uint64) common.Address {
	c := *w
	c.Nonce = nonce
	_, at := c.Deploy(nil)
	return at
}

// Whole clusters in the simulator, under faults and traitors: all honest replicas agree,
// as the simulation's judge says, and no state is one that cannot be.
func TestSimulatedClusters(t *testing.T) {
	var traitors, transfers, included int
	for seed := uint64(1); seed <= 8; seed++ {
		p := newPlayer()
		alloc := rich(p.wallets...)
		var machines []*contract.Machine
		o := chaos.Swarm(seed)
		o.Machine = func() statemachine.StateMachine {
			m := newMachine(t, &contract.Genesis{ChainID: contract.DevChainID, History: 256, BlockGasLimit: 20_000_000, Alloc: alloc})
			machines = append(machines, m)
			return m
		}
		o.Operation = p.next
		r := chaos.Run(o)
		require.NoError(t, r.Err(), "seed %d", seed)
		traitors += len(o.Traitors)
		transfers += r.Transfers
		for _, m := range machines {
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

func rich(wallets ...*contracttest.Wallet) types.GenesisAlloc {
	alloc := make(types.GenesisAlloc)
	for _, w := range wallets {
		alloc[w.Address] = types.Account{Balance: new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))}
	}
	return alloc
}

func newMachine(t testing.TB, g *contract.Genesis) *contract.Machine {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	require.NoError(t, err)
	m, err := contract.New(s, g)
	require.NoError(t, err)
	return m
}
