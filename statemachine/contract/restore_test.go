package contract

import (
	"bytes"
	"context"
	"io"
	"math/big"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// Reads go on while a state is restored: they are answered from some state, or refused.
func TestReadsWhileRestoring(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	c := newTestChain(t, &Genesis{ChainID: testChainID, Alloc: rich(w)})
	for range 5 {
		c.send(w.Send(common.Address{1}, big.NewInt(1), nil))
	}
	s, err := c.m.Snapshot()
	require.NoError(t, err)
	var snapshot bytes.Buffer
	_, err = s.WriteTo(&snapshot)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	m := newMachine(t, &Genesis{ChainID: testChainID, Alloc: rich(w)})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	ready := make(chan struct{}, 2)
	for range 2 {
		all.Go(func() {
			api := m.API(ReadLimits{})
			for first := true; ctx.Err() == nil; first = false {
				if b, err := api.GetBalance(ctx, common.Address{1}, nil); err == nil {
					if v := b.ToInt().Int64(); v != 0 && v != 5 {
						t.Errorf("a balance of %d, which was never there", v)
					}
				}
				_, _ = api.GetBlockByNumber(ctx, 3, true)
				if first {
					ready <- struct{}{}
				}
			}
		})
	}
	<-ready
	<-ready
	for range 20 {
		require.NoError(t, m.Restore(io.MultiReader(bytes.NewReader(snapshot.Bytes()))))
		m.Restored(5)
		require.NoError(t, m.Await(t.Context(), 5))
	}
	cancel()
	all.Wait()
	require.NoError(t, m.Check())
	require.Equal(t, c.m.Digest(), m.Digest())
}
