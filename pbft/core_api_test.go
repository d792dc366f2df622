package pbft

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

func TestConfigValidate(t *testing.T) {
	good := newWorld(equalWeights(4), 1, nil).nodes[0].cfg
	require.NoError(t, good.Validate())
	d := good
	d.Timeouts = DefaultTimeouts()
	require.NoError(t, d.Validate())
	for field, spoil := range map[string]func(*Config){
		"Quorums":              func(c *Config) { c.Quorums = nil },
		"Self":                 func(c *Config) { c.Self = 4 },
		"Start":                func(c *Config) { c.Start = nil },
		"Window":               func(c *Config) { c.Window = 0 },
		"CheckpointEvery":      func(c *Config) { c.CheckpointEvery = 0 },
		"LogMax":               func(c *Config) { c.LogMax = 2*c.CheckpointEvery + c.Window - 1 },
		"MaxBlockBytes":        func(c *Config) { c.MaxBlockBytes = 1023 },
		"MaxBlockRequests":     func(c *Config) { c.MaxBlockRequests = 0 },
		"MaxOperationBytes":    func(c *Config) { c.MaxOperationBytes = c.MaxBlockBytes + 1 },
		"MinCheckpointGap":     func(c *Config) { c.MinCheckpointGap = -1 },
		"MaxAhead":             func(c *Config) { c.MaxAhead = 0 },
		"MaxPoolBytes":         func(c *Config) { c.MaxPoolBytes = c.MaxBlockBytes - 1 },
		"MaxPoolPerClient":     func(c *Config) { c.MaxPoolPerClient = 0 },
		"CheckCertificate":     func(c *Config) { c.CheckCertificate = nil },
		"Timeouts.Progress":    func(c *Config) { c.Timeouts.Progress = 0 },
		"Timeouts.Idle":        func(c *Config) { c.Timeouts.Idle = c.Timeouts.Heartbeat },
		"Timeouts.RotateEvery": func(c *Config) { c.Timeouts.RotateEvery = -1 },
	} {
		c := good
		spoil(&c)
		err := c.Validate()
		require.ErrorContains(t, err, "pbft config: "+field+" is ", field)
		require.Regexp(t, `: (must|make|give) `, err.Error(), "%s: no remedy", field)
		_, err = New(c, slices.Values([]Record(nil)))
		require.Error(t, err, field)
	}
}

func TestTimes(t *testing.T) {
	require.Equal(t, Time(0), TimeOf(time.Unix(-5, 0)))
	require.Equal(t, Time(5_000_000_007), TimeOf(time.Unix(5, 7)))
	require.Equal(t, ^Time(0), (^Time(0) - 1).Add(time.Hour), "no wrapping at the end")
	require.Equal(t, Time(0), Time(5).Add(-time.Hour), "nor at the beginning")
	require.Equal(t, Time(3), Time(5).Add(-2))
}

// A log that cannot be used is refused with what is wrong, and never half believed.
func TestNewRefusesBadLogs(t *testing.T) {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery, c.LogMax, c.Retain = 4, 12, 0 })
	w.tick()
	for seq := range uint64(9) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(1, nil)
	}
	n := w.nodes[2]
	records := slices.Collect(n.records())
	restart := func(edit func([]Record) []Record, executed Height) error {
		cfg := n.cfg
		cfg.Executed = executed
		_, err := New(cfg, slices.Values(edit(slices.Clone(records))))
		return err
	}
	same := func(r []Record) []Record { return r }
	h := n.core.Committed()
	require.NoError(t, restart(same, h))
	require.ErrorContains(t, restart(same, h+1), "the host has executed")
	require.ErrorContains(t, restart(same, 0), "restore a snapshot")
	for i := range records {
		err := restart(func(r []Record) []Record {
			// Of executed blocks only the header is read.
			r[i].Value = r[i].Value[:min(len(r[i].Value)-1, headerSize-1)]
			return r
		}, h)
		if records[i].Key.Kind == RecordRejoin {
			continue
		}
		require.Error(t, err, "%v cut short", records[i].Key)
	}
	require.ErrorContains(t, restart(func(r []Record) []Record {
		return append(r, Record{Key: RecordKey{Kind: 99}, Value: []byte{1}})
	}, h), "newer version")
	require.ErrorContains(t, restart(func(r []Record) []Record {
		return slices.DeleteFunc(r, func(x Record) bool {
			return x.Key.Kind == RecordBlock || x.Key.Kind == RecordChain || x.Key.Kind == RecordSnapshot
		})
	}, h), "missing")
}

// The statement for a checkpoint never changes (R23): another state for the same height
// is a divergence, and the replica does not sign proof against itself.
func TestSecondStatementIsNeverSigned(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	w.tick()
	w.nodes[0].submit(w.request(1, 1, "op"))
	w.settle(func(p packet) bool { return p.kind != KindCheckpointVote })
	n := w.nodes[1]
	require.Equal(t, Height(1), n.core.ExecutedHeight())
	s := n.statement(&n.core.chain.tip().Header)
	var out Output
	n.core.Checkpointed(s, &out)
	require.Nil(t, n.core.Diverged(), "the same again is fine")
	right := s
	s.State = crypto.Hash("other")
	n.core.Checkpointed(s, &out)
	require.Equal(t, &Divergence{Mine: s, Other: right}, n.core.Diverged())
	require.Equal(t, n.core.Diverged(), out.Alarms[0].Divergence)
	// It says nothing about checkpoints any more, whatever it hears and computes.
	n.core.Checkpointed(right, &out)
	for range 100 {
		n.core.Tick(w.now, &out)
		n.core.Step(mustVerify(t, n, 0, &Status{}), &out)
	}
	noStatement(t, &out)
	// Its state is made anew, and comes to the other one again: that was said before.
	n.core.StandsStill(&out)
	n.core.Rebuilt(0, []CheckpointStatement{s}, &out)
	require.Nil(t, n.core.Diverged())
	require.Len(t, out.Healed, 1)
	for range 100 {
		n.core.Tick(w.now, &out)
		n.core.Step(mustVerify(t, n, 0, &Status{}), &out)
	}
	noStatement(t, &out)
	// What was certified is the other one.
	n.write(out.Records)
	w.settle(nil)
	w.run(20, nil)
	require.NotNil(t, n.core.Diverged())
	require.True(t, n.core.Diverged().Certified)
}

func mustVerify(t *testing.T, n *testNode, from ReplicaID, m Message) Verified {
	t.Helper()
	v, why := n.verifier.Verify(from, m)
	require.Equal(t, NoDrop, why)
	return v
}

func noStatement(t *testing.T, out *Output) {
	t.Helper()
	for _, e := range out.Durable {
		require.NotEqual(t, KindCheckpointVote, e.Message.Kind())
	}
}

// A statement stays on the disk when it is certified, and when a later one is: until a
// snapshot covers it the log may be replayed from below. An application that then comes
// to another state must not have the replica sign proof against itself.
func TestSecondStatementIsNeverSignedAfterARestart(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	w.tick()
	for seq := range uint64(2) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(2, nil)
	}
	n := w.nodes[1]
	require.Equal(t, Height(2), n.core.Stable())
	require.Zero(t, uncertified(n.core), "and nobody needs their votes")
	s := n.statement(&n.core.chain.at(1).Header)
	cfg := n.cfg
	cfg.Executed = n.core.Committed()
	c, err := New(cfg, n.records())
	require.NoError(t, err)
	var out Output
	c.Recover(&out)
	c.Checkpointed(s, &out)
	require.Nil(t, c.Diverged(), "the same again is fine")
	out.Reset()
	right := s
	s.State = crypto.Hash("other")
	c.Checkpointed(s, &out)
	require.Equal(t, &Divergence{Mine: s, Other: right}, c.Diverged())
	s.Height, s.Block = 2, n.core.chain.at(2).digest
	c, err = New(cfg, func(yield func(Record) bool) {
		for r := range n.records() {
			if r.Key.Kind == RecordCheckpoint && r.Key.Height == 2 {
				r.Value = canon.AppendBool(s.Append(nil), false) // what it said before was wrong as well
			}
			if !yield(r) {
				return
			}
		}
	})
	require.NoError(t, err)
	c.Checkpointed(s, &out)
	require.Equal(t, &Divergence{Mine: s, Other: c.stable.Checkpoint.CheckpointStatement, Certified: true}, c.Diverged(), "it is not what was certified")
	noStatement(t, &out)
}

// A replica that comes to a snapshot late, when a later checkpoint is stable already,
// still compares its state with what was certified.
func TestLateSnapshotIsCompared(t *testing.T) {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery = 2 })
	w.tick()
	for seq := range uint64(3) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(2, nil)
	}
	n := w.nodes[1]
	require.Equal(t, Height(2), n.core.SnapshotHeight())
	require.Equal(t, Height(3), n.core.Stable())
	s := n.core.snapshot.Checkpoint.CheckpointStatement
	var out Output
	n.core.Checkpointed(s, &out)
	require.Nil(t, n.core.Diverged())
	s.State = crypto.Hash("other")
	n.core.Checkpointed(s, &out)
	require.NotNil(t, n.core.Diverged())
}

// NewViews of views that a replica passed through without them come with the blocks
// of those views, and are kept for the blame walk (R19).
func TestNewViewsComeWithBlocks(t *testing.T) {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.Timeouts.RotateEvery, c.CheckpointEvery, c.LogMax, c.Retain = 1, 4, 12, 100 })
	w.tick()
	away := func(p packet) bool { return p.from != 3 && p.to != 3 }
	for seq := range uint64(10) {
		for id := range 3 {
			w.nodes[id].submit(w.request(1, seq+1, "op"))
		}
		w.run(1, away)
	}
	require.Greater(t, w.nodes[0].core.View(), View(1))
	first := w.nodes[0].log[RecordKey{Kind: RecordNewView, Height: 1}]
	require.NotNil(t, first)
	nv, err := DecodeRecordNewView(first)
	require.NoError(t, err)
	require.Nil(t, w.nodes[3].log[RecordKey{Kind: RecordNewView, Height: 1}])
	// The kit's answers to GetBlocks have none: put one in.
	w.run(15, nil)
	n := w.nodes[3]
	var none Output
	n.core.storeNewViews(&Blocks{NewViews: []*NewView{{View: 1, Certificate: nv.Certificate}}}, &none)
	require.True(t, none.Empty(), "one that no certificate names, of a primary that makes two, must not take the place")
	blocks := &Blocks{NewViews: []*NewView{nv, nv}}
	for h := Height(1); h <= 2; h++ {
		ref, err := DecodeRecordChain(w.nodes[0].log[RecordKey{Kind: RecordChain, Height: uint64(h)}])
		require.NoError(t, err)
		p, err := DecodeRecordBlock(w.nodes[0].log[RecordKey{Kind: RecordBlock, Height: uint64(h), Digest: ref.Digest}])
		require.NoError(t, err)
		blocks.Blocks = append(blocks.Blocks, Sign(w.cluster, 0, p, w.nodes[0].keys).(*PrePrepare))
	}
	n.core.fetch.asked = true
	v, why := n.verifier.Verify(0, blocks)
	require.Equal(t, NoDrop, why)
	require.Greater(t, n.core.View(), View(1))
	n.core.fetch.asked = true
	var out Output
	n.core.Step(v, &out)
	n.perform(&out)
	require.Equal(t, first, n.log[RecordKey{Kind: RecordNewView, Height: 1}])
	stored := newStoredNewView(nv, nv.Digest())
	stored.named = true
	require.Contains(t, n.core.storedNVs, stored)
}

func TestCountersAndNames(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	c := w.nodes[0].core
	c.counters.Dropped[KindStatus][DropEpoch] = 3
	seen := 0
	c.Counters().DroppedBy(func(k MessageKind, d Drop, n uint64) {
		if n == 3 {
			require.Equal(t, KindStatus, k)
			require.Equal(t, DropEpoch, d)
			seen++
		}
	})
	require.Equal(t, 1, seen)
	names := map[string]bool{}
	for d := range Drops {
		names[d.String()] = true
	}
	require.Len(t, names, int(Drops))
	require.Equal(t, "?", Drops.String())
	causes := map[string]bool{}
	for why := range SuspicionCauses {
		causes[why.String()] = true
	}
	require.Len(t, causes, int(SuspicionCauses))
	require.Equal(t, "?", SuspicionCauses.String())
	require.Nil(t, c.NewView())
	require.Nil(t, c.StableBundle())
	require.NotContains(t, c.Describe(), "follower")
}

// A snapshot that nobody has any more gives way to the last one certified, one interval
// later or not, known by its bundle alone or stable here; never to the same or an older.
func TestTransferOfASnapshotThatIsGone(t *testing.T) {
	fresh := func() *world {
		return newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery, c.MaxBlockRequests = 2, 1 })
	}
	w := fresh()
	w.tick()
	c, stable := w.nodes[1].core, map[Height]*Bundle{}
	for seq := range uint64(6) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(2, nil)
		stable[c.SnapshotHeight()] = c.SnapshotBundle()
	}
	gone := func(c *Core, h Height) []Want {
		var out Output
		c.TransferUnserved(stable[h], &out)
		return out.Fetch
	}
	last := c.SnapshotHeight()
	require.GreaterOrEqual(t, last, Height(4))
	require.Equal(t, []Want{{stable[last]}}, gone(c, last-2))
	require.Nil(t, c.transfer, "it has the blocks, and fetches those above")
	require.Empty(t, gone(c, last))

	behind := fresh().nodes[2].core
	var out Output
	behind.onBundle(stable[last-2], &out)
	require.Empty(t, out.Fetch, "peers that were not heard yet may have the blocks")
	require.Empty(t, gone(behind, last-2))
	behind.onBundle(stable[last], &out)
	require.Empty(t, out.Fetch)
	require.Equal(t, []Want{{stable[last]}}, gone(behind, last-2))
	require.Equal(t, stable[last], behind.transfer, "no blocks are asked for meanwhile")
	behind.TransferFailed(stable[last], &out)
	require.Nil(t, behind.transfer)
}

// What peers said before they fell silent does not keep a replica from the state that
// others offer: without them, and without its vote, the rest may be no quorum. In a
// simulation one silent member had more than F of the weight.
func TestTransferWhenThoseWithTheBlocksAreSilent(t *testing.T) {
	fresh := func() *world {
		return newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery, c.MaxBlockRequests = 2, 1 })
	}
	w := fresh()
	w.tick()
	for seq := range uint64(6) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(2, nil)
	}
	last := w.nodes[1].core.SnapshotBundle()
	require.NotNil(t, last)

	c := fresh().nodes[2].core
	var out Output
	hear := func(from ReplicaID) {
		c.onStatus(from, &Status{Entered: true, Open: true, Committed: last.Height(), Oldest: 1, Reply: true}, &out)
	}
	until := func(ticks int) {
		for range ticks {
			c.Tick(Time(c.ticks), &out)
		}
	}
	status := c.cfg.Timeouts.Status
	hear(0)
	hear(1)
	c.onBundle(last, &out)
	until(3 * status)
	require.Nil(t, c.transfer, "two of four said lately to have the blocks")
	hear(0)
	hear(1)
	until(3 * status)
	require.Nil(t, c.transfer)
	hear(0)
	until(2 * status)
	require.Equal(t, last, c.transfer, "one of them has been silent since")
	require.Contains(t, out.Fetch, Want{last})
}
