package replica

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// counts is an application on a store: it counts each text that it is given.
type counts struct{}

func (counts) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	n := byte(1)
	if v, ok := t.Get(op.Data); ok {
		n = v[0] + 1
	}
	t.Set(op.Data, []byte{n})
	return statemachine.OK([]byte{n})
}

func (counts) Query(_ context.Context, r store.Reader, q []byte) ([]byte, error) {
	v, _ := r.Get(q)
	return v, nil
}

// A replica whose application is on a disk begins again with the state that it has
// there, gone back to the last snapshot, and with the blocks since.
func TestStoreOnDiskRestarts(t *testing.T) {
	verifyNoLeaks(t)
	ctx := t.Context()
	dir := t.TempDir()
	var s *store.Store
	found := uint64(0) // the last height that the store came with
	p := crypto.DefaultParameters()
	p.CheckpointEvery = 16
	cfg := LocalConfig{Dir: filepath.Join(dir, "cluster"), Replicas: 1, Parameters: &p, NewMachine: func() statemachine.StateMachine {
		c := store.DefaultConfig()
		c.Dir = filepath.Join(dir, "state")
		var err error
		s, err = store.Open(ctx, c)
		require.NoError(t, err)
		_, found = s.Heights()
		m, err := store.NewMachine(s, counts{})
		require.NoError(t, err)
		return m
	}}
	total := 0
	last := uint64(0)
	for life, blocks := range []int{5, 40, 1, 20} {
		c, err := StartLocal(ctx, cfg)
		require.NoError(t, err)
		require.Equal(t, last, found)
		if life >= 2 { // there is a snapshot by then
			oldest, _ := s.Heights()
			require.Less(t, oldest, last, "the state was loaded, the store did not go back")
		}
		for range blocks {
			r, err := c.Servers[0].Submit(ctx, []byte("text"))
			require.NoError(t, err)
			total++
			require.Equal(t, []byte{byte(total)}, r.Data)
			_, err = c.Servers[0].Submit(ctx, fmt.Append(nil, "other ", total))
			require.NoError(t, err)
		}
		require.NoError(t, c.Close())
		_, last = s.Heights()
		require.NoError(t, s.Close())
	}
	require.Greater(t, last, uint64(100))
}
