package endpoint_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// patient is a replica whose state may be wrong.
type patient struct {
	mu          sync.Mutex
	why         error
	asked       int // so often
	interrupted chan struct{}
}

func newPatient() *patient { return &patient{interrupted: make(chan struct{})} }

func (p *patient) use(c *endpoint.Config) {
	c.Serving = func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		return p.why
	}
	c.Interrupted = func() <-chan struct{} {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.interrupted
	}
}

var errRepaired = errors.New("the state is being repaired")

// falls ill, and heals.
func (p *patient) falls() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why = errRepaired
	close(p.interrupted)
	p.interrupted = make(chan struct{})
}

func (p *patient) heals() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why = nil
}

// While the replica's state is not to be read the endpoint says so, and to whom to go.
func TestNotServing(t *testing.T) {
	p := newPatient()
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { p.use(c) })
	const call = `{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}`
	status, _ := s.post(call, nil)
	require.Equal(t, http.StatusOK, status)
	p.falls()
	status, body := s.post(call, nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "being repaired: ask another replica")
	_, err := ethclient.Dial(s.socketURL())
	require.ErrorContains(t, err, "503")
	p.heals()
	status, _ = s.post(call, nil)
	require.Equal(t, http.StatusOK, status)
}

func (s *stand) socketURL() string { return strings.Replace(s.endpoint.URL(), "http", "ws", 1) }

func (s *stand) socket() *ethclient.Client {
	c, err := ethclient.Dial(s.socketURL())
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}

// Subscriptions that are open when the state turns out to be wrong end with an error, and so
// do calls over the same connection, also if all is well again before anybody has looked: what
// they were told may have been wrong, and what follows would not follow on it.
func TestSubscriptionsAreCut(t *testing.T) {
	p := newPatient()
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { p.use(c) })
	ctx := t.Context()
	to := common.Address{1}
	follow := func() (*ethclient.Client, chan *types.Header, ethereum.Subscription, ethereum.Subscription) {
		ws, heads := s.socket(), make(chan *types.Header, 100)
		h, err := ws.SubscribeNewHead(ctx, heads)
		require.NoError(t, err)
		l, err := ws.SubscribeFilterLogs(ctx, ethereum.FilterQuery{}, make(chan types.Log, 100))
		require.NoError(t, err)
		return ws, heads, h, l
	}
	for _, wellSoon := range []bool{false, true} {
		ws, heads, h, l := follow()
		idle := s.socket()
		require.NoError(t, s.SendTransaction(ctx, s.ann.Send(to, nil, nil)))
		before := (<-heads).Number.Uint64()
		p.falls()
		if wellSoon {
			p.heals()
		}
		for _, sub := range []ethereum.Subscription{h, l} {
			require.ErrorContains(t, <-sub.Err(), "the state of this replica has been found wrong, or was replaced: ask another replica")
		}
		require.Empty(t, heads)
		if !wellSoon {
			for _, c := range []*ethclient.Client{ws, idle} {
				// Each connection is cut by a goroutine of its own, which may come after a call.
				var err error
				for err == nil {
					_, err = c.BlockNumber(ctx)
				}
			}
		}

		// Whoever asks again is served when all is well.
		p.heals()
		_, heads, _, _ = follow()
		require.NoError(t, s.SendTransaction(ctx, s.ann.Send(to, nil, nil)))
		require.Equal(t, before+1, (<-heads).Number.Uint64())
	}
}

// A filter does not go on from blocks that may have been wrong.
func TestFiltersAreForgotten(t *testing.T) {
	p := newPatient()
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { p.use(c) })
	ctx, c := t.Context(), s.Client.Client()
	for _, method := range []string{"eth_getFilterChanges", "eth_getFilterLogs"} {
		var id string
		require.NoError(t, c.CallContext(ctx, &id, "eth_newFilter", map[string]any{}))
		require.NoError(t, c.CallContext(ctx, nil, method, id))
		p.falls()
		p.heals()
		require.ErrorContains(t, c.CallContext(ctx, nil, method, id), "filter not found: the state of this replica has been found wrong")
		require.EqualError(t, c.CallContext(ctx, nil, method, id), "filter not found")
	}
}

// Transactions that wait for those before them are given up: which nonce is next, a wrong
// state does not know.
func TestWaitingTransactionsAreGivenUp(t *testing.T) {
	p := newPatient()
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		p.use(c)
		c.Gap = time.Hour
	})
	w := contracttest.NewWallet(contract.DevChainID, "ann")
	first := w.Send(common.Address{1}, nil, nil)
	second := w.Send(common.Address{1}, nil, nil)
	asked := p.asked // nobody else asks yet
	outcome := make(chan error, 1)
	go func() { outcome <- s.SendTransaction(context.WithoutCancel(t.Context()), second) }()
	require.Eventually(t, func() bool { // once for the request, then for the transaction that waits
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.asked >= asked+2
	}, time.Minute, time.Millisecond)
	p.falls()
	require.ErrorContains(t, <-outcome, "the state is being repaired: ask another replica")
	p.heals()
	require.NoError(t, s.SendTransaction(t.Context(), first))
	require.NoError(t, s.SendTransaction(t.Context(), second))
}
