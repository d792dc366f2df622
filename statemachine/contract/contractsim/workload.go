// Package contractsim has what simulations of clusters that run contracts need: clients
// that deploy contracts and use them well and badly, and a model of what must come of it.
package contractsim

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/store"
)

// Workload makes the operations of clients: each has a wallet, deploys a token and a
// contract that means ill, and then uses its own and those of others. Some transactions
// are repeated, some come out of turn, some are noise.
type Workload struct {
	genesis *contract.Genesis
	wallets []*contracttest.Wallet
	made    []uint64 // the nonce of the next transaction, by client
}

// New returns the workload of some clients.
func New(clients int) *Workload {
	w := &Workload{made: make([]uint64, clients)}
	alloc := make(types.GenesisAlloc)
	for i := range clients {
		wallet := contracttest.NewWallet(contract.DevChainID, fmt.Sprintf("client %d", i))
		alloc[wallet.Address] = types.Account{Balance: new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))}
		w.wallets = append(w.wallets, wallet)
	}
	w.genesis = &contract.Genesis{ChainID: contract.DevChainID, BlockGasLimit: 20_000_000, History: 256, Alloc: alloc}
	return w
}

// Machine makes the application of one replica.
func (w *Workload) Machine() *contract.Machine {
	m, err := w.MachineOn(store.DefaultConfig())
	if err != nil {
		panic(err) // in memory nothing can fail
	}
	return m
}

// MachineOn is Machine with the state in a store of that configuration.
func (w *Workload) MachineOn(cfg store.Config) (*contract.Machine, error) {
	s, err := store.Open(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	return contract.New(s, w.genesis)
}

// Operation makes the next operation of a client.
func (w *Workload) Operation(rng *rand.Rand, client int, _ statemachine.Time) []byte {
	n, noise := w.made[client], rng.IntN(20) == 0
	me, peer := w.wallets[client], w.wallets[rng.IntN(len(w.wallets))]
	switch {
	case n > 0 && rng.IntN(6) == 0:
		n -= min(n, 1+uint64(rng.IntN(3))) // in place of one that has run, or has not come through
	case !noise:
		w.made[client]++
	}
	me.Nonce = n
	b, err := transaction(rng, n, me, peer).MarshalBinary()
	if err != nil {
		panic(err)
	}
	if noise {
		b = slices.Clone(b)
		b[rng.IntN(len(b))] ^= 1
	}
	return b
}

// transaction is the n-th of a client.
func transaction(rng *rand.Rand, n uint64, me, peer *contracttest.Wallet) *types.Transaction {
	coin, hostile := contracttest.Load("Coin"), contracttest.Load("Hostile")
	coinAt, hostileAt := deployedAt(peer, 0), deployedAt(peer, 1)
	switch n {
	case 0:
		tx, _ := me.Deploy(coin.Deploy(big.NewInt(1_000_000)))
		return tx
	case 1:
		tx, _ := me.Deploy(hostile.Deploy())
		return tx
	}
	switch rng.IntN(9) {
	case 0:
		return me.Send(peer.Address, big.NewInt(rng.Int64N(1e18)), nil)
	case 1:
		return me.Send(hostileAt, big.NewInt(7), nil)
	case 2:
		return me.Send(hostileAt, big.NewInt(rng.Int64N(5)), hostile.Call("spark", peer.Address))
	case 3:
		return me.Send(hostileAt, nil, hostile.Call("destroy", me.Address))
	case 4:
		return me.Send(hostileAt, nil, hostile.Call("refuse", "no"))
	case 5:
		return me.Send(hostileAt, nil, hostile.Call("fill", big.NewInt(rng.Int64N(9))))
	case 6:
		return me.Send(hostileAt, nil, hostile.Call("invalid"))
	}
	return me.Send(coinAt, nil, coin.Call("transfer", peer.Address, big.NewInt(rng.Int64N(100))))
}

// deployedAt is the address of the contract that a wallet deploys with a nonce.
func deployedAt(w *contracttest.Wallet, nonce uint64) common.Address {
	c := *w
	c.Nonce = nonce
	_, at := c.Deploy(nil)
	return at
}
