package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// retainer notes what it is asked to retain.
type retainer struct {
	journal
	from []uint64
}

func (r *retainer) Retain(from uint64) { r.from = append(r.from, from) }

// certifiedOf is a checkpoint of a height, of a state of its own.
func certifiedOf(r *runner, h uint64) *pbft.Bundle {
	st := r.statement(&statemachine.CheckpointInfo{Height: h, AppDigest: crypto.Digest{byte(h), byte(h >> 8)}}, crypto.Digest{})
	return &pbft.Bundle{Header: pbft.Header{Height: pbft.Height(h)}, Checkpoint: &pbft.CheckpointCertificate{CheckpointStatement: st}}
}

// The application is asked to keep the last but one certified checkpoint and all after it,
// and never more than the protocol permits to be uncertified.
func TestTheLastCertifiedStatesAreRetained(t *testing.T) {
	p := testParameters()
	r, app := &runner{}, new(retainer)
	r.seals.retainBy(app, &p)
	require.Equal(t, []uint64{0}, app.from, "everything that is replayed")
	five, six, seven := certifiedOf(r, 5), certifiedOf(r, 6), certifiedOf(r, 7)
	require.Equal(t, []uint64{0}, app.from, "none of them is certified")
	r.seals.stable(five)
	require.Equal(t, []uint64{0, 5}, app.from)
	r.seals.stable(seven)
	r.seals.stable(six) // late
	require.Equal(t, []uint64{0, 5}, app.from, "the last but one")
	r.seals.stable(certifiedOf(r, 9))
	require.Equal(t, []uint64{0, 5, 7}, app.from)

	most := p.LogMax + p.CheckpointEvery + p.Window
	certifiedOf(r, 7+most)
	require.Equal(t, []uint64{0, 5, 7}, app.from, "so much may be uncertified")
	certifiedOf(r, 8+most)
	require.Equal(t, []uint64{0, 5, 7, 8}, app.from, "and this only to a replica that certificates do not reach")
	r.seals.stable(certifiedOf(r, 9+most))
	require.Equal(t, []uint64{0, 5, 7, 8, 9}, app.from)

	(&runner{}).seals.retainBy(new(journal), &p) // which cannot
}

// A block without operations leaves the state what it was. That its checkpoint is certified
// is no reason to prove something under it before it is executed here.
func TestCheckpointsOfTheSameState(t *testing.T) {
	r := &runner{}
	at := func(h uint64) *pbft.Bundle {
		b := certifiedOf(r, h)
		b.Checkpoint.State = statemachine.StateDigest(crypto.Digest{1}, crypto.Digest{}, crypto.Digest{})
		return b
	}
	one, two := at(1), at(2)
	r = &runner{}
	same := receipt.StateParts{App: crypto.Digest{1}}
	r.seals.add(1, same)
	r.seals.stable(one)
	r.seals.stable(two)
	require.Equal(t, one, r.seals.last().bundle)
	r.seals.add(2, same)
	require.Equal(t, two, r.seals.last().bundle)
	_, known := r.seals.at(two.Checkpoint.State)
	require.True(t, known)
}

// Whatever few heights an application keeps, and however fast blocks come: what is
// certified can be read, and changes can be proved up to there.
func TestCertifiedHeightsAreReadableUnderLoad(t *testing.T) {
	c, cl, _, _ := watchClusterOf(t, 1, time.Now, func(cfg *store.Config) { cfg.Keep = 0 })
	ctx, cancel := context.WithCancel(c.context())
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	for g := range 3 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, _ = cl.Submit(ctx, fmt.Appendf(nil, "%d=%d", g, i))
			}
		})
	}
	for _, s := range c.servers {
		var before pbft.Height
		for range 8 {
			require.NoError(t, s.AwaitCertified(c.context(), before+1))
			p, err := s.Certified(c.context(), []byte("0"))
			require.NoError(t, err)
			require.Greater(t, p.Height(), before)
			b, err := s.Links(c.context(), feed.Position{}, 0)
			require.NoError(t, err)
			require.GreaterOrEqual(t, b.until, p.Height())
			before = b.until
		}
	}
}

// A checkpoint that is pruned while something is proved under it has a successor: that is
// asked.
func TestProvedUnderTheNewest(t *testing.T) {
	s := &Server{runner: &runner{}}
	seals := &s.runner.seals
	require.ErrorIs(t, s.underNewest(func(*certifiedState) error { panic("there is none") }), ErrNotCertified)
	seals.stable(certifiedOf(s.runner, 1))
	var asked []pbft.Height
	require.NoError(t, s.underNewest(func(c *certifiedState) error {
		asked = append(asked, c.bundle.Height())
		if c.bundle.Height() == 1 {
			seals.stable(certifiedOf(s.runner, 2))
			return fmt.Errorf("height 1: %w", store.ErrPruned)
		}
		return nil
	}))
	require.Equal(t, []pbft.Height{1, 2}, asked)
	for _, why := range []error{store.ErrPruned, store.ErrFuture, store.ErrNoProof} {
		err := s.underNewest(func(*certifiedState) error { return why })
		require.ErrorIs(t, err, ErrPruned)
		require.ErrorIs(t, err, why)
		require.Equal(t, pbft.Height(3), nextAfter(err))
	}
	other := errors.New("not for you")
	require.Equal(t, other, s.underNewest(func(*certifiedState) error { return other }))
}

// Where the state of the newest certified checkpoint is not to be had, reads and watches
// wait for the next one.
func TestWhatIsPrunedIsWaitedFor(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := fedBackend()
	s := startClientServer(t, c, b, nil)
	p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1)))
	var mu sync.Mutex
	newest, waited := pbft.Height(7), []pbft.Height(nil)
	b.await = func(_ context.Context, h pbft.Height) error {
		mu.Lock()
		defer mu.Unlock()
		waited = append(waited, h)
		newest = h
		return nil
	}
	proved := func() error {
		mu.Lock()
		defer mu.Unlock()
		if newest == 7 {
			return &unprovable{7, store.ErrPruned}
		}
		return nil
	}
	b.certified = func([]byte) (*receipt.State, error) {
		if err := proved(); err != nil {
			return nil, err
		}
		return nil, errors.New("the next one is asked")
	}
	b.links = func(context.Context, feed.Position, pbft.Height) (*changedBlocks, error) {
		if err := proved(); err != nil {
			return nil, err
		}
		return &changedBlocks{FeedAnswer: &store.FeedAnswer{State: store.FeedCompacted}, until: 8}, nil
	}
	_, err := p.Certified(testContext(t), &api.CertifiedRequest{Key: []byte("k")})
	require.ErrorContains(t, err, "the next one is asked")
	mu.Lock()
	newest = 7
	mu.Unlock()
	m, err := p.Watch(testContext(t), &api.WatchRequest{WaitMs: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, api.WatchState_WATCH_STATE_COMPACTED, m.State)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []pbft.Height{8, 8}, waited)
}
