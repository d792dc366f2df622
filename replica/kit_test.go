package replica

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine"
)

// journal is an application that appends every operation to a list and answers
// with its position.
type journal struct {
	mu     sync.Mutex
	ops    []string
	digest crypto.Digest
	pad    int         // bytes of padding in a snapshot, for snapshots of many chunks
	lie    atomic.Bool // about the next digest
	// refuses, if not nil, is why nothing can be restored.
	refuses error
}

func (j *journal) Apply(b statemachine.Block) []statemachine.Result {
	j.mu.Lock()
	defer j.mu.Unlock()
	results := make([]statemachine.Result, len(b.Ops))
	for i, op := range b.Ops {
		j.ops = append(j.ops, string(op.Data))
		j.digest = crypto.Hash("journal", j.digest[:], op.Data)
		results[i] = statemachine.OK(fmt.Appendf(nil, "%d", len(j.ops)))
	}
	return results
}

func (j *journal) Digest() crypto.Digest {
	if j.lie.CompareAndSwap(true, false) {
		return crypto.Hash("lie", j.digest[:])
	}
	return j.digest
}

func (j *journal) Snapshot() (statemachine.Snapshot, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &journalSnapshot{ops: append([]string(nil), j.ops...), pad: j.pad}, nil
}

func (j *journal) Restore(r io.Reader) error {
	if j.refuses != nil {
		return j.refuses
	}
	in := bufio.NewReader(r)
	var n, size uint32
	if err := binary.Read(in, binary.BigEndian, &n); err != nil {
		return err
	}
	var ops []string
	var digest crypto.Digest
	for range n {
		if err := binary.Read(in, binary.BigEndian, &size); err != nil {
			return err
		}
		if size > 1<<20 {
			return fmt.Errorf("operation of %d bytes", size)
		}
		op := make([]byte, size)
		if _, err := io.ReadFull(in, op); err != nil {
			return err
		}
		ops = append(ops, string(op))
		digest = crypto.Hash("journal", digest[:], op)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops, j.digest = ops, digest
	return nil
}

// rot changes the state as a disk or a cosmic ray may: the last operation is another one.
func (j *journal) rot() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops[len(j.ops)-1] = "rotten"
	j.digest = crypto.Digest{}
	for _, op := range j.ops {
		j.digest = crypto.Hash("journal", j.digest[:], []byte(op))
	}
}

func (j *journal) Query(context.Context, []byte) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return fmt.Appendf(nil, "%d", len(j.ops)), nil
}

func (j *journal) list() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.ops...)
}

type journalSnapshot struct {
	ops []string
	pad int
}

func (s *journalSnapshot) WriteTo(w io.Writer) (int64, error) {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(s.ops)))
	for _, op := range s.ops {
		b = binary.BigEndian.AppendUint32(b, uint32(len(op)))
		b = append(b, op...)
	}
	// Incompressible, and equal on all replicas.
	block := sha256.Sum256([]byte("padding"))
	for i := 0; i < s.pad; i += len(block) {
		block = sha256.Sum256(block[:])
		b = append(b, block[:]...)
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (s *journalSnapshot) Close() error { return nil }

// testSeed makes keys that are the same in every run.
type testSeed struct{ r *rand.ChaCha8 }

func (s testSeed) Read(p []byte) (int, error) { return s.r.Read(p) }

var (
	testKeysOnce sync.Once
	testKeys     []*keyfile.Replica
)

func keysFor(t testing.TB, n int) []*keyfile.Replica {
	testKeysOnce.Do(func() {
		for i := range 7 {
			k, err := keyfile.GenerateReplica(testSeed{rand.NewChaCha8(sha256.Sum256([]byte{byte(i)}))})
			require.NoError(t, err)
			testKeys = append(testKeys, k)
		}
	})
	return testKeys[:n]
}

// testParameters make checkpoints and everything that follows from them frequent.
func testParameters() crypto.Parameters {
	p := crypto.DefaultParameters()
	p.Window = 8
	p.CheckpointEvery = 16
	p.LogMax = 64
	p.MinCheckpointGap = crypto.Duration(2 * time.Millisecond)
	return p
}

func clusterFor(t testing.TB, keys []*keyfile.Replica, p crypto.Parameters, addresses func(i int) (peer, client string)) *roster.Roster {
	c := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "test", Nonce: crypto.Hash("test", []byte(t.Name())), Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: p, Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	for i, k := range keys {
		pub := k.Public()
		m := crypto.Member{Name: fmt.Sprintf("r%d", i), Weight: 1, SigningKey: pub.Signing, TLSKey: pub.TLS, BLSKey: pub.BLS, BLSProof: pub.Proof}
		m.PeerAddress, m.ClientAddress = addresses(i)
		c.Members = append(c.Members, m)
	}
	r, err := roster.New(c)
	require.NoError(t, err)
	return r
}

// testCluster is servers on loopback in one process.
type testCluster struct {
	t         testing.TB
	keys      []*keyfile.Replica
	roster    *roster.Roster
	dir       string
	listeners []net.Listener
	servers   []*Server
	machines  []*journal
	logger    *slog.Logger
	edit      func(i int, c *Config)
	pad       int
	submitted int // operations by submit
}

// notShort leaves a test out of the runs under the race detector, for which it is too
// dear: others that are left do the same things at the same time.
func notShort(t *testing.T) {
	if testing.Short() {
		t.Skip("make test runs it, and the race detector has others like it")
	}
}

func newTestCluster(t testing.TB, n int, edit func(i int, c *Config)) *testCluster {
	c := &testCluster{
		t: t, keys: keysFor(t, n), dir: t.TempDir(), edit: edit,
		listeners: make([]net.Listener, n), servers: make([]*Server, n), machines: make([]*journal, n),
	}
	level := slog.LevelError + 1
	if os.Getenv("PARLEY_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	c.logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	for i := range n {
		c.listeners[i] = listenLow(t)
	}
	c.roster = clusterFor(t, c.keys, testParameters(), func(i int) (string, string) {
		return c.listeners[i].Addr().String(), fmt.Sprintf("127.0.0.1:%d", 1+i)
	})
	for i := range n {
		id, err := IdentityOf(c.roster, c.keys[i].Public())
		require.NoError(t, err)
		require.NoError(t, InitDataDir(c.folder(i), id))
	}
	t.Cleanup(c.stopAll)
	return c
}

func (c *testCluster) folder(i int) string { return filepath.Join(c.dir, fmt.Sprint(i)) }

func (c *testCluster) config(i int) Config {
	cfg := Config{
		Roster: c.roster, Keys: c.keys[i], DataDir: c.folder(i), Machine: c.machines[i],
		Logger: c.logger, Reserve: -1, ChunkBytes: 1 << 10, Tick: 5 * time.Millisecond, Retain: 16,
		PeerListener: c.listeners[i],
	}
	c.listeners[i] = nil
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(c.t, err)
	cfg.ClientListener = clients
	if cfg.PeerListener == nil {
		cfg.Listen = c.roster.Member(crypto.ReplicaID(i)).PeerAddress
	}
	if c.edit != nil {
		c.edit(i, &cfg)
	}
	return cfg
}

func (c *testCluster) start(i int) *Server {
	c.machines[i] = &journal{pad: c.pad}
	s, err := Start(context.Background(), c.config(i))
	require.NoError(c.t, err)
	c.servers[i] = s
	return s
}

func (c *testCluster) startAll() {
	for i := range c.servers {
		c.start(i)
	}
}

func (c *testCluster) stop(i int) {
	if s := c.servers[i]; s != nil {
		c.servers[i] = nil
		require.NoError(c.t, s.Stop(context.Background()))
	}
}

func (c *testCluster) stopAll() {
	for i := range c.servers {
		c.stop(i)
	}
	for i, l := range c.listeners {
		if l != nil {
			_ = l.Close()
			c.listeners[i] = nil
		}
	}
}

// patience is how long a test waits for what must come: as long as the whole run may
// take, less what it takes to say what was missing. How long things take under load is
// none of its business.
func (c *testCluster) patience() time.Duration {
	if t, ok := c.t.(interface{ Deadline() (time.Time, bool) }); ok {
		if at, set := t.Deadline(); set {
			return max(time.Until(at)-20*time.Second, 10*time.Second)
		}
	}
	return 10 * time.Minute
}

func (c *testCluster) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), c.patience())
	c.t.Cleanup(cancel)
	return ctx
}

// submit proposes through replica i and waits.
func (c *testCluster) submit(i int, op string) statemachine.Result {
	c.t.Helper()
	r, err := c.servers[i].Submit(c.context(), []byte(op))
	if err != nil {
		c.describe()
	}
	require.NoError(c.t, err)
	c.submitted++
	return r
}

// eventually waits for a condition that another goroutine brings about and nothing
// signals. It is asked on this goroutine.
func (c *testCluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	enough := time.NewTimer(c.patience())
	defer enough.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-enough.C:
			c.describe()
			require.FailNow(c.t, "timed out waiting for: "+what)
		}
	}
}

// describe logs where the replicas are.
func (c *testCluster) describe() {
	for i, s := range c.servers {
		if s != nil {
			text, _ := s.Describe(context.Background())
			c.t.Logf("replica %d: %+v\n%s", i, s.Status(), text)
		}
	}
}

// fewer is how often a test repeats what is of chance: with -short, as under the race detector, to which it looks
// the same each time, a sixth of n times.
func fewer(n int) int {
	if testing.Short() {
		return n / 6
	}
	return n
}

func testNow() time.Time { return time.Unix(1700000000, 0) }

// listenLow listens below the ports that the system gives to outgoing connections, and
// where no other package's tests do: while a replica is stopped, neither one of its peers'
// connections nor a cluster of another package must take its port.
func listenLow(t testing.TB) net.Listener {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(2000)))
		if err == nil {
			return l
		}
	}
	require.FailNow(t, "no free port")
	return nil
}
