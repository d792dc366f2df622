package replica

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/symbolic"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// simCluster is simulated replicas and the messages between them.
type simCluster struct {
	starts  uint64 // of replicas, in all
	t       testing.TB
	n       int
	world   *symbolic.World
	quorums *pbft.QuorumSystem
	cluster pbft.Digest
	core    pbft.Config
	limits  statemachine.Limits
	disks   []simDisk
	sims    []*Sim
	apps    []*journal
	now     time.Time
	mail    []simMail
	rand    *rand.Rand
	// tamper may change or swallow (nil) what is sent.
	tamper func(m simMail) []byte
	// stuck, if not nil, tells which work is not done.
	stuck func(i int, w Work) bool
	// refused, if not nil, hears of requests that a pool did not take or keep.
	refused func(r *pbft.Request, why pbft.Drop)
	blocks  map[pbft.Height]pbft.Digest // executed anywhere
	client  crypto.KeySigner
	seq     uint64
	asked   map[string]bool
	pad     int
}

type simDisk struct {
	store *MemoryStore
	snaps *MemorySnapshots
	voter bool
}

type simMail struct {
	from, to pbft.ReplicaID
	raw      []byte
}

func newSimCluster(t testing.TB, n int, seed uint64) *simCluster {
	world := symbolic.NewWorld(seed)
	weights := make([]uint64, n)
	for i := range weights {
		weights[i] = 1
	}
	quorums, err := pbft.NewQuorumSystem(weights)
	require.NoError(t, err)
	c := &simCluster{
		t: t, n: n, world: world, quorums: quorums, cluster: crypto.Hash("sim"), now: testNow(),
		disks: make([]simDisk, n), sims: make([]*Sim, n), apps: make([]*journal, n),
		rand: rand.New(rand.NewPCG(seed, 1)), blocks: map[pbft.Height]pbft.Digest{}, client: world.Client(1), asked: map[string]bool{},
	}
	c.limits = statemachine.DefaultLimits()
	timeouts := pbft.DefaultTimeouts()
	timeouts.RotateEvery = 1
	c.core = pbft.Config{
		Cluster: c.cluster, Epoch: 1, Quorums: quorums, Start: pbft.StartBlock(c.cluster, 1),
		Window: 4, CheckpointEvery: 8, LogMax: 24, Retain: 2, MaxBlockBytes: 4096, MaxBlockRequests: 2,
		MaxOperationBytes: 1024, MinCheckpointGap: 20 * time.Millisecond, MaxAhead: time.Second,
		MaxPoolBytes: 1 << 16, MaxPoolPerClient: 64, Timeouts: timeouts,
	}
	for i := range n {
		c.disks[i] = simDisk{NewMemoryStore(), NewMemorySnapshots(1 << 10), true}
	}
	return c
}

func (c *simCluster) verifier(self pbft.ReplicaID) *pbft.Verifier {
	scheme, err := c.world.Scheme(c.n, false)
	require.NoError(c.t, err)
	lazy, err := c.world.Scheme(c.n, true)
	require.NoError(c.t, err)
	keys := make([]crypto.PublicKey, c.n)
	for i := range keys {
		keys[i] = c.world.Client(uint64(1000 + i)).Public()
	}
	return pbft.NewVerifier(pbft.VerifierConfig{
		Self: self, Cluster: c.cluster, Epoch: 1, Start: c.core.Start.Ref(), Quorums: c.quorums,
		Schedule: pbft.NewSchedule(c.quorums.Weights()), Votes: scheme, Checkpoints: lazy, SigningKeys: keys, Requests: c.world,
		Limits: pbft.Limits{MaxBlockBytes: c.core.MaxBlockBytes, MaxBlockRequests: c.core.MaxBlockRequests, MaxOperationBytes: c.core.MaxOperationBytes, Window: c.core.Window},
	})
}

func (c *simCluster) start(i int) {
	s, err := NewSim(c.simConfig(i))
	require.NoError(c.t, err)
	c.sims[i] = s
	s.Start(pbft.TimeOf(c.now))
}

func (c *simCluster) simConfig(i int) SimConfig {
	id := pbft.ReplicaID(i)
	c.apps[i] = &journal{pad: c.pad}
	core := c.core
	core.Self = id
	c.starts++
	core.Incarnation = c.starts
	return SimConfig{
		Core: core, Verifier: c.verifier(id), Limits: c.limits, Machine: c.apps[i],
		Keys:  pbft.Keys{Self: id, Signing: c.world.Client(uint64(1000 + i)), Votes: c.world.Signer(id), Checkpoints: c.world.Signer(id)},
		Store: c.disks[i].store, Snapshots: c.disks[i].snaps, Voter: c.disks[i].voter,
		Transfer: TransferConfig{Deadline: 20, Pause: 5},
		Send:     func(to pbft.ReplicaID, raw []byte) { c.mail = append(c.mail, simMail{id, to, raw}) },
		Executed: func(b *pbft.Block, _ []statemachine.Reply) { c.executed(i, b) },
		Refused:  c.refused,
		Alarm: func(a pbft.Alarm) {
			require.FailNow(c.t, "alarm", "replica %d: %s", i, a.Reason)
		},
	}
}

// crash loses what was not synced; with wipe, everything.
func (c *simCluster) crash(i int, wipe bool) {
	c.sims[i] = nil
	c.disks[i].store.Crash()
	if wipe {
		c.disks[i] = simDisk{NewMemoryStore(), NewMemorySnapshots(1 << 10), false}
	}
}

// executed checks agreement: nobody executes another block at a height.
func (c *simCluster) executed(i int, b *pbft.Block) {
	if d, ok := c.blocks[b.Height]; ok {
		require.Equal(c.t, d, b.Digest(), "replica %d executes another block at height %d", i, b.Height)
	}
	c.blocks[b.Height] = b.Digest()
}

func (c *simCluster) request(op string) *pbft.Request {
	c.seq++
	c.asked[op] = true
	r := pbft.NewRequest(c.client.Public(), c.seq, max(c.seq, 32)-31, pbft.TimeOf(c.now.Add(5*time.Minute)), [][]byte{[]byte(op)})
	d := r.Digest()
	sig, _ := crypto.SignatureOf(c.client.Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: c.cluster}, d[:]))
	return r.WithSignature(sig)
}

func (c *simCluster) deliver(k int) {
	m := c.mail[k]
	c.mail = append(c.mail[:k], c.mail[k+1:]...)
	if c.tamper != nil {
		if m.raw = c.tamper(m); m.raw == nil {
			return
		}
	}
	if s := c.sims[m.to]; s != nil {
		s.Receive(m.from, m.raw)
	}
}

// round delivers and works until nothing is left, then lets a tick pass.
func (c *simCluster) round() {
	for busy := true; busy; {
		busy = false
		for len(c.mail) > 0 {
			c.deliver(0)
			busy = true
		}
		for i, s := range c.sims {
			if s != nil {
				for w := range Works {
					for (c.stuck == nil || !c.stuck(i, w)) && s.Do(w) {
						busy = true
					}
				}
				require.NoError(c.t, s.Err())
			}
		}
	}
	c.tick()
}

func (c *simCluster) tick() {
	c.now = c.now.Add(10 * time.Millisecond)
	for _, s := range c.sims {
		if s != nil {
			s.Tick(pbft.TimeOf(c.now))
		}
	}
}

func (c *simCluster) until(what string, rounds int, ok func() bool) {
	c.t.Helper()
	for range rounds {
		if ok() {
			return
		}
		c.round()
	}
	for i, s := range c.sims {
		if s != nil {
			h, got, total := s.Node().Transfer()
			c.t.Logf("replica %d: transfer %d %d/%d pending %v\n%s", i, h, got, total, s.runner.pending, s.Node().Core().Describe())
		}
	}
	require.FailNow(c.t, "not within so many ticks: "+what)
}

// put has an operation executed by all replicas that run.
func (c *simCluster) offer(op string) {
	r := c.request(op)
	for _, s := range c.sims {
		if s != nil {
			s.Offer([]*pbft.Request{r})
		}
	}
}

func (c *simCluster) put(op string) {
	c.t.Helper()
	c.offer(op)
	c.until(op+" is executed", 2000, func() bool { return c.everywhere(op) })
}

func (c *simCluster) everywhere(op string) bool {
	for i, s := range c.sims {
		if s == nil {
			continue
		}
		ops := c.apps[i].list()
		found := false
		for k := len(ops) - 1; k >= 0 && !found; k-- {
			found = ops[k] == op
		}
		if !found {
			return false
		}
	}
	return true
}

func (c *simCluster) startAll() {
	for i := range c.n {
		c.start(i)
	}
}

func TestSimCommits(t *testing.T) {
	c := newSimCluster(t, 4, 1)
	c.startAll()
	for i := range 30 {
		c.put(fmt.Sprint(i))
	}
	for _, a := range c.apps {
		require.Equal(t, c.apps[0].list(), a.list())
	}
	require.GreaterOrEqual(t, c.sims[0].Node().Core().Stable(), pbft.Height(24))
	require.LessOrEqual(t, len(c.disks[0].snaps.Heights()), keepSnapshots+1, "old snapshots go")
}

// The same seed gives the same run.
func TestSimIsDeterministic(t *testing.T) {
	run := func() (trace crypto.Digest) {
		c := newSimCluster(t, 4, 7)
		c.tamper = func(m simMail) []byte {
			trace = crypto.Hash("trace", trace[:], []byte{byte(m.from), byte(m.to)}, m.raw)
			return m.raw
		}
		c.startAll()
		for i := range 20 {
			if i == 10 {
				c.crash(1, false)
				c.start(1)
			}
			c.put(fmt.Sprint(i))
		}
		return trace
	}
	require.Equal(t, run(), run())
}

func TestSimRestartOfAll(t *testing.T) {
	c := newSimCluster(t, 4, 2)
	c.startAll()
	for round := range 4 {
		for i := range 7 {
			c.put(fmt.Sprint(round, i))
		}
		for i := range 4 {
			c.crash(i, false)
		}
		c.mail = nil
		c.startAll()
	}
	c.put("last")
	require.Len(t, c.apps[0].list(), 29)
}

// behind runs the others until replica 3 needs a state transfer.
func (c *simCluster) behind() {
	c.startAll()
	c.put("first")
	c.crash(3, false)
	for i := 0; c.sims[0].Node().Core().Oldest() < 12; i++ {
		c.put(fmt.Sprint("while away ", i))
	}
}

func TestSimStateTransfer(t *testing.T) {
	c := newSimCluster(t, 4, 3)
	c.pad = 8 << 10
	c.behind()
	c.start(3)
	c.until("the state is there", 3000, func() bool { return len(c.apps[3].list()) >= len(c.apps[0].list()) })
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
	require.NotZero(t, c.sims[3].Node().Counters().Transfers)
	c.put("after")
	c.crash(3, false)
	c.start(3)
	c.put("after a restart")
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
}

// A traitor that serves wrong manifests and wrong chunks delays the transfer by
// one chunk at most, is asked last from then on, and nothing of it is installed.
func TestSimPoisonedChunks(t *testing.T) {
	c := newSimCluster(t, 4, 4)
	c.pad = 8 << 10
	c.behind()
	asked := 0
	c.tamper = func(m simMail) []byte {
		_, msg, err := pbft.Decode(m.raw)
		require.NoError(t, err)
		switch msg := msg.(type) {
		case *pbft.GetChunk:
			if m.to == 1 {
				asked++
			}
		case *pbft.Chunk:
			if m.from == 1 && len(msg.Data) > 0 {
				bad := append([]byte(nil), msg.Data...)
				bad[0] ^= 1
				return pbft.Encode(1, &pbft.Chunk{Height: msg.Height, Index: msg.Index, Data: bad})
			}
		case *pbft.Manifest:
			if m.from == 2 && len(msg.Data) > 0 {
				bad := append([]byte(nil), msg.Data...)
				bad[40] ^= 1
				return pbft.Encode(1, &pbft.Manifest{Height: msg.Height, Data: bad})
			}
		}
		return m.raw
	}
	c.start(3)
	c.until("the state is there", 3000, func() bool { return len(c.apps[3].list()) >= len(c.apps[0].list()) })
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
	counters := c.sims[3].Node().Counters()
	require.NotZero(t, counters.PoisonedChunks)
	require.LessOrEqual(t, asked, 2, "a peer that poisoned is not asked again while others can be")
}

// A transfer goes on after a restart where it was.
func TestSimTransferResumes(t *testing.T) {
	c := newSimCluster(t, 4, 5)
	c.pad = 16 << 10
	c.behind()
	sent := map[uint32]int{}
	c.tamper = func(m simMail) []byte {
		_, msg, err := pbft.Decode(m.raw)
		require.NoError(t, err)
		if chunk, ok := msg.(*pbft.Chunk); ok {
			if len(sent) >= 6 && sent[chunk.Index] == 0 && c.disks[3].voter {
				return nil // the link is cut after six chunks
			}
			sent[chunk.Index]++
		}
		return m.raw
	}
	c.start(3)
	c.until("part of the chunks", 500, func() bool { _, got, _ := c.sims[3].Node().Transfer(); return got >= 6 })
	c.crash(3, false)
	c.disks[3].voter = false // lets the rest through; the store is not empty
	c.start(3)
	c.until("the state is there", 3000, func() bool { return len(c.apps[3].list()) >= len(c.apps[0].list()) })
	again := 0
	for _, n := range sent {
		if n > 1 {
			again++
		}
	}
	require.LessOrEqual(t, again, 2, "chunks that were there are not fetched again")
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
}

// A peer that keeps silent costs a deadline and no more.
func TestSimSilentPeers(t *testing.T) {
	c := newSimCluster(t, 4, 6)
	c.pad = 4 << 10
	c.behind()
	c.tamper = func(m simMail) []byte {
		_, msg, _ := pbft.Decode(m.raw)
		switch msg.(type) {
		case *pbft.Chunk, *pbft.Manifest:
			if m.from != 0 {
				return nil
			}
		}
		return m.raw
	}
	c.start(3)
	c.until("the state is there", 3000, func() bool { return len(c.apps[3].list()) >= len(c.apps[0].list()) })
	require.NotZero(t, c.sims[3].Node().Counters().ChunkTimeouts)
}

func TestSimDamagedSnapshots(t *testing.T) {
	c := newSimCluster(t, 4, 8)
	c.startAll()
	for i := 0; c.sims[3].Node().Core().Oldest() < 12; i++ {
		c.put(fmt.Sprint(i))
	}
	c.crash(3, false)
	for _, h := range c.disks[3].snaps.Heights() {
		require.True(t, c.disks[3].snaps.Damage(h))
	}
	c.start(3)
	require.True(t, c.sims[3].runner.pending)
	c.put("after")
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
}

func TestSimWipedDiskFollowsAndRejoins(t *testing.T) {
	c := newSimCluster(t, 4, 9)
	c.startAll()
	for i := range 20 {
		c.put(fmt.Sprint(i))
	}
	c.crash(3, true)
	signed := 0
	c.tamper = func(m simMail) []byte {
		if m.from == 3 && c.sims[3] != nil && c.sims[3].Node().Core().IsFollower() {
			switch _, msg, _ := pbft.Decode(m.raw); msg.(type) {
			case *pbft.Vote, *pbft.CheckpointVote, *pbft.ViewChange, *pbft.NewView, *pbft.PrePrepare:
				signed++
			}
		}
		return m.raw
	}
	c.start(3)
	require.True(t, c.sims[3].Node().Core().IsFollower())
	c.crash(3, false) // before anything was synced
	c.start(3)
	require.True(t, c.sims[3].Node().Core().IsFollower())
	for range 10 {
		c.round()
	}
	c.crash(3, false)
	c.start(3)
	require.True(t, c.sims[3].Node().Core().IsFollower(), "after a crash too")
	c.put("a")
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
	for i := 0; c.sims[3].Node().Core().IsFollower(); i++ {
		require.Less(t, i, 100)
		c.put(fmt.Sprint("b", i))
	}
	require.Zero(t, signed)
}

// Random schedules: messages reordered and lost, disks and executors that lag,
// crashes that lose what was not synced, one lost disk at a time. Nobody ever
// executes another block; once it is calm, everything asked for is executed once.
func TestSimRandomSchedules(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newSimCluster(t, 4, 100+seed)
			c.startAll()
			r := c.rand
			for step := range 6000 {
				switch x := r.IntN(1000); {
				case x < 550 && len(c.mail) > 0:
					k := r.IntN(min(len(c.mail), 20))
					if r.IntN(50) == 0 {
						c.mail = append(c.mail[:k], c.mail[k+1:]...)
					} else {
						c.deliver(k)
					}
				case x < 900:
					if s := c.sims[r.IntN(4)]; s != nil {
						s.Do(Work(r.IntN(int(Works))))
						require.NoError(t, s.Err())
					}
				case x < 940:
					c.tick()
				case x < 990:
					if c.seq < 60 {
						q := c.request(fmt.Sprint("op ", step))
						for _, s := range c.sims {
							if s != nil {
								s.Offer([]*pbft.Request{q})
							}
						}
					}
				case x < 996:
					if i := r.IntN(4); c.sims[i] != nil {
						c.crash(i, false)
					}
				default:
					for i := range c.sims {
						if c.sims[i] == nil {
							c.start(i)
						}
					}
				}
			}
			for i := range c.sims {
				if c.sims[i] == nil {
					c.start(i)
				}
			}
			c.put("calm")
			for _, a := range c.apps {
				require.Equal(t, c.apps[0].list(), a.list())
			}
			seen := map[string]bool{}
			for _, op := range c.apps[0].list() {
				require.True(t, c.asked[op])
				require.False(t, seen[op], "executed twice: %s", op)
				seen[op] = true
			}
		})
	}
}
