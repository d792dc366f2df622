package replica

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// tracedBlock is a block at a height with one request, which says apart those that vary.
func tracedBlock(h pbft.Height, view pbft.View, vary uint64) *pbft.PrePrepare {
	r := pbft.NewRequest(crypto.PublicKey{1}, uint64(h)+vary<<32, 1, 1000, [][]byte{[]byte("one"), []byte("two")})
	return &pbft.PrePrepare{Block: pbft.NewBlock(pbft.Header{Height: h, View: view, Proposer: 2}, []*pbft.Request{r})}
}

func certificateFor(phase pbft.Phase, b *pbft.PrePrepare) *pbft.Certificate {
	return &pbft.Certificate{Statement: pbft.Statement{Phase: phase, View: b.View, Height: b.Height, Block: b.Digest()}}
}

func voteBatch(phase pbft.Phase, b *pbft.PrePrepare) *Batch {
	return &Batch{Durable: []pbft.Envelope{{To: pbft.Everyone, Message: &pbft.Vote{Statement: certificateFor(phase, b).Statement}}}}
}

func holdBatch(b *pbft.PrePrepare) *Batch {
	key := pbft.RecordKey{Kind: pbft.RecordBlock, Height: uint64(b.Height), Digest: b.Digest()}
	return &Batch{Records: []pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordHigh}}, {Key: key}, {Key: pbft.RecordKey{Kind: pbft.RecordBlock, Height: 3}, Delete: true}}}
}

// life makes a tracer see all of a block, as the server does.
type life struct {
	hold            *Batch
	prepare, commit []*Batch
	entries         []replyEntry
}

func (l *life) pass(t *tracer, p *pbft.PrePrepare, prepared, committed *pbft.Certificate) {
	t.received(p.Requests[0], t.now())
	t.checked(p.Requests)
	t.offered(p.Requests)
	t.verified(p, t.now())
	t.held(l.hold)
	t.durable(l.prepare, true)
	t.released(l.prepare[0])
	t.certified(prepared)
	t.durable(l.commit, true)
	t.released(l.commit[0])
	t.certified(committed)
	t.executing(p.Block)
	t.ran(p.Height)
	t.queued(p.Height)
	t.delivered(p.Height)
	t.written(l.entries)
}

func newLife(p *pbft.PrePrepare) *life {
	return &life{
		hold:    holdBatch(p),
		prepare: []*Batch{voteBatch(pbft.Prepare, p)}, commit: []*Batch{voteBatch(pbft.Commit, p), {}},
		entries: []replyEntry{{}, {traced: p.Height}},
	}
}

func passAll(t *tracer, p *pbft.PrePrepare) {
	newLife(p).pass(t, p, certificateFor(pbft.Prepare, p), certificateFor(pbft.Commit, p))
}

func requireInOrder(t *testing.T, b *BlockTrace, stages ...Stage) {
	t.Helper()
	for i, s := range stages {
		require.NotZero(t, b.Times[s], "block %d: %v is missing", b.Height, s)
		if i > 0 {
			require.LessOrEqual(t, b.Times[stages[i-1]], b.Times[s], "block %d: %v before %v", b.Height, stages[i-1], s)
		}
	}
}

var allStages = func() (all []Stage) {
	for s := range Stages {
		all = append(all, s)
	}
	return all
}()

func heights(blocks []BlockTrace) []pbft.Height {
	hs := make([]pbft.Height, len(blocks))
	for i := range blocks {
		hs[i] = blocks[i].Height
	}
	return hs
}

// The ring holds the last blocks and no others, each finished once.
func TestTraceKeepsTheLastBlocks(t *testing.T) {
	var finished []BlockTrace
	tr := newTracer(8, func(b BlockTrace) { finished = append(finished, b) })
	require.Empty(t, tr.last(100))
	for h := pbft.Height(1); h <= 20; h++ {
		passAll(tr, tracedBlock(h, 3, 0))
	}
	blocks := tr.last(100)
	require.Equal(t, []pbft.Height{13, 14, 15, 16, 17, 18, 19, 20}, heights(blocks))
	require.Equal(t, []pbft.Height{19, 20}, heights(tr.last(2)))
	require.Empty(t, tr.last(0))
	require.Len(t, finished, 20)
	for i := range blocks {
		b := &blocks[i]
		requireInOrder(t, b, allStages...)
		require.Equal(t, finished[12+i], *b)
		require.Equal(t, []any{1, 2, pbft.View(3), pbft.ReplicaID(2)}, []any{b.Requests, b.Operations, b.View, b.Proposer})
		require.Equal(t, tracedBlock(b.Height, 3, 0).Size(), b.Bytes)
		require.Equal(t, 2*uint64(b.Height), b.Syncs)
		require.Equal(t, 3*uint64(b.Height), b.Batches)
	}

	// What comes late changes no other block's notes.
	passAll(tr, tracedBlock(12, 3, 0))
	require.Equal(t, blocks, tr.last(8))
	require.Len(t, finished, 20)
	passAll(tr, tracedBlock(20, 9, 1)) // another block where one was executed
	require.Equal(t, blocks, tr.last(8))
	passAll(tr, tracedBlock(20, 3, 0))
	require.Equal(t, blocks, tr.last(8), "the first time counts")

	// What was not executed is not shown.
	tr.verified(tracedBlock(22, 3, 0), tr.now())
	require.Equal(t, []pbft.Height{13, 15, 16, 17, 18, 19, 20}, heights(tr.last(8)), "it has the place of 14")
}

// A certificate and a Commit cover the ancestors, back to those that have theirs.
func TestTraceOfAncestors(t *testing.T) {
	tr := newTracer(16, nil)
	var blocks []*pbft.PrePrepare
	for h := pbft.Height(1); h <= 4; h++ {
		blocks = append(blocks, tracedBlock(h, 0, 0))
		tr.verified(blocks[h-1], 5)
	}
	at := func(h pbft.Height, s Stage) time.Duration { return tr.slot(h).Times[s] }
	tr.certified(certificateFor(pbft.Prepare, blocks[1]))
	first := at(1, StagePrepared)
	require.NotZero(t, first)
	require.Equal(t, first, at(2, StagePrepared))
	require.Zero(t, at(3, StagePrepared))
	tr.certified(certificateFor(pbft.Prepare, blocks[3]))
	require.Equal(t, first, at(2, StagePrepared))
	require.Equal(t, at(4, StagePrepared), at(3, StagePrepared))
	tr.durable([]*Batch{voteBatch(pbft.Prepare, blocks[3])}, true)
	require.Zero(t, at(3, StageBlockDurable), "each block has a Prepare of its own")
	require.NotZero(t, at(4, StageBlockDurable))
	tr.durable([]*Batch{voteBatch(pbft.Commit, blocks[2])}, true)
	require.NotZero(t, at(1, StagePreparedDurable))
	require.Zero(t, at(4, StagePreparedDurable))
	require.Zero(t, tr.slot(0).Times, "there is no block below the first")

	// Votes that are sent again to one peer are not the first.
	again := voteBatch(pbft.Commit, blocks[3])
	again.Durable[0].To = 1
	tr.released(again)
	require.Zero(t, at(4, StageCommitSent))
}

// Of two proposals for a height the one of the later view is kept; what is certified or
// executed is certain, and takes the place of either.
func TestTraceOfRivals(t *testing.T) {
	tr := newTracer(16, nil)
	a, b, c := tracedBlock(5, 1, 1), tracedBlock(5, 1, 2), tracedBlock(5, 2, 3)
	tr.verified(a, 1)
	tr.verified(b, 2)
	require.Equal(t, a.Digest(), tr.slot(5).block)
	tr.verified(c, 3)
	require.Equal(t, c.Digest(), tr.slot(5).block)
	tr.verified(a, 4)
	require.Equal(t, c.Digest(), tr.slot(5).block)
	tr.held(holdBatch(a))
	require.Equal(t, a.Digest(), tr.slot(5).block, "the core has chosen")
	require.NotZero(t, tr.slot(5).Times[StageProposal])
	tr.verified(a, 5)
	require.Zero(t, tr.slot(5).Times[StageVerified], "it was this replica's own")
	tr.verified(tracedBlock(5, 9, 4), 5)
	require.Equal(t, a.Digest(), tr.slot(5).block)
	tr.certified(certificateFor(pbft.Commit, b))
	require.Equal(t, b.Digest(), tr.slot(5).block)
	require.Zero(t, tr.slot(5).Times[StageProposal], "that was another's")
	tr.executing(a.Block)
	tr.certified(certificateFor(pbft.Commit, c))
	require.Equal(t, a.Digest(), tr.slot(5).block)
}

// A proposal of a height that will not be reached takes no place for good: who proposes may
// sign any height, and a replica that starts does not bound them at once.
func TestTraceOfWildHeights(t *testing.T) {
	tr := newTracer(8, nil)
	for h := pbft.Height(1 << 40); h < 1<<40+8; h++ {
		tr.verified(tracedBlock(h, 1, 1), tr.now())
	}
	for h := pbft.Height(1); h <= 4; h++ {
		passAll(tr, tracedBlock(h, 3, 0))
	}
	require.Equal(t, []pbft.Height{1, 2, 3, 4}, heights(tr.last(8)))
	// Nor does one that is executed without having been held here, in a replay.
	tr.executing(tracedBlock(5, 3, 0).Block)
	tr.ran(5)
	require.Equal(t, []pbft.Height{1, 2, 3, 4, 5}, heights(tr.last(8)))
	tr.executing(tracedBlock(2, 3, 0).Block)
	tr.held(holdBatch(tracedBlock(5-8+16, 3, 0)))
	tr.executing(tracedBlock(5, 3, 0).Block)
	require.Equal(t, pbft.Height(13), tr.slot(5).Height, "what the core holds stays")
}

// Of a block that nobody here waits for, the last stage is its execution.
func TestTraceWithoutReply(t *testing.T) {
	done := 0
	tr := newTracer(16, func(b BlockTrace) {
		done++
		require.NotZero(t, b.Times[StageExecuted])
		require.Zero(t, b.Times[StageReplyQueued])
	})
	p := tracedBlock(1, 0, 0)
	tr.executing(p.Block)
	tr.ran(1)
	require.Zero(t, done)
	tr.delivered(1)
	tr.delivered(1)
	require.Equal(t, 1, done)
	tr.delivered(2)
	tr.written([]replyEntry{{traced: 3}})
	require.Equal(t, 1, done, "of these nothing is known")
}

// A request that its client repeats while it waits keeps its first time; a newer one
// takes the slot of an older.
func TestTraceOfRequests(t *testing.T) {
	tr := newTracer(1, nil)
	r := tracedBlock(1, 0, 0).Requests
	tr.received(r[0], 10)
	tr.checked(r)
	tr.received(r[0], 20)
	require.Equal(t, requestTrace{key: requestKey(r[0].Digest()), received: 20}, tr.requests.of(r[0].Digest()), "the first was turned away")
	tr.offered(r)
	tr.received(r[0], 30)
	require.Equal(t, 20*time.Nanosecond, tr.requests.of(r[0].Digest()).received)

	same := pbft.Digest{}
	key := requestKey(r[0].Digest()) + uint64(len(tr.requests.slots))
	for i := range 8 {
		same[i] = byte(key >> (8 * i))
	}
	tr.requests.received(same, 40)
	require.Zero(t, tr.requests.of(r[0].Digest()))
	tr.checked(r)
	require.Zero(t, tr.requests.of(same).checked, "that was another's")
}

func TestTraceSteps(t *testing.T) {
	var times StageTimes
	steps := times.Steps()
	for _, s := range steps {
		require.Equal(t, NotWaitedFor, s)
	}
	set := func(at map[Stage]time.Duration) {
		times = StageTimes{}
		for s, d := range at {
			times[s] = d
		}
	}
	part := func() (stages []Stage, sum time.Duration) {
		for s, d := range times.Steps() {
			if d != NotWaitedFor {
				stages, sum = append(stages, Stage(s)), sum+d
			}
		}
		return stages, sum
	}
	set(map[Stage]time.Duration{StageProposal: 100, StageVerified: 110, StageBlockDurable: 150, StagePrepared: 150, StageCommitted: 170, StageExecuted: 175})
	stages, sum := part()
	require.Equal(t, []Stage{StageProposal, StageVerified, StageBlockDurable, StagePrepared, StageCommitted, StageExecuted}, stages)
	require.Equal(t, 75*time.Nanosecond, sum)
	require.Equal(t, 40*time.Nanosecond, times.Steps()[StageBlockDurable])

	// The others were quicker than this replica's disk, twice.
	set(map[Stage]time.Duration{
		StageProposal: 100, StageBlockDurable: 150, StagePrepareSent: 155, StagePrepared: 140,
		StagePreparedDurable: 190, StageCommitSent: 195, StageCommitted: 160, StageExecuted: 200,
	})
	stages, sum = part()
	require.Equal(t, []Stage{StageProposal, StagePrepared, StageCommitted, StageExecuted}, stages)
	require.Equal(t, 100*time.Nanosecond, sum)
	require.Equal(t, 20*time.Nanosecond, times.Steps()[StageCommitted])
}

func TestTraceJSON(t *testing.T) {
	b := BlockTrace{Height: 7, View: 1, Proposer: 3, Requests: 2, Operations: 5, Bytes: 99, Syncs: 4, Batches: 6}
	b.Times[StageProposal], b.Times[StageExecuted] = 11, 22
	data, err := json.Marshal(&b)
	require.NoError(t, err)
	require.JSONEq(t, `{"height":7,"view":1,"proposer":3,"requests":2,"operations":5,"bytes":99,"syncs":4,"batches":6,"times":{"proposal":11,"executed":22}}`, string(data))
	back := BlockTrace{Times: StageTimes{9, 9, 9}}
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, b, back)
	require.NoError(t, json.Unmarshal([]byte(`{"times":{"of another version":1,"executed":3}}`), &back))
	require.Equal(t, StageTimes{StageExecuted: 3}, back.Times)
	require.Error(t, json.Unmarshal([]byte(`{"times":7}`), &back))
	for _, s := range allStages {
		require.NotEmpty(t, s.String())
	}
}

// A replica that notes nothing has no tracer.
func TestNoTrace(t *testing.T) {
	require.Nil(t, newTracer(-1, nil))
	passAll(nil, tracedBlock(1, 0, 0))
	require.Nil(t, (&Server{}).Trace(10))
}

// Noting allocates nothing, however many blocks there were.
func TestTraceAllocatesNothing(t *testing.T) {
	tr := newTracer(64, func(BlockTrace) {})
	p := tracedBlock(1, 0, 0)
	l := newLife(p)
	prepared, committed := certificateFor(pbft.Prepare, p), certificateFor(pbft.Commit, p)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		tr.blocks[1], tr.requests.slots[requestKey(p.Requests[0].Digest())%uint64(len(tr.requests.slots))] = BlockTrace{}, requestTrace{}
		l.pass(tr, p, prepared, committed)
	}))
}

func TestTraceConcurrently(t *testing.T) {
	var finished sync.Map
	tr := newTracer(32, func(b BlockTrace) {
		_, twice := finished.LoadOrStore(b.Height, true)
		if twice {
			t.Errorf("block %d was finished twice", b.Height)
		}
	})
	const top = 500
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for g := range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				last := pbft.Height(0)
				for _, b := range tr.last(10 + 10*g) {
					if b.Height <= last || b.Times[StageExecuted] == 0 {
						t.Errorf("block %d after %d, executed at %v", b.Height, last, b.Times[StageExecuted])
					}
					last = b.Height
				}
			}
		})
	}
	for range 4 { // all see all blocks
		writers.Go(func() {
			for h := pbft.Height(1); h <= top; h++ {
				passAll(tr, tracedBlock(h, 0, 0))
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	require.Len(t, tr.last(top), 32)
}

// tracedCluster is replicas with admin listeners, and their clients' door.
func tracedCluster(t *testing.T, n int, edit func(i int, c *Config)) (*testCluster, *clientDoor, []string) {
	door := &clientDoor{address: make(map[string]string)}
	admin := make([]string, n)
	var c *testCluster
	c = newTestCluster(t, n, func(i int, cfg *Config) {
		door.address[c.roster.Cluster.Members[i].ClientAddress] = cfg.ClientListener.Addr().String()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		cfg.AdminListener, admin[i] = l, l.Addr().String()
		if edit != nil {
			edit(i, cfg)
		}
	})
	c.startAll()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return c, door, admin
}

func (c *testCluster) dial(door *clientDoor) *client.Client {
	cl, err := client.Dial(c.context(), client.Config{Roster: c.roster, Key: clientTestKey(1), Dial: door.dial})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, cl.Close()) })
	return cl
}

func getTrace(t *testing.T, admin, query string) (int, string) {
	r, err := http.Get("http://" + admin + "/debug/trace" + query)
	require.NoError(t, err)
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(b)
}

// inOrder tells whether a block has passed these stages, one after another.
func inOrder(b *BlockTrace, stages ...Stage) bool {
	for i, s := range stages {
		if b.Times[s] == 0 || i > 0 && b.Times[s] < b.Times[stages[i-1]] {
			return false
		}
	}
	return true
}

// passedBy is by how many of four replicas a stage of a block must be passed for the
// client to believe its outcome: by those who vote in a quorum, and those who answer.
var passedBy = [Stages]int{
	StageReceived: 1, StageChecked: 1, StageOffered: 1, StageProposal: 3, StageVerified: 2, StageBlockDurable: 3, StagePrepareSent: 3,
	StagePrepared: 3, StagePreparedDurable: 3, StageCommitSent: 3, StageCommitted: 2, StageExecuting: 4, StageExecuted: 4,
	StageReplyQueued: 2, StageReplyWritten: 2,
}

// Every stage of a committed block is noted, and in the order in which one follows from
// another.
func TestTraceOfACluster(t *testing.T) {
	verifyNoLeaks(t)
	var mu sync.Mutex
	exported := make([]map[pbft.Height]int, 4)
	c, door, admin := tracedCluster(t, 4, func(i int, cfg *Config) {
		exported[i] = make(map[pbft.Height]int)
		cfg.Traced = func(b BlockTrace) {
			mu.Lock()
			defer mu.Unlock()
			exported[i][b.Height]++
		}
	})
	cl := c.dial(door)
	const ops = 20
	answered := make(map[pbft.Height]bool)
	for i := range ops {
		a, err := cl.Do(c.context(), fmt.Appendf(nil, "op %d", i))
		require.NoError(t, err)
		answered[pbft.Height(a.Ref.Height)] = true
	}
	reports := func() []TraceReport {
		all := make([]TraceReport, len(admin))
		for i := range admin {
			status, body := getTrace(t, admin[i], "?blocks=4096")
			require.Equal(t, http.StatusOK, status)
			require.NoError(t, json.Unmarshal([]byte(body), &all[i]))
		}
		return all
	}
	var all []TraceReport
	c.eventually("every stage has been passed by as many as must", func() bool {
		all = reports()
		passed := make(map[pbft.Height]*[Stages]int)
		for h := range answered {
			passed[h] = new([Stages]int)
		}
		for i := range all {
			for j := range all[i].Blocks {
				b := &all[i].Blocks[j]
				if !answered[b.Height] {
					continue
				}
				for s, at := range b.Times {
					if at != 0 {
						passed[b.Height][s]++
					}
				}
				if b.Proposer == all[i].Replica && b.Times[StagePrepareSent] == 0 {
					return false // its disk may be the slowest
				}
			}
		}
		for _, by := range passed {
			for s := range Stages {
				// A proposal is proposed again where the view changes; then fewer pass on it.
				if by[s] < passedBy[s] && all[0].View == 0 {
					return false
				}
			}
		}
		return true
	})
	for i := range all {
		r := &all[i]
		require.Equal(t, pbft.ReplicaID(i), r.Replica)
		require.Equal(t, fmt.Sprintf("r%d", i), r.Name)
		require.NotZero(t, r.Began)
		for j := range r.Blocks {
			b := &r.Blocks[j]
			requireInOrder(t, b, StageExecuting, StageExecuted)
			for _, pair := range [][2]Stage{
				{StageBlockDurable, StagePrepareSent}, {StagePreparedDurable, StageCommitSent},
				{StageExecuted, StageReplyQueued}, {StageReplyQueued, StageReplyWritten},
			} {
				if b.Times[pair[1]] != 0 {
					requireInOrder(t, b, pair[:]...)
				}
			}
			if j > 0 {
				require.GreaterOrEqual(t, b.Syncs, r.Blocks[j-1].Syncs)
				require.GreaterOrEqual(t, b.Batches-b.Syncs, r.Blocks[j-1].Batches-r.Blocks[j-1].Syncs)
			}
		}
	}
	if all[0].View == 0 {
		direct := 0
		for h := range answered {
			primary, backups := 0, 0
			for i := range all {
				for j := range all[i].Blocks {
					b := &all[i].Blocks[j]
					switch {
					case b.Height != h:
					case b.Proposer == all[i].Replica:
						primary++
						requireInOrder(t, b, StageProposal, StageBlockDurable, StagePrepareSent)
						if inOrder(b, StageReceived, StageChecked, StageOffered, StageProposal) {
							direct++ // not through another replica, which had it first
						}
						for _, s := range []Stage{StagePrepared, StageCommitted} {
							if b.Times[s] != 0 { // else the others told it the end
								requireInOrder(t, b, StageProposal, s)
							}
						}
					case inOrder(b, StageProposal, StageVerified, StageBlockDurable, StagePrepareSent) && inOrder(b, StagePrepared, StagePreparedDurable):
						backups++
					}
				}
			}
			require.Equal(t, 1, primary, "block %d", h)
			require.Positive(t, backups, "block %d", h) // of three, two did the one and two the other
		}
		require.Positive(t, direct)
	}
	mu.Lock()
	for i := range exported {
		for h, times := range exported[i] {
			require.Equal(t, 1, times, "block %d at replica %d", h, i)
		}
		require.NotEmpty(t, exported[i])
	}
	mu.Unlock()

	status, body := getTrace(t, admin[0], "?blocks=2")
	require.Equal(t, http.StatusOK, status)
	var r TraceReport
	require.NoError(t, json.Unmarshal([]byte(body), &r))
	require.Len(t, r.Blocks, 2)
	for _, bad := range []string{"0", "-1", "x", "1e3", "99999999999999999999"} {
		status, body = getTrace(t, admin[0], "?blocks="+bad)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, body, "give a number from 1")
	}
	response, err := http.Get("http://" + admin[0] + "/metrics")
	require.NoError(t, err)
	metrics, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Regexp(t, `parley_block_stage_seconds_count{stage="executed"} [1-9]`, string(metrics))
	require.Regexp(t, `parley_block_stage_seconds_count{stage="replyWritten"} [1-9]`, string(metrics))
}

// Alone, a replica waits for itself: every stage is in the order of the list.
func TestTraceOfOneReplica(t *testing.T) {
	verifyNoLeaks(t)
	c, door, _ := tracedCluster(t, 1, nil)
	cl := c.dial(door)
	const ops = 10
	for i := range ops {
		_, err := cl.Do(c.context(), fmt.Appendf(nil, "op %d", i))
		require.NoError(t, err)
	}
	var blocks []BlockTrace
	c.eventually("all replies are written", func() bool {
		blocks = c.servers[0].Trace(1000).Blocks
		written := 0
		for i := range blocks {
			if blocks[i].Times[StageReplyWritten] != 0 {
				written += blocks[i].Operations
			}
		}
		return written == ops
	})
	for i := range blocks {
		b := &blocks[i]
		require.Zero(t, b.Times[StageVerified], "it checks no proposal of its own")
		if b.Requests == 0 {
			continue
		}
		for _, s := range allStages {
			if s != StageVerified {
				require.NotEqual(t, NotWaitedFor, b.Times.Steps()[s], "block %d: %v was out of order: %v", b.Height, s, b.Times)
			}
		}
	}
	// What the program itself proposes is noted too.
	c.submit(0, "own")
	blocks = slices.DeleteFunc(c.servers[0].Trace(1000).Blocks, func(b BlockTrace) bool { return b.Requests == 0 })
	last := blocks[len(blocks)-1] // a checkpoint without operations may have followed
	requireInOrder(t, &last, StageReceived, StageOffered, StageProposal, StageExecuting)
	require.Zero(t, last.Times[StageChecked])
}

func TestTraceSwitchedOff(t *testing.T) {
	c, _, admin := tracedCluster(t, 1, func(_ int, cfg *Config) { cfg.TraceBlocks = -1 })
	c.submit(0, "a")
	require.Nil(t, c.servers[0].Trace(10))
	status, body := getTrace(t, admin[0], "")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "traceBlocks")
}

// BenchmarkTrace is all that is noted of a block, and of each further request in it.
func BenchmarkTrace(b *testing.B) {
	tr := newTracer(DefaultTraceBlocks, newStageMetrics())
	b.Run("block", func(b *testing.B) {
		const blocks = 2 * DefaultTraceBlocks
		all, lives := make([]*pbft.PrePrepare, blocks), make([]*life, blocks)
		prepared, committed := make([]*pbft.Certificate, blocks), make([]*pbft.Certificate, blocks)
		for i := range all {
			all[i] = tracedBlock(pbft.Height(i+1), 0, 0)
			lives[i] = newLife(all[i])
			prepared[i], committed[i] = certificateFor(pbft.Prepare, all[i]), certificateFor(pbft.Commit, all[i])
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if i == blocks {
				i = 0
				clear(tr.blocks)
			}
			lives[i].pass(tr, all[i], prepared[i], committed[i])
			i++
		}
	})
	b.Run("request", func(b *testing.B) {
		rs := make([]*pbft.Request, 64)
		for i := range rs {
			rs[i] = tracedBlock(pbft.Height(i), 0, 0).Requests[0]
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, r := range rs {
				tr.received(r, tr.now())
			}
			tr.checked(rs)
			tr.offered(rs)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rs)), "ns/request")
	})
}

// newStageMetrics is what a server does with a block that is finished.
func newStageMetrics() func(BlockTrace) {
	m := newMetrics()
	return func(b BlockTrace) { m.passed(&b.Times) }
}
