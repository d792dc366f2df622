//go:build chaos

package chaos

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/store"
)

// processHost is a real server as a traitor sees it.
type processHost struct {
	s     replica.Strings
	began time.Time
}

func (h processHost) Now() time.Duration               { return time.Since(h.began) }
func (h processHost) Clock() pbft.Time                 { return h.s.Clock() }
func (h processHost) After(d time.Duration, do func()) { h.s.After(d, do) }
func (h processHost) Node() *replica.Node              { return h.s.Node() }
func (h processHost) Transmit(to pbft.ReplicaID, m pbft.Message, raw []byte) {
	h.s.Transmit(to, m, raw)
}

// muteReader takes every query of a client and answers none.
type muteReader struct{ api.UnimplementedParleyServer }

func (muteReader) Query(ctx context.Context, _ *api.QueryRequest) (*api.QueryResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// darkCluster is a cluster of real servers, with disks and connections, whose first
// primary is a traitor.
type darkCluster struct {
	roster  *roster.Roster
	servers []*replica.Server
	first   pbft.ReplicaID // the traitor
	traitor *Traitor
	dial    func(ctx context.Context, address string) (net.Conn, error)
}

// startDark starts n replicas. Those whose weight may be faulty are: the first primary
// plays the strategy and, with mute others, answers no query of a client.
func startDark(t *testing.T, n int, strategy string, mute int) *darkCluster {
	p := crypto.DefaultParameters()
	p.CheckpointEvery, p.LogMax = 16, 2*16+p.Window
	description := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "dark", Nonce: crypto.Hash("test", []byte(t.Name())), Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: p, Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	var keys []*keyfile.Replica
	var peers, clients []net.Listener
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	for i := range n {
		k, err := keyfile.GenerateReplica(rand.Reader)
		require.NoError(t, err)
		keys, peers, clients = append(keys, k), append(peers, listen()), append(clients, listen())
		description.Members = append(description.Members, k.Public().Member(fmt.Sprintf("r%d", i), peers[i].Addr().String(), clients[i].Addr().String()))
	}
	ros, err := roster.New(description)
	require.NoError(t, err)
	c := &darkCluster{roster: ros, first: pbft.NewSchedule(ros.Weights()).Primary(crypto.FirstEpoch, 0)}
	machine := func() statemachine.StateMachine {
		s, err := store.Open(context.Background(), store.DefaultConfig())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		m, err := kv.NewStored(s, kv.DefaultLimits())
		require.NoError(t, err)
		return m
	}
	timeouts := pbft.DefaultTimeouts()
	// Nobody is to be deposed because this machine is slow: the traitor stays primary.
	timeouts.Progress, timeouts.RequestAge = 60*timeouts.Progress, 60*timeouts.RequestAge
	doors := map[string]string{}
	for i := range n {
		dir := t.TempDir()
		id, err := replica.IdentityOf(ros, keys[i].Public())
		require.NoError(t, err)
		require.NoError(t, replica.InitDataDir(dir, id))
		cfg := replica.Config{
			Roster: ros, Keys: keys[i], DataDir: dir, Machine: machine(), Logger: slog.New(slog.DiscardHandler),
			PeerListener: peers[i], ClientListener: clients[i], Timeouts: timeouts,
		}
		var s *replica.Server
		if i == int(c.first) {
			s, err = replica.StartPuppet(t.Context(), cfg, func(p replica.Strings) replica.Puppeteer {
				c.traitor, err = NewTraitor(strategy, PuppetConfig{
					Core: p.Core, Schedule: pbft.NewSchedule(ros.Weights()), Verifier: p.Verifier, Keys: p.Keys, Tick: p.Tick,
					Machine: machine, Limits: p.Limits, Seed: 1, Host: processHost{p, time.Now()},
				})
				require.NoError(t, err)
				return c.traitor
			})
		} else {
			s, err = replica.Start(t.Context(), cfg)
		}
		require.NoError(t, err)
		c.servers = append(c.servers, s)
		t.Cleanup(func() { _ = s.Stop(context.Background()) })
	}
	for i := range mute + 1 {
		at := (int(c.first) + i) % n
		path := filepath.Join(t.TempDir(), "key.json")
		require.NoError(t, keys[at].Write(path))
		doors[clients[at].Addr().String()] = serveLiar(t, path, muteReader{})
	}
	c.dial = func(ctx context.Context, address string) (net.Conn, error) {
		if door, ok := doors[address]; ok {
			address = door
		}
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	return c
}

// TestReadsInTheDark: the primary, which lies, works with a quorum and keeps as many
// honest replicas in the dark as may be faulty, always the same or others after every
// checkpoint. It answers no reader, nor do the other faulty ones. Reads find their answers
// without the log nevertheless, and they are linearizable.
//
//	go test -tags chaos ./chaos -run InTheDark
func TestReadsInTheDark(t *testing.T) {
	const readers, writers, each = 4, 2, 60
	for _, c := range []struct {
		strategy string
		replicas int
		mute     int // beside the primary
	}{{"starve", 4, 0}, {"halfdark", 4, 0}, {"starve", 7, 1}, {"halfdark", 7, 1}} {
		t.Run(fmt.Sprintf("%s of %d", c.strategy, c.replicas), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			dark := startDark(t, c.replicas, c.strategy, c.mute)
			var h History
			var logged atomic.Int64
			start := time.Now()
			now := func() int64 { return int64(time.Since(start)) }
			var all sync.WaitGroup
			for who := range writers + readers {
				conn, err := client.Dial(ctx, client.Config{Roster: dark.roster, Key: ed25519.NewKeyFromSeed([32]byte{7, byte(who)}), Dial: dark.dial})
				require.NoError(t, err)
				defer func() { _ = conn.Close() }()
				all.Go(func() {
					for i := range each {
						op := Op{Kind: OpGet, Key: fmt.Sprint("k", i%3)}
						if who < writers {
							op.Kind, op.New = OpPut, fmt.Sprint(who, "/", i)
						}
						n := h.Begin(who, op, now())
						out, err := Outcome{}, error(nil)
						if op.Kind == OpPut {
							_, err = conn.Submit(ctx, op.Encode())
						} else {
							out, err = readOnce(ctx, conn, op)
						}
						if err != nil {
							t.Errorf("client %d, operation %d: %v", who, i, err)
							return
						}
						h.End(n, out, now())
					}
					logged.Add(int64(conn.Stats().ReadsLogged))
				})
			}
			all.Wait()
			took := time.Since(start)
			for i, s := range dark.servers {
				require.Zero(t, s.Status().View, "replica %d: the traitor was deposed, so this says nothing", i)
			}
			for _, s := range dark.servers {
				require.NoError(t, s.Stop(ctx))
			}
			left := dark.traitor.DeedsOf("left in the dark") // nobody leads it any more
			t.Logf("%d reads in %v, %d through the log; %d messages withheld", readers*each, took.Round(time.Millisecond), logged.Load(), left)
			require.NoError(t, h.Check(time.Minute))
			require.Greater(t, left, each, "the traitor kept nobody in the dark")
			require.LessOrEqual(t, logged.Load(), int64(readers*each/20), "reads went through the log")
		})
	}
}
