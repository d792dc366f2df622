package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

func TestClusterCommits(t *testing.T) {
	c := newTestCluster(t, 4, nil)
	c.startAll()
	for i := range 20 {
		r := c.submit(i%4, fmt.Sprintf("op %d", i))
		require.Equal(t, fmt.Sprint(i+1), string(r.Data))
	}
	c.eventually("all replicas have executed everything", func() bool {
		for _, m := range c.machines {
			if len(m.list()) != 20 {
				return false
			}
		}
		return true
	})
	for _, m := range c.machines[1:] {
		require.Equal(t, c.machines[0].list(), m.list())
	}
}

// agree waits until the named replicas have executed n operations, and compares.
func (c *testCluster) agree(n int, who ...int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d operations everywhere", n), func() bool {
		for _, i := range who {
			if len(c.machines[i].list()) < n {
				return false
			}
		}
		return true
	})
	for _, i := range who[1:] {
		require.Equal(c.t, c.machines[who[0]].list(), c.machines[i].list())
	}
}

func TestRestarts(t *testing.T) {
	c := newTestCluster(t, 4, nil)
	c.startAll()
	for i := range 10 {
		c.submit(0, fmt.Sprint("a", i))
	}
	// One at a time, the primary included; the others go on.
	for victim := range 4 {
		c.stop(victim)
		c.submit((victim+1)%4, fmt.Sprint("b", victim))
		c.start(victim)
	}
	c.agree(14, 0, 1, 2, 3)
	// All at once.
	c.stopAll()
	c.startAll()
	c.submit(2, "c")
	c.agree(15, 0, 1, 2, 3)
	require.Equal(t, "c", c.machines[3].list()[14])
}

func TestConcurrentSubmits(t *testing.T) {
	c := newTestCluster(t, 4, nil)
	c.startAll()
	const callers, each = 16, 8
	var wg sync.WaitGroup
	var failed atomic.Int32
	for k := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if _, err := c.servers[k%4].Submit(c.context(), fmt.Appendf(nil, "%d-%d", k, i)); err != nil {
					t.Error(err)
					failed.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	require.Zero(t, failed.Load())
	c.agree(callers*each, 0, 1, 2, 3)
	// Exactly once, and in the order of each caller.
	next := map[string]int{}
	for _, op := range c.machines[0].list() {
		caller, i, _ := strings.Cut(op, "-")
		require.Equal(t, fmt.Sprint(next[caller]), i)
		next[caller]++
	}
}

// leaveBehind has a replica that is stopped fall behind so far that it can get the state, and
// nothing else: it submits operations until no other replica has a block up to a height any more, each prunes at a
// time of its own, and restarts them, since links keep what was sent while a peer was away for a few seconds.
func (c *testCluster) leaveBehind(i int, h pbft.Height, op func(n int) string) {
	c.t.Helper()
	behind := func(s *Server) bool { return s != nil && s.Status().Oldest <= h }
	for n := 0; slices.ContainsFunc(c.servers, behind); n++ {
		c.submit((i+1+n%3)%4, op(n))
	}
	for k := range c.servers {
		c.stop(k)
	}
	for k := range c.servers {
		if k != i {
			c.start(k)
		}
	}
}

// A replica that was away for so long that the others have pruned what it needs
// transfers the state.
func TestStateTransfer(t *testing.T) {
	c := newTestCluster(t, 4, func(_ int, cfg *Config) { cfg.Retain = 1 })
	c.pad = 20 << 10
	c.startAll()
	c.submit(0, "first")
	c.agree(1, 0, 1, 2, 3)
	c.stop(3)
	c.leaveBehind(3, 40, func(n int) string { return fmt.Sprint(n) })
	n := c.submitted
	c.start(3)
	c.agree(n, 0, 3)
	require.NotZero(t, c.servers[3].published.Load().node.Transfers)
	c.submit(3, "last")
	c.agree(n+1, 0, 1, 2, 3)
	c.stop(3)
	c.start(3)
	c.agree(n+1, 0, 3)
}

// A replica that lost its disk comes back as a follower, with all of the state.
func TestWipedDisk(t *testing.T) {
	notShort(t)
	c := newTestCluster(t, 4, nil)
	c.startAll()
	for i := range 30 {
		c.submit(i%3, fmt.Sprint(i))
	}
	c.stop(3)
	require.NoError(t, os.RemoveAll(c.folder(3)))
	c.submit(0, "meanwhile")
	s := c.start(3)
	require.True(t, s.Status().Follower)
	c.agree(31, 0, 3)
	// A restart in between does not make a voter of it.
	c.stop(3)
	s = c.start(3)
	c.agree(31, 0, 3)
	// The planned rotation of the primary gives the vote back.
	for n := 0; s.Status().Follower; n++ {
		c.submit(n%3, fmt.Sprint("more ", n))
	}
}

// All local snapshots are damaged and the log does not reach back: the state is
// transferred, blocks above are replayed.
func TestDamagedSnapshots(t *testing.T) {
	notShort(t)
	c := newTestCluster(t, 4, func(_ int, cfg *Config) { cfg.Retain = 1 })
	c.startAll()
	for n := 0; c.servers[3].Status().Oldest < 20; n++ {
		c.submit(n%3, fmt.Sprint(n))
	}
	n := c.submitted
	c.agree(n, 0, 3)
	c.stop(3)
	files, err := filepath.Glob(filepath.Join(c.folder(3), snapshotDir, "*.snapshot"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		b[len(b)-1] ^= 1
		require.NoError(t, os.WriteFile(f, b, 0o600))
	}
	c.start(3)
	c.agree(n, 0, 3)
	c.submit(3, "last")
	c.agree(n+1, 0, 1, 2, 3)
}

// A replica whose application is not deterministic finds that out, and says so. Its state is
// repaired by a whole snapshot, since it has no parts, and it is back.
func TestNonDeterministicApplication(t *testing.T) {
	c := newTestCluster(t, 4, nil)
	c.startAll()
	for i := range 3 {
		c.submit(i, fmt.Sprint(i))
	}
	c.eventually("a stable checkpoint", func() bool { return c.servers[2].Status().Stable > 0 })
	c.machines[2].lie.Store(true)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(0, fmt.Sprint("more ", n))
	}
	for n := 0; c.servers[2].Doctor().Cases[0].Healed == nil; n++ {
		require.NoError(t, c.servers[2].Err())
		c.submit(n%2, fmt.Sprint("yet more ", n))
	}
	c.agree(c.submitted, 0, 1, 2, 3)
	found := c.servers[2].Doctor().Cases
	require.Len(t, found, 1)
	require.Contains(t, found[0].Reason, "not deterministic")
	require.Equal(t, []string{"application"}, found[0].Parts)
	require.Contains(t, found[0].Note, "no parts")
	require.True(t, found[0].Repairs[0].Whole)
	c.submit(2, "back")
}

func TestDiskFullStopsCleanly(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 30)
	c := newTestCluster(t, 4, func(i int, cfg *Config) {
		if i == 1 {
			cfg.Reserve = 1 << 20
			cfg.freeSpace = func(string) (uint64, error) { return free.Load(), nil }
		}
	})
	c.startAll()
	c.submit(1, "a")
	free.Store(1000)
	c.submit(0, "b")
	<-c.servers[1].Failed()
	require.ErrorIs(t, c.servers[1].Err(), ErrDiskFull)
	_, err := c.servers[1].Submit(c.context(), []byte("c"))
	require.ErrorIs(t, err, ErrStopped)
	c.submit(2, "the others go on")
	c.stop(1)
	free.Store(1 << 30)
	c.start(1)
	c.agree(3, 0, 1, 2, 3)
}

func TestStartRefusals(t *testing.T) {
	c := newTestCluster(t, 4, nil)
	c.start(0)
	cfg := c.config(0)
	cfg.Machine = &journal{}
	cfg.Listen = "127.0.0.1:0"
	_, err := Start(context.Background(), cfg)
	require.ErrorIs(t, err, ErrLocked)
	cfg.DataDir = c.folder(1)
	_, err = Start(context.Background(), cfg)
	require.ErrorIs(t, err, ErrIdentity)
	cfg.Machine = nil
	_, err = Start(context.Background(), cfg)
	require.ErrorIs(t, err, ErrConfig)
	_ = cfg.ClientListener.Close()
}

func TestAdmin(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := newTestCluster(t, 4, func(i int, cfg *Config) {
		if i == 0 {
			cfg.AdminListener = l
		}
	})
	c.startAll()
	c.submit(0, "a")
	get := func(path string) string {
		r, err := http.Get("http://" + l.Addr().String() + path)
		require.NoError(t, err)
		defer func() { _ = r.Body.Close() }()
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return string(b)
	}
	defer http.DefaultClient.CloseIdleConnections()
	require.Equal(t, "ok\n", get("/healthz"))
	require.Contains(t, get("/status"), `"name": "r0"`)
	c.eventually("the view, which changes where starting takes long", func() bool {
		return strings.Contains(get("/metrics"), fmt.Sprintf("parley_view %d\n", c.servers[0].Status().View))
	})
	metrics := get("/metrics")
	for _, name := range []string{"parley_executed_operations_total 1", "parley_log_sync_seconds_count", `parley_peer_connected{peer="3"}`,
		"parley_client_sessions 0", `parley_peer_connections_refused_total{reason="identity"} 0`, `parley_client_connections_refused_total{reason="rate"} 0`, `parley_client_events_total{event="request"} 0`} {
		require.Contains(t, metrics, name)
	}
	require.NotEmpty(t, get("/debug/core"))
}

func TestReceiptParts(t *testing.T) {
	c := newTestCluster(t, 4, nil)
	c.startAll()
	sub, err := c.servers[0].local.begin(c.context(), [][]byte{[]byte("x"), []byte("y")})
	require.NoError(t, err)
	c.servers[0].Offer([]*pbft.Request{sub.request})
	r := <-sub.reply
	require.Equal(t, statemachine.Executed, r.Status)
	results, h := r.Results, pbft.Height(r.Height)
	require.Len(t, results, 2)
	for op := range 2 {
		var p *receiptParts
		c.eventually("a receipt", func() bool {
			p, err = c.servers[0].ReceiptAt(c.context(), h, r.Request, op)
			if errors.Is(err, ErrNotCertified) {
				return false
			}
			require.NoError(t, err)
			return true
		})
		require.Equal(t, results[op].Data, p.Leaf.Result)
		require.EqualValues(t, results[op].Code, p.Leaf.Code)
		require.True(t, receipttree.Verify(p.Certificate.Results, p.Leaf.Digest(), p.Index, p.Count, p.Path))
		require.Equal(t, sub.request.Digest(), p.Body.Digest())
		require.Equal(t, []byte{"xy"[op]}, p.Body.Ops[p.Leaf.Index])
	}
	_, err = c.servers[0].ReceiptAt(c.context(), h, r.Request, 2)
	require.ErrorIs(t, err, ErrNoSuchResult)
	_, err = c.servers[0].ReceiptAt(c.context(), h, pbft.Digest{1}, 0)
	require.ErrorIs(t, err, ErrNoSuchResult)
	_, err = c.servers[0].ReceiptAt(c.context(), h+1000, r.Request, 0)
	require.ErrorIs(t, err, ErrNotCertified)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
