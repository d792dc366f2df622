package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// registers is an application on the store: "key=value" sets a key, a query gets one.
type registers struct{}

func (registers) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	key, value, _ := strings.Cut(string(op.Data), "=")
	t.Set([]byte(key), []byte(value))
	return statemachine.OK(nil)
}

func (registers) Query(_ context.Context, r store.Reader, q []byte) ([]byte, error) {
	v, _ := r.Get(q)
	return v, nil
}

// storeCluster starts a cluster of registers whose stores keep so many heights, and a client.
func storeCluster(t *testing.T, keep uint64) (*replica.LocalCluster, *client.Client) {
	var all sync.Mutex
	var stores []*store.Store
	local, err := replica.StartLocal(t.Context(), replica.LocalConfig{Dir: t.TempDir(), NewMachine: func() statemachine.StateMachine {
		cfg := store.DefaultConfig()
		cfg.Keep = keep
		s, err := store.Open(context.Background(), cfg)
		require.NoError(t, err)
		all.Lock()
		defer all.Unlock()
		stores = append(stores, s)
		m, err := store.NewMachine(s, registers{})
		require.NoError(t, err)
		return m
	}})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, local.Close())
		for _, s := range stores {
			require.NoError(t, s.Close())
		}
	})
	c, err := client.Dial(t.Context(), client.Config{Roster: local.Roster, Key: ed25519.NewKeyFromSeed([32]byte{8})})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return local, c
}

func TestCertifiedAndEarlierReads(t *testing.T) {
	local, c := storeCluster(t, 128)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var heights []pbft.Height
	for i := range 5 {
		a, err := c.Do(ctx, fmt.Append(nil, "colour=", i))
		require.NoError(t, err)
		heights = append(heights, a.Ref.Height)
	}
	for i, h := range heights {
		v, err := c.ReadAt(ctx, h, []byte("colour"))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(v))
	}
	s, err := c.ReadCertified(ctx, []byte("colour"), client.CertifiedOptions{MinHeight: heights[4], MaxAge: time.Hour})
	require.NoError(t, err)
	require.Equal(t, "4", string(s.Proof.Value))
	require.NoError(t, s.Verify(local.Roster, []byte("colour")))
	s, err = c.ReadCertified(ctx, []byte("taste"), client.CertifiedOptions{MinHeight: heights[4]})
	require.NoError(t, err)
	require.False(t, s.Proof.Present)
	_, err = c.ReadCertified(ctx, []byte("colour"), client.CertifiedOptions{MaxAge: time.Nanosecond})
	require.ErrorIs(t, err, client.ErrTooOld)
	short, end := context.WithTimeout(ctx, 100*time.Millisecond)
	defer end()
	_, err = c.ReadCertified(short, []byte("colour"), client.CertifiedOptions{MinHeight: heights[4] + 1000})
	require.ErrorIs(t, err, client.ErrTooOld)
	a, err := c.Read(ctx, []byte("colour"), nil)
	require.NoError(t, err)
	require.Equal(t, "4", string(a.Data))
	require.GreaterOrEqual(t, a.Height, heights[4])
}

func TestEarlierReadsOfWhatIsPruned(t *testing.T) {
	_, c := storeCluster(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var first pbft.Height
	// From the last but one certified checkpoint on everything is kept, so it takes some
	// of them until a height is let go of.
	for i := 0; ; i++ {
		a, err := c.Do(ctx, fmt.Append(nil, "colour=", i))
		require.NoError(t, err)
		if i == 0 {
			first = a.Ref.Height
		}
		_, err = c.ReadAt(ctx, first, []byte("colour"))
		if errors.Is(err, client.ErrPruned) {
			return
		}
		require.NoError(t, err)
	}
}
