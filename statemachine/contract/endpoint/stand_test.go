package endpoint_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// solo orders operations by itself: an endpoint's own business needs no cluster.
type solo struct {
	mu     sync.Mutex
	m      *contract.Machine
	height uint64
	// before, if set, is called before each request runs.
	before func(ops [][]byte) error
	// behind: the cluster has run a request already, and this replica does so later.
	behind bool
	calls  int
}

func (s *solo) SubmitAll(_ context.Context, ops [][]byte) ([]statemachine.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.before != nil {
		if err := s.before(ops); err != nil {
			return nil, err
		}
	}
	if s.behind {
		go func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.apply(ops...)
		}()
		return []statemachine.Result{statemachine.Reject(contract.CodeNonceUsed, nil)}, nil
	}
	return s.apply(ops...), nil
}

// apply runs operations in a block of their own. The lock is held.
func (s *solo) apply(ops ...[]byte) []statemachine.Result {
	s.height++
	b := statemachine.Block{Height: s.height, Time: statemachine.Time((1_800_000_000 + s.height) * 1e9)}
	for _, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: op})
	}
	return s.m.Apply(b)
}

type stand struct {
	*ethclient.Client
	t        testing.TB
	endpoint *endpoint.Server
	order    *solo
	ann, ben *contracttest.Wallet
}

func newStand(t testing.TB, edit func(*contract.Genesis, *endpoint.Config)) *stand {
	s := &stand{t: t, ann: contracttest.NewWallet(contract.DevChainID, "ann"), ben: contracttest.NewWallet(contract.DevChainID, "ben")}
	g := &contract.Genesis{ChainID: contract.DevChainID, Alloc: rich(s.ann, s.ben)}
	cfg := endpoint.Config{Listen: "127.0.0.1:0"}
	if edit != nil {
		edit(g, &cfg)
	}
	if cfg.Machine == nil {
		cfg.Machine = newMachine(t, g)
	}
	s.order = &solo{m: cfg.Machine}
	if cfg.Submit == nil {
		cfg.Submit = s.order
	}
	var err error
	s.endpoint, err = endpoint.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.endpoint.Stop)
	s.Client, err = ethclient.Dial(s.endpoint.URL())
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// post sends bytes as they are.
func (s *stand) post(body string, edit func(*http.Request)) (status int, answer string) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.endpoint.URL(), bytes.NewReader([]byte(body)))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	if edit != nil {
		edit(req)
	}
	r, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(s.t, err)
	return r.StatusCode, string(b)
}

// pass runs empty blocks.
func (s *solo) pass(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.apply()
	}
}
