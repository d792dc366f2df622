package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/kv"
)

// liveCluster is real servers in this process: gRPC over mutual TLS on loopback,
// Pebble in temporary folders.
type liveCluster struct {
	t       *testing.T
	roster  *roster.Roster
	keys    []*keyfile.Replica
	folders []string
	servers []*replica.Server
	first   [][2]net.Listener // holds the ports until the first start
	logger  *slog.Logger
}

func newLiveCluster(t *testing.T, n int) *liveCluster {
	c := &liveCluster{t: t, servers: make([]*replica.Server, n), logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	file := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "live", Nonce: crypto.Hash("chaos/live", []byte(t.Name())), Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: crypto.DefaultParameters(), Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	p := &file.Parameters
	p.Window, p.CheckpointEvery, p.LogMax = 8, 32, 128
	for i := range n {
		k, err := keyfile.GenerateReplica(rand.Reader)
		require.NoError(t, err)
		c.keys = append(c.keys, k)
		var ports [2]net.Listener
		for j := range ports {
			ports[j] = listenLow(t)
		}
		c.first = append(c.first, ports)
		pub := k.Public()
		file.Members = append(file.Members, crypto.Member{
			Name: fmt.Sprintf("r%d", i), Weight: 1, SigningKey: pub.Signing, TLSKey: pub.TLS, BLSKey: pub.BLS, BLSProof: pub.Proof,
			PeerAddress: ports[0].Addr().String(), ClientAddress: ports[1].Addr().String(),
		})
	}
	var err error
	c.roster, err = roster.New(file)
	require.NoError(t, err)
	for i := range n {
		c.folders = append(c.folders, filepath.Join(t.TempDir(), fmt.Sprint(i)))
		id, err := replica.IdentityOf(c.roster, c.keys[i].Public())
		require.NoError(t, err)
		require.NoError(t, replica.InitDataDir(c.folders[i], id))
		c.start(i)
	}
	return c
}

// listenLow listens below the ports that the system gives to outgoing connections, and
// where no other package's tests do: a server that is stopped must find its port again.
func listenLow(t testing.TB) net.Listener {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 8000+mrand.IntN(2000)))
		if err == nil {
			return l
		}
	}
	require.FailNow(t, "no free port")
	return nil
}

func (c *liveCluster) start(i int) {
	cfg := replica.Config{
		Roster: c.roster, Keys: c.keys[i], DataDir: c.folders[i], Machine: kv.New(kv.DefaultLimits()),
		Logger: c.logger, Reserve: -1, ChunkBytes: 1 << 10, Timeouts: pbft.DefaultTimeouts(),
	}
	cfg.PeerListener, cfg.ClientListener = c.first[i][0], c.first[i][1]
	c.first[i] = [2]net.Listener{}
	s, err := replica.Start(context.Background(), cfg)
	require.NoError(c.t, err, "replica %d does not start from its folder", i)
	require.False(c.t, s.Status().Follower, "replica %d takes its folder for lost", i)
	c.servers[i] = s
}

// kill stops a server without giving clients any time to leave. It is the nearest
// to a crash that can be had within one process.
func (c *liveCluster) kill(i int) {
	s := c.servers[i]
	c.servers[i] = nil
	at := s.Status().Committed
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); err != nil {
		require.ErrorIs(c.t, err, context.Canceled)
	}
	require.Empty(c.t, s.Status().Halted)
	require.NoError(c.t, s.Err())
	c.t.Logf("replica %d stopped at %d", i, at)
}

// liveClient submits operations on few keys until it is told to stop, and records
// what it saw.
type liveClient struct {
	id       int
	client   *client.Client
	history  *History
	began    time.Time
	finished *atomic.Int64
	recent   string
}

func (l *liveClient) run(stop <-chan struct{}) error {
	rng := mrand.New(mrand.NewPCG(uint64(l.id), 1))
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		op := Op{Kind: OpKind(rng.IntN(3)), Key: fmt.Sprintf("k%d", rng.IntN(10)), New: fmt.Sprintf("%d.%d", l.id, n), Old: l.recent}
		if err := l.do(op, 3*time.Second); err != nil {
			return err
		}
	}
}

// do submits one operation. Its error is a broken promise; an unknown outcome is
// none.
func (l *liveClient) do(op Op, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	i := l.history.Begin(l.id, op, int64(time.Since(l.began)))
	a, err := l.client.Do(ctx, op.Encode())
	var unknown *client.UnknownError
	if errors.As(err, &unknown) {
		// It can still be asked for.
		again, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if a, err = l.client.Outcome(again, unknown.Token); errors.Is(err, client.ErrOutcomeUnknown) {
			return nil
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, client.ErrNotSent), errors.Is(err, client.ErrOverloaded), errors.Is(err, client.ErrExpired):
		l.history.Never(i)
		return nil
	default:
		return fmt.Errorf("client %d, %v: %w", l.id, op, err)
	}
	out, err := op.Read(a.Result)
	if err != nil {
		return err
	}
	l.history.End(i, out, int64(time.Since(l.began)))
	l.finished.Add(1)
	if l.recent = out.Value; op.Kind == OpPut || out.Swapped {
		l.recent = op.New
	}
	return nil
}

// TestLiveServers runs real servers and clients while servers, the primary among
// them, stop and start, one at a time, two and all. What the clients saw must be
// linearizable.
func TestLiveServers(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	defer goleak.VerifyNone(t, leaks)
	c := newLiveCluster(t, 4)
	var history History
	var finished atomic.Int64
	began, stop, clients := time.Now(), make(chan struct{}), make([]*liveClient, 6)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	errs := make(chan error, len(clients))
	var group sync.WaitGroup
	for i := range clients {
		k, err := keyfile.GenerateClient(rand.Reader)
		require.NoError(t, err)
		cl, err := client.Dial(ctx, client.Config{
			Roster: c.roster, Key: k.Signing, Retry: 100 * time.Millisecond, MaxRetry: time.Second,
			BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
		})
		require.NoError(t, err)
		clients[i] = &liveClient{id: i, client: cl, history: &history, began: began, finished: &finished}
		group.Go(func() {
			if err := clients[i].run(stop); err != nil {
				errs <- err
			}
		})
	}
	// progress waits until the clients have seen more outcomes.
	progress := func(what string, n int64) {
		t.Helper()
		for target := finished.Load() + n; finished.Load() < target; {
			select {
			case <-ctx.Done():
				for i, s := range c.servers {
					if s != nil {
						text, err := s.Describe(context.Background())
						t.Logf("replica %d: %+v %v\n%s", i, s.Status(), err, text)
					}
				}
				require.FailNow(t, "no progress "+what)
			case err := <-errs:
				require.NoError(t, err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	progress("at the start", 20)
	rng := mrand.New(mrand.NewPCG(1, 2))
	rounds := 0
	for ; rounds == 0 || time.Since(began) < 6*time.Second; rounds++ {
		var victims []int
		switch rounds % 4 {
		case 0, 2: // the primary
			victims = []int{int(c.servers[rng.IntN(4)].Status().Primary)}
		case 1: // no quorum is left
			victims = rng.Perm(4)[:2]
		case 3: // all
			victims = rng.Perm(4)
			if rounds%8 == 3 {
				victims = victims[:1]
			}
		}
		for _, v := range victims {
			c.kill(v)
		}
		if len(victims) == 1 {
			progress(fmt.Sprintf("without replica %d", victims[0]), 20)
		}
		for _, v := range victims {
			c.start(v)
		}
		progress(fmt.Sprintf("after replicas %v came back", victims), 20)
	}
	close(stop)
	group.Wait()
	for _, l := range clients {
		require.NoError(t, l.do(Op{Kind: OpGet, Key: "k0"}, time.Minute))
		require.NoError(t, l.client.Close())
	}
	select {
	case err := <-errs:
		require.NoError(t, err)
	default:
	}
	for i := range c.servers {
		c.kill(i)
	}
	ops, unknown := history.Len()
	t.Logf("%d operations (%d with an unknown outcome), %d outcomes, %d rounds of stops in %v", ops, unknown, finished.Load(), rounds, time.Since(began).Round(time.Millisecond))
	require.NoError(t, history.Check(10*time.Second))
}
