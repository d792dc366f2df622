package endpoint_test

import (
	"context"
	"encoding/json"
	"math/big"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
	"github.com/parley-bft/parley/statemachine/store"
)

// cluster is replicas in this process with an endpoint each.
type cluster struct {
	t         *testing.T
	ctx       context.Context
	local     *replica.LocalCluster
	machines  []*contract.Machine
	clients   []*ethclient.Client
	endpoints []*endpoint.Server
	filler    *contracttest.Wallet
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

// liar is the application of a traitor: it gives out results that are none, and its
// state is another one.
type liar struct{ *contract.Machine }

func (l *liar) Apply(b statemachine.Block) []statemachine.Result {
	if len(b.Ops) > 0 && b.Height%2 == 0 {
		b.Ops = b.Ops[1:]
		return append(l.Machine.Apply(b), statemachine.OK([]byte("all is well")))
	}
	results := l.Machine.Apply(b)
	for i := range results {
		results[i] = statemachine.OK([]byte("all is well"))
	}
	return results
}

// startCluster starts four replicas; the last one lies if it is to.
func startCluster(t *testing.T, g *contract.Genesis, traitor bool) *cluster {
	c := &cluster{t: t, ctx: t.Context(), filler: contracttest.NewWallet(g.ChainID, "filler")}
	c.filler.FeeCap = contracttest.StoryFee
	local, err := replica.StartLocal(c.ctx, replica.LocalConfig{Dir: t.TempDir(), NewMachine: func() statemachine.StateMachine {
		m := newMachine(t, g)
		c.machines = append(c.machines, m)
		if traitor && len(c.machines) == 4 {
			return &liar{m}
		}
		return m
	}})
	require.NoError(t, err)
	c.local = local
	t.Cleanup(func() { require.NoError(t, local.Close()) })
	for i, m := range c.machines {
		if traitor && i == 3 {
			break
		}
		c.serve(m, local.Servers[i])
	}
	return c
}

func (c *cluster) serve(m *contract.Machine, submit endpoint.Submitter) {
	e, err := endpoint.Start(c.ctx, endpoint.Config{Machine: m, Submit: submit, Listen: "127.0.0.1:0"})
	require.NoError(c.t, err)
	c.t.Cleanup(e.Stop)
	client, err := ethclient.Dial(e.URL())
	require.NoError(c.t, err)
	c.t.Cleanup(client.Close)
	c.endpoints, c.clients = append(c.endpoints, e), append(c.clients, client)
}

// pass has transactions of nobody run until blocks and seconds have passed.
func (c *cluster) pass(blocks, seconds uint64) {
	first, err := c.clients[0].HeaderByNumber(c.ctx, nil)
	require.NoError(c.t, err)
	for {
		h, err := c.clients[0].HeaderByNumber(c.ctx, nil)
		require.NoError(c.t, err)
		if h.Number.Uint64() >= first.Number.Uint64()+blocks && h.Time >= first.Time+seconds {
			return
		}
		require.NoError(c.t, c.clients[0].SendTransaction(c.ctx, c.filler.Send(c.filler.Address, nil, nil)))
	}
}

// everywhere waits until all replicas with an endpoint have a height.
func (c *cluster) everywhere(height uint64) {
	for i := range c.clients {
		require.NoError(c.t, c.machines[i].Await(c.ctx, height))
	}
}

// text is a value as JSON, for comparison.
func text(t testing.TB, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// OpenZeppelin's contracts, driven by go-ethereum's client, on a cluster with a traitor:
// receipts, logs, headers and state roots are the same everywhere, and the gas is that
// of go-ethereum's simulated backend.
func TestStoryOnCluster(t *testing.T) {
	story := contracttest.NewStory(contract.DevChainID, contracttest.StoryFee)
	filler := contracttest.NewWallet(contract.DevChainID, "filler")
	c := startCluster(t, &contract.Genesis{ChainID: contract.DevChainID, BaseFee: 1e9, Alloc: rich(append(story.Wallets(), filler)...)}, true)
	tell(c, story)
}

// tell runs a story through the endpoints in turn and compares everything.
func tell(c *cluster, story *contracttest.Story) {
	t, ctx := c.t, c.ctx
	gas := contracttest.SimulatedGas()
	for i, step := range story.Steps {
		c.pass(step.Blocks, step.Seconds)
		client := c.clients[i%len(c.clients)]
		require.NoError(t, client.SendTransaction(ctx, step.Tx), step.Name)
		r, err := client.TransactionReceipt(ctx, step.Tx.Hash())
		require.NoError(t, err, step.Name)
		require.Equal(t, step.Fails, r.Status == types.ReceiptStatusFailed, step.Name)
		require.Equal(t, gas[step.Tx.Hash()], r.GasUsed, step.Name)
		require.NotEmpty(t, gas[step.Tx.Hash()])
	}
	head, err := c.clients[0].BlockNumber(ctx)
	require.NoError(t, err)
	c.everywhere(head)

	// The same everywhere.
	for i, client := range c.clients {
		for h := range head + 1 {
			at := new(big.Int).SetUint64(h)
			want, err := c.clients[0].BlockByNumber(ctx, at)
			require.NoError(t, err)
			got, err := client.BlockByNumber(ctx, at)
			require.NoError(t, err)
			require.Equal(t, want.Hash(), got.Hash(), "block %d at %d", h, i)
			require.Equal(t, want.Root(), got.Root())
			require.Equal(t, text(t, want.Header()), text(t, got.Header()))
		}
		for _, step := range story.Steps {
			want, err := c.clients[0].TransactionReceipt(ctx, step.Tx.Hash())
			require.NoError(t, err)
			got, err := client.TransactionReceipt(ctx, step.Tx.Hash())
			require.NoError(t, err)
			require.Equal(t, text(t, want), text(t, got), step.Name)
		}
		want, err := c.clients[0].FilterLogs(ctx, ethereum.FilterQuery{FromBlock: new(big.Int)})
		require.NoError(t, err)
		got, err := client.FilterLogs(ctx, ethereum.FilterQuery{FromBlock: new(big.Int)})
		require.NoError(t, err)
		require.Equal(t, text(t, want), text(t, got))
		require.Greater(t, len(got), 30)
	}

	// And what the story came to.
	coin, art := contracttest.Load("Coin"), contracttest.Load("Art")
	call := func(c2 *contracttest.Contract, at common.Address, method string, args ...any) any {
		out, err := c.clients[1].CallContract(ctx, ethereum.CallMsg{To: &at, Data: c2.Call(method, args...)}, nil)
		require.NoError(t, err)
		values, err := c2.Returns(method, out)
		require.NoError(t, err)
		return values[0]
	}
	four := new(big.Int).Mul(big.NewInt(4), big.NewInt(1e18))
	require.Equal(t, new(big.Int).Add(contracttest.Grant, four), call(coin, story.Coin, "balanceOf", story.Dave.Address))
	require.Equal(t, new(big.Int).Sub(contracttest.Treasury, contracttest.Grant), call(coin, story.Coin, "balanceOf", story.Timelock))
	require.Equal(t, story.Carol.Address, call(art, story.Art, "ownerOf", big.NewInt(1)))
	require.Equal(t, uint8(7), call(contracttest.Load("Dao"), story.Dao, "state", story.Proposal), "executed")
	left, err := c.clients[2].BalanceAt(ctx, story.Timelock, nil)
	require.NoError(t, err)
	require.Equal(t, new(big.Int).Sub(contracttest.Purse, contracttest.Alms), left)
}

// The same transactions given to endpoints of several replicas at once: each runs once,
// and everybody who sent it hears that it ran.
func TestSameTransactionEverywhere(t *testing.T) {
	w := contracttest.NewWallet(contract.DevChainID, "ann")
	c := startCluster(t, &contract.Genesis{ChainID: contract.DevChainID, Alloc: rich(w)}, false)
	const n = 10
	to := common.Address{1}
	for range n {
		tx := w.Send(to, big.NewInt(1), nil)
		var all sync.WaitGroup
		errs := make([]error, len(c.clients))
		for i, client := range c.clients {
			all.Go(func() { errs[i] = client.SendTransaction(c.ctx, tx) })
		}
		all.Wait()
		for i, client := range c.clients {
			require.NoError(t, errs[i])
			_, err := client.TransactionReceipt(c.ctx, tx.Hash())
			require.NoError(t, err)
		}
	}
	balance, err := c.clients[0].BalanceAt(c.ctx, to, nil)
	require.NoError(t, err)
	require.Equal(t, int64(n), balance.Int64())
}
