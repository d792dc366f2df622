package contract

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// A block that is run again later has the same header, whose state root is the digest of
// the state that it began with, and not of the last one.
func TestRerunMakesTheSameHeader(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	c := newTestChain(t, &Genesis{ChainID: testChainID, Alloc: rich(w)})
	var blocks []statemachine.Block
	for i := range 5 {
		tx := w.Send(common.Address{1}, big.NewInt(int64(1+i)), nil)
		c.send(tx)
		b := c.last()
		b.Ops = []statemachine.Op{{Seq: c.height, Data: raw(t, tx)}}
		blocks = append(blocks, b)
	}
	for _, b := range blocks[1:4] {
		writes, err := c.m.Rerun(t.Context(), b, [][]byte{blockKey(b.Height)})
		require.NoError(t, err)
		require.Len(t, writes, 1)
		require.Equal(t, -1, writes[0].Op)
		v, err := c.m.Store().At(b.Height)
		require.NoError(t, err)
		want, ok := v.Get(blockKey(b.Height))
		require.True(t, ok)
		require.True(t, bytes.Equal(want, writes[0].Value))
	}
	require.NoError(t, c.m.Check())
}
