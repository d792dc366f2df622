package contract_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
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

// model is what clients may have seen. Transactions take effect one after the other, in
// an order that respects what happened before what, each at most once, and each sender's
// in the order of their nonces; a replica that has a transaction has it where its client
// was told, with that outcome.
type model struct {
	machines []*contract.Machine
	judged   int
}

// place is where a transaction is, and when its client called.
type place struct {
	height, index uint64
	call          chaos.Call
	tx            *types.Transaction
	from          common.Address
}

func (m *model) judge(calls []chaos.Call) error {
	var places []place
	sent := make(map[common.Address]map[uint64]int) // transactions by sender and nonce
	signer := types.LatestSignerForChainID(big.NewInt(contract.DevChainID))
	for _, c := range calls {
		tx := new(types.Transaction)
		if tx.UnmarshalBinary(c.Operation) != nil {
			if c.Known && contract.Included(c.Result.Code) {
				return fmt.Errorf("%x is in the chain", c.Operation)
			}
			continue
		}
		from, err := types.Sender(signer, tx)
		if err == nil {
			if sent[from] == nil {
				sent[from] = make(map[uint64]int)
			}
			sent[from][tx.Nonce()]++
		}
		if !c.Known || !contract.Included(c.Result.Code) {
			continue
		}
		o, err := contract.DecodeOutcome(c.Result)
		if err != nil {
			return err
		}
		if o.Hash != tx.Hash() {
			return fmt.Errorf("the outcome of %v was told of %v", o.Hash, tx.Hash())
		}
		places = append(places, place{o.Height, o.Index, c, tx, from})
		if err := m.recorded(o, c.Result.Code); err != nil {
			return err
		}
	}
	for _, c := range calls {
		tx := new(types.Transaction)
		if c.Known && c.Result.Code == contract.CodeNonceUsed && tx.UnmarshalBinary(c.Operation) == nil {
			if from, err := types.Sender(signer, tx); err != nil || sent[from][tx.Nonce()] < 2 {
				return fmt.Errorf("nonce %d of %v was used and by nobody else", tx.Nonce(), from)
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.height, b.height), cmp.Compare(a.index, b.index))
	})
	latest := int64(-1) // beginning of a call whose transaction comes before
	next := make(map[common.Address]uint64)
	for i, p := range places {
		if i > 0 && p.height == places[i-1].height && p.index == places[i-1].index {
			return fmt.Errorf("two transactions are at %d/%d", p.height, p.index)
		}
		if p.call.End < latest {
			return fmt.Errorf("a call that ended at %d comes after one that began at %d", p.call.End, latest)
		}
		latest = max(latest, p.call.Begin)
		if p.tx.Nonce() < next[p.from] {
			return fmt.Errorf("%v ran nonce %d after %d", p.from, p.tx.Nonce(), next[p.from]-1)
		}
		next[p.from] = p.tx.Nonce() + 1
	}
	m.judged += len(places)
	return nil
}

// recorded compares an outcome with what replicas have.
func (m *model) recorded(o *contract.Outcome, code statemachine.ResultCode) error {
	for _, machine := range m.machines {
		f, err := machine.API(contract.ReadLimits{}).GetTransactionReceipt(context.Background(), o.Hash)
		if err != nil {
			return err
		}
		if f == nil {
			continue // not there yet, or forgotten
		}
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		var r types.Receipt
		if err := json.Unmarshal(b, &r); err != nil {
			return err
		}
		if r.BlockNumber.Uint64() != o.Height || uint64(r.TransactionIndex) != o.Index || r.GasUsed != o.GasUsed ||
			len(r.Logs) != len(o.Logs) || (r.Status == types.ReceiptStatusSuccessful) != (code == statemachine.CodeOK) {
			return fmt.Errorf("a client was told %+v (%v), and a replica has %s", o, code, b)
		}
	}
	return nil
}

// The model notices what is wrong.
func TestModelNotices(t *testing.T) {
	w := contracttest.NewWallet(contract.DevChainID, "ann")
	m := newMachine(t, nil)
	var calls []chaos.Call
	for i := range 3 {
		op, err := w.Send(common.Address{1}, nil, nil).MarshalBinary()
		require.NoError(t, err)
		r := m.Apply(statemachine.Block{Height: uint64(i + 1), Ops: []statemachine.Op{{Data: op}}})[0]
		calls = append(calls, chaos.Call{Operation: op, Begin: int64(10 * i), End: int64(10*i + 5), Known: true, Result: r})
	}
	judge := func(calls []chaos.Call, machines ...*contract.Machine) error {
		return (&model{machines: machines}).judge(calls)
	}
	require.NoError(t, judge(calls, m))
	for name, change := range map[string]func(c []chaos.Call){
		"later in the chain, earlier in time": func(c []chaos.Call) { c[2].Begin, c[2].End = -5, -1 },
		"another's outcome":                   func(c []chaos.Call) { c[1].Result = c[0].Result },
		"told that it failed":                 func(c []chaos.Call) { c[1].Result.Code = contract.CodeReverted },
		"refused for nothing":                 func(c []chaos.Call) { c[2].Result = statemachine.Reject(contract.CodeNonceUsed, nil) },
		"noise in the chain":                  func(c []chaos.Call) { c[2].Operation = []byte("noise") },
		"no outcome":                          func(c []chaos.Call) { c[2].Result.Data = nil },
	} {
		broken := slices.Clone(calls)
		change(broken)
		require.Error(t, judge(broken, m), name)
	}
}

// Whole clusters in the simulator, under faults and traitors: all honest replicas agree,
// as the simulation's judge says, clients saw what the model allows, and no state is one
// that cannot be.
func TestSimulatedClusters(t *testing.T) {
	var traitors, transfers, included, judged int
	for seed := uint64(1); seed <= 14; seed++ {
		p := newPlayer()
		alloc := rich(p.wallets...)
		model := new(model)
		history := uint64(256)
		if seed%2 == 0 {
			history = 1 << 20
		}
		o := chaos.Swarm(seed)
		o.Machine = func() statemachine.StateMachine {
			m := newMachine(t, &contract.Genesis{ChainID: contract.DevChainID, History: history, BlockGasLimit: 20_000_000, Alloc: alloc})
			model.machines = append(model.machines, m)
			return m
		}
		o.Operation, o.Judge = p.next, model.judge
		r := chaos.Run(o)
		require.NoError(t, r.Err(), "seed %d", seed)
		traitors += len(o.Traitors)
		transfers += r.Transfers
		judged += model.judged
		for _, m := range model.machines {
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
	require.Positive(t, judged)
	t.Logf("%d traitors, %d state transfers, %d blocks with transactions, %d outcomes judged", traitors, transfers, included, judged)
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
