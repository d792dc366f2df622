package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// A repair that ends above what was executed, since the log had gone on: what it says of the
// checkpoints above is reported once, in order.
func TestRebuiltAboveWhatWasExecuted(t *testing.T) {
	c := newSimCluster(t, 4, 28)
	c.startAll()
	core := func(i int) *pbft.Core { return c.sims[i].Node().Core() }
	for i := 0; core(3).ExecutedHeight() < c.core.CheckpointEvery-2; i++ {
		c.put(fmt.Sprint(i))
	}
	c.stuck = func(i int, w Work) bool { return i == 3 && w == WorkExecute }
	c.tamper = func(m simMail) []byte {
		if k := pbft.KindOf(m.raw); m.to == 3 && (k == pbft.KindCheckpointVote || k == pbft.KindBundle) {
			return nil // what is certified needs no statement
		}
		return m.raw
	}
	b := (*pbft.Bundle)(nil)
	for i := 0; b == nil || core(3).Committed() < b.Height()+2; i++ {
		require.Less(t, i, 100)
		c.offer(fmt.Sprint("more ", i))
		for range 4 {
			c.round()
		}
		b = core(0).SnapshotBundle()
	}
	n := c.sims[3].Node()
	require.Greater(t, b.Height(), core(3).ExecutedHeight())
	n.transfer.bundle, n.transfer.phase = b, transferInstalling
	statement := func(h pbft.Height) pbft.CheckpointStatement {
		return pbft.CheckpointStatement{Height: h, Block: c.blocks[h], State: crypto.Hash("state")}
	}
	upTo := b.Height() + 2
	n.Rebuilt(b, upTo, []pbft.CheckpointStatement{statement(upTo - 1), statement(upTo)})
	require.Equal(t, upTo, core(3).ExecutedHeight())
	var said []pbft.Height
	for _, e := range n.out.Durable {
		if v, ok := e.Message.(*pbft.CheckpointVote); ok {
			said = append(said, v.Height)
		}
	}
	require.Equal(t, []pbft.Height{upTo - 1, upTo}, said)
	// A report that comes twice is nothing.
	before := len(n.out.Durable)
	n.Rebuilt(b, upTo, []pbft.CheckpointStatement{statement(upTo - 1), statement(upTo)})
	require.Len(t, n.out.Durable, before)
}

// The first chunk says how many make the executor's part, so it is asked for before the others,
// and only those that it names are then.
func TestFirstChunkIsAskedForAlone(t *testing.T) {
	const want = 3
	c := newSimCluster(t, 4, 29)
	c.pad = 16 << 10
	c.behind()
	var asked []uint32
	answered := false
	c.tamper = func(m simMail) []byte {
		_, msg, err := pbft.Decode(m.raw)
		require.NoError(t, err)
		switch msg := msg.(type) {
		case *pbft.GetChunk:
			if len(asked) > 0 && !answered {
				require.Zero(t, msg.Index, "the first has not come yet")
			}
			require.Less(t, msg.Index, uint32(want))
			asked = append(asked, msg.Index)
		case *pbft.Chunk:
			answered = answered || msg.Index == 0
		}
		return m.raw
	}
	c.stuck = func(i int, w Work) bool { return i == 3 && w == WorkExecute } // it would install what is no whole
	c.start(3)
	n := c.sims[3].Node()
	parts := 0
	n.cfg.PartChunks = func(manifest, first []byte) int {
		parts++
		require.NotEmpty(t, first)
		p, err := decodeManifest(manifest)
		require.NoError(t, err)
		require.Greater(t, len(p.Chunks), 2*want)
		return want
	}
	c.until("all that is wanted is here", 1000, func() bool {
		_, got, total := n.Transfer()
		return total == want && got == want && n.transfer.checking == 0
	})
	require.Equal(t, 1, parts)
	require.Zero(t, asked[0])
	require.ElementsMatch(t, []uint32{0, 1, 2}, asked)
}

// If peers do not have the parts of a snapshot and a later one is certified, those of that one
// are tried, and then the whole snapshot is wanted.
func TestPartsOfALaterSnapshotAreTried(t *testing.T) {
	c := newSimCluster(t, 4, 30)
	c.startAll()
	for i := 0; c.sims[0].Node().Core().SnapshotHeight() < 3*c.core.CheckpointEvery; i++ {
		c.put(fmt.Sprint(i))
	}
	n := c.sims[3].Node()
	bundle := func(h pbft.Height) *pbft.Bundle {
		later := *c.sims[0].Node().Core().SnapshotBundle()
		checkpoint := *later.Checkpoint
		checkpoint.Height = h
		later.Checkpoint = &checkpoint
		return &later
	}
	every, last := c.core.CheckpointEvery, n.Core().SnapshotHeight()
	try := &n.transfer
	failed := func(h pbft.Height) {
		try.bundle, try.phase = bundle(h), transferInstalling
		n.Installed(try.bundle, errNoParts)
		n.Flush()
	}
	failed(last - every)
	require.False(t, try.next == nil, "the later one")
	require.Equal(t, last, try.next.Height())
	n.TransferOpened(last-every, nil, nil)
	require.Equal(t, last, try.bundle.Height())
	require.False(t, try.whole, "in parts again")
	failed(last)
	require.Equal(t, last, try.bundle.Height())
	require.Nil(t, try.next)
	require.True(t, try.whole)
	// So it is for any that comes now, until there is a state.
	try.begin(bundle(last + every))
	require.True(t, try.whole)
	try.end()
	try.begin(bundle(last + 2*every))
	require.False(t, try.whole)
}

// forgets counts how often a host is asked to forget.
type forgets struct {
	Host
	n int
}

func (f *forgets) ForgetWrong() { f.n++; f.Host.ForgetWrong() }

// What was asked for because the state was wrong does not come when it is right again: a vote
// that left since then may promise what would be deleted.
func TestNothingIsForgottenAfterAHeal(t *testing.T) {
	for name, late := range map[string]bool{"the host stands still late": true, "the disk is late": false} {
		c := newSimCluster(t, 4, 31)
		c.startAll()
		for i := 0; c.sims[3].Node().Core().SnapshotHeight() == 0; i++ {
			c.put(fmt.Sprint(i))
		}
		s := c.sims[3]
		s.cfg.Alarm = nil
		n := s.Node()
		host := &forgets{Host: n.host}
		n.host = host
		heal := func() {
			n.core.Rebuilt(n.Core().SnapshotHeight(), nil, &n.out)
			n.Flush()
			require.Nil(t, n.Core().Diverged())
		}
		still := s.runner.repair.still
		s.runner.repair.still = func() {
			if late {
				heal()
			}
			still()
		}
		n.Damaged()
		n.Flush()
		require.NotNil(t, n.Core().Diverged())
		require.True(t, s.Do(WorkExecute), "it stops")
		if !late {
			require.NotZero(t, n.still)
			heal()
		}
		for i, h := 0, n.Core().SnapshotHeight()+c.core.CheckpointEvery; n.Core().ExecutedHeight() < h; i++ {
			require.Less(t, i, 100)
			c.put(fmt.Sprint("more ", i))
		}
		require.Zero(t, host.n, name)
		require.Equal(t, c.disks[0].snaps.Heights(), c.disks[3].snaps.Heights())

		// One that was asked for before, and had to wait for its turn.
		heights := c.disks[3].snaps.Heights()
		s.runner.repair.agreed, s.runner.repair.installed = 0, 0
		require.NoError(t, c.disks[3].store.Write([]pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordSnapshot}, Delete: true}}, true))
		require.NoError(t, s.runner.do(&runnerJob{forget: true}))
		require.Equal(t, heights, c.disks[3].snaps.Heights())
	}
}
