package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// readLiar answers queries in a replica's name: with the first answer that it ever gave
// to each, at heights that it makes up.
type readLiar struct {
	api.UnimplementedParleyServer
	real *replica.Server

	mu    sync.Mutex
	stale map[string][]byte
}

func (l *readLiar) Query(ctx context.Context, q *api.QueryRequest) (*api.QueryResponse, error) {
	answer, height, err := l.real.Query(ctx, q.Query)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.stale[string(q.Query)]; old != nil {
		answer = old
	} else {
		l.stale[string(q.Query)] = answer
	}
	claims := [...]uint64{0, uint64(height) / 2, uint64(height), uint64(height) + 2, 1 << 60}
	return &api.QueryResponse{Answer: answer, Height: max(q.Height, 1<<50), Prepared: &claims[rand.IntN(len(claims))], Epoch: crypto.FirstEpoch}, nil
}

// TestReadsAreLinearizable: on a real cluster, with a replica that lies to readers, and
// then with one that is stopped, the primary.
func TestReadsAreLinearizable(t *testing.T) {
	for _, fault := range []string{"liar", "stopped"} {
		t.Run(fault, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			dir := t.TempDir()
			local, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, NewMachine: func() statemachine.StateMachine {
				return kv.New(kv.DefaultLimits())
			}})
			require.NoError(t, err)
			defer func() { require.NoError(t, local.Close()) }()
			dial := func(ctx context.Context, address string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", address)
			}
			if fault == "liar" {
				door := serveLiar(t, filepath.Join(dir, "replica-3", "key.json"), &readLiar{real: local.Servers[3], stale: make(map[string][]byte)})
				honest := dial
				dial = func(ctx context.Context, address string) (net.Conn, error) {
					if address == local.Roster.Member(3).ClientAddress {
						address = door
					}
					return honest(ctx, address)
				}
			}
			var h History
			var logged, read atomic.Int64
			start := time.Now()
			now := func() int64 { return int64(time.Since(start)) }
			var all sync.WaitGroup
			for who := range 6 {
				c, err := client.Dial(ctx, client.Config{Roster: local.Roster, Key: ed25519.NewKeyFromSeed([32]byte{7, byte(who)}), Dial: dial})
				require.NoError(t, err)
				defer func() { _ = c.Close() }()
				all.Go(func() {
					for i := range 100 {
						op := Op{Kind: OpGet, Key: fmt.Sprint("k", i%3)}
						if who < 2 {
							op.Kind, op.New = OpPut, fmt.Sprint(who, "/", i)
						}
						if fault == "stopped" && who == 0 && i == 30 {
							_ = local.Servers[0].Stop(ctx)
						}
						n := h.Begin(who, op, now())
						out, err := Outcome{}, error(nil)
						if op.Kind == OpPut {
							_, err = c.Submit(ctx, op.Encode())
						} else {
							out, err = readOnce(ctx, c, op)
							read.Add(1)
						}
						if err != nil {
							t.Errorf("client %d: %v", who, err)
							return
						}
						h.End(n, out, now())
					}
					logged.Add(int64(c.Stats().ReadsLogged))
				})
			}
			all.Wait()
			require.NoError(t, h.Check(time.Minute))
			t.Logf("%d reads, %d through the log", read.Load(), logged.Load())
			require.Less(t, logged.Load(), read.Load()/2, "nearly all reads do without the log")
		})
	}
}

func readOnce(ctx context.Context, c *client.Client, op Op) (Outcome, error) {
	a, err := c.Read(ctx, op.Encode(), op.Encode())
	switch {
	case err != nil:
		return Outcome{}, err
	case a.Logged != nil:
		return op.Read(*a.Logged)
	}
	r, err := kv.DecodeAnswer(a.Data)
	if err == nil {
		err = r.Err()
	}
	return Outcome{Found: r.Found, Value: string(r.KV.Value)}, err
}

// serveLiar answers under the key of a replica.
func serveLiar(t *testing.T, key string, liar api.ParleyServer) (address string) {
	keys, err := keyfile.LoadReplica(key)
	require.NoError(t, err)
	certificate, err := tlsid.Certificate(keys.TLS)
	require.NoError(t, err)
	door, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(tlsid.ServerConfig(certificate, func(crypto.PublicKey) error { return nil }))))
	api.RegisterParleyServer(s, liar)
	served := make(chan error, 1)
	go func() { served <- s.Serve(door) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return door.Addr().String()
}
