package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// divergedWorld is four replicas of which one gets a wrong state from the first
// execution of a block, so that it signs a wrong statement there, at a checkpoint without
// a snapshot, and perhaps more above, before it learns of the certificate.
func divergedWorld(id ReplicaID) *world {
	w := newWorld(equalWeights(4), 5, func(c *Config) {
		c.Window, c.CheckpointEvery, c.LogMax, c.Retain, c.MaxBlockRequests = 4, 4, 20, 4, 1
		c.Timeouts.Status = 4
	})
	w.watch()
	w.nodes[id].wrongAt = 5
	return w
}

// divergedScenario brings blocks until after the divergence, and then nothing for so long
// that the replica repairs its state from a snapshot below.
func divergedScenario(w *world, id ReplicaID) {
	seq := uint64(0)
	submit := func() {
		seq++
		r := w.request(1, seq, fmt.Sprint("op ", seq))
		for _, n := range w.nodes {
			if n.up {
				n.submit(r)
			}
		}
	}
	mute := func(p packet) bool { return p.from != id || p.kind != KindCheckpointVote } // so that its statement is of no use
	for range 4 {
		submit()
		w.run(3, mute)
	}
	submit() // block 5
	w.run(60, mute)
	submit()
	w.run(6, nil)
	for range 4 {
		submit()
		w.run(3, nil)
	}
	w.run(30, nil)
}

// A replica stops within each of its outputs, in several ways, between the divergence and
// the end of healing, and is started again from what reached its disk: it never signs two
// statements for one height (the watcher looks at all that is sent), and is healed.
func TestCrashAtEveryOutputOfARepair(t *testing.T) {
	const id = 3
	healthy := func(w *world) {
		top := w.nodes[0].core.ExecutedHeight()
		require.Greater(t, top, Height(8))
		for _, n := range w.nodes {
			require.Equal(t, top, n.core.ExecutedHeight(), "%s", w.describe())
			require.Equal(t, w.nodes[0].state[top], n.state[top])
			require.Nil(t, n.core.Diverged(), "%s", w.describe())
			require.Empty(t, n.evidence)
		}
		require.Empty(t, w.broken)
	}
	// How many outputs there are, and in which of them it diverges.
	w := divergedWorld(id)
	outputs, diverged := 0, -1
	w.boundary = func(n *testNode, o *Output) bool {
		if n.id == id {
			if len(o.Alarms) > 0 && diverged < 0 {
				diverged = outputs
			}
			outputs++
		}
		return false
	}
	divergedScenario(w, id)
	healthy(w)
	require.Positive(t, diverged)
	require.Equal(t, 1, w.nodes[id].repairs)
	step := 1
	if testing.Short() {
		step = 5
	}
	for at := diverged - 4; at < outputs; at += step {
		for i, v := range crashVariants {
			if !*crashAll && (at+i)%2 == 1 {
				continue
			}
			w := divergedWorld(id)
			count := 0
			w.boundary = func(n *testNode, o *Output) bool {
				if n.id != id {
					return false
				}
				if count++; count-1 != at {
					return false
				}
				n.write(o.Records[:v.records(len(o.Records))])
				for _, e := range o.Send {
					n.send(e, false)
				}
				for _, e := range o.Durable[:v.durable(len(o.Durable))] {
					n.send(e, false)
				}
				n.crash()
				return true
			}
			w.afterTick = func() {
				if n := w.nodes[id]; !n.up {
					n.start(false)
				}
			}
			divergedScenario(w, id)
			w.run(60, nil)
			healthy(w)
			if t.Failed() {
				t.Fatalf("output %d, %s", at, v.name)
			}
		}
	}
}

// divergedNode is a replica that has executed three blocks, the third a checkpoint whose
// certificate contradicts its statement.
func divergedNode(t *testing.T) (*world, *testNode) {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery = 2 })
	w.tick()
	n := w.nodes[3]
	n.wrongAt = 3
	for seq := range uint64(3) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(2, nil)
	}
	require.NotNil(t, n.core.Diverged())
	return w, n
}

// A repair that comes to a wrong state again is another divergence, and waits for a later
// snapshot or for some time.
func TestRepairThatComesToAWrongState(t *testing.T) {
	_, n := divergedNode(t)
	c := n.core
	first := c.Diverged()
	require.Equal(t, Height(3), first.Height())
	require.True(t, first.Certified)
	require.Equal(t, Height(2), first.Agreed)
	var out Output
	wrong := first.Mine
	wrong.State = crypto.Hash("wrong in another way")
	c.Rebuilt(2, []CheckpointStatement{wrong}, &out)
	second := c.Diverged()
	require.Equal(t, &Divergence{Mine: wrong, Other: first.Other, Certified: true, Agreed: 2}, second)
	require.Equal(t, second, out.Alarms[0].Divergence)
	require.Empty(t, out.Healed)
	noStatement(t, &out)
	out.Reset()
	for range 2 * c.cfg.Timeouts.Status {
		c.Tick(n.w.now, &out)
	}
	require.Empty(t, out.Fetch, "the host has not said that it has forgotten the second state")
	c.StandsStill(&out)
	require.Empty(t, out.Fetch, "the same state is not asked for again at once")
	ticks := 0
	for out.Reset(); len(out.Fetch) == 0; ticks++ {
		c.Tick(n.w.now, &out)
		require.Less(t, ticks, 1000)
	}
	require.Equal(t, int(c.repairPause(repairPatience, 1)), ticks)
	// This time it goes well. The statement that was signed is not replaced.
	out.Reset()
	c.Rebuilt(2, []CheckpointStatement{first.Other}, &out)
	require.Nil(t, c.Diverged())
	require.Equal(t, []*Divergence{second}, out.Healed)
	noStatement(t, &out)
	s := c.statementAt(3)
	require.Equal(t, first.Mine, s.CheckpointStatement)
	require.True(t, s.disowned)
	require.Equal(t, first.Other, s.now)
}

// Before the first certified snapshot a replica begins with the first block, once it has waited
// for that snapshot for a while; each time that this comes to a wrong state it waits longer. A
// host that cannot do it is not asked again.
func TestRepairFromTheBeginning(t *testing.T) {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery = 8 })
	w.tick()
	n := w.nodes[3]
	n.wrongAt = 1
	w.nodes[0].submit(w.request(1, 1, "op"))
	w.run(2, nil)
	c := n.core
	first := c.Diverged()
	require.NotNil(t, first)
	require.Nil(t, c.snapshot)
	wait := func() (ticks int) {
		for out := (Output{}); !out.Anew; ticks++ {
			out.Reset()
			c.Tick(w.now, &out)
			require.Empty(t, out.Fetch)
			require.Less(t, ticks, 1000)
		}
		return ticks
	}
	patience := uint64(wait())
	require.LessOrEqual(t, patience, c.repairPause(repairPatience, 0))
	require.Greater(t, patience, c.repairPause(repairPatience, 0)-4)
	var out Output
	c.Rebuilt(0, []CheckpointStatement{first.Mine}, &out)
	require.NotNil(t, c.Diverged(), "as wrong as before")
	noStatement(t, &out)
	out.Reset()
	for range 2 * c.cfg.Timeouts.Status {
		c.Tick(w.now, &out)
	}
	require.False(t, out.Anew, "the host has not said that it stands still")
	c.StandsStill(&out)
	require.Equal(t, c.repairPause(repairPatience, 1), uint64(wait()))
	out.Reset()
	c.CannotBegin(&out)
	for range 4 * c.repairPause(repairPatience, 1) {
		c.Tick(w.now, &out)
	}
	require.False(t, out.Anew)
	require.Empty(t, out.Fetch)
	c.CannotBegin(&out) // nobody asked
	// The first certified snapshot is what it waits for now.
	snapshot := &Bundle{Checkpoint: &CheckpointCertificate{CheckpointStatement: CheckpointStatement{Height: 8}}}
	c.snapshot = snapshot
	c.StandsStill(&out)
	require.Equal(t, []Want{{snapshot}}, out.Fetch)
}

// While its state is wrong a replica proposes nothing, and asks to be replaced (R24).
func TestDivergedPrimaryAbdicates(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	w.tick()
	w.nodes[0].wrongAt = 1
	w.nodes[1].submit(w.request(1, 1, "op"))
	w.run(4, nil)
	require.NotNil(t, w.nodes[0].core.Diverged())
	w.run(10, nil)
	for _, n := range w.nodes {
		require.Equal(t, View(1), n.core.View(), "%s", w.describe())
	}
	before := w.nodes[0].core.counters.Proposed
	w.nodes[0].submit(w.request(1, 2, "op"))
	w.run(10, nil)
	require.Equal(t, before, w.nodes[0].core.counters.Proposed)
	require.True(t, w.nodes[1].done[w.request(1, 2, "op").Digest()])
}

// A replica whose state becomes wrong again right after each repair waits longer each
// time.
func TestRelapsesArePaced(t *testing.T) {
	_, n := divergedNode(t)
	c := n.core
	var waits []int
	for range 4 {
		d := c.Diverged()
		var out Output
		c.Rebuilt(2, []CheckpointStatement{d.Other}, &out)
		require.Nil(t, c.Diverged())
		out.Reset()
		c.diverge(*d, &out)
		c.StandsStill(&out)
		ticks := 0
		for ; len(out.Fetch) == 0; ticks++ {
			c.Tick(n.w.now, &out)
			require.Less(t, ticks, 10000)
		}
		waits = append(waits, ticks)
		c.diverged.repair = nil
	}
	for i := 2; i < len(waits); i++ {
		require.GreaterOrEqual(t, waits[i], waits[i-1])
	}
	require.Greater(t, waits[len(waits)-1], waits[0])
}

// If no replica's state is the certified one, because all run the same wrong application,
// no primary is better than another: views do not follow each other at every tick, neither
// with a certified snapshot nor without.
func TestDivergedClusterDoesNotRotateForEver(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		w := newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery = 2 })
		w.tick()
		if snapshot {
			for seq := range uint64(3) {
				w.nodes[0].submit(w.request(1, seq+1, "op"))
				w.run(2, nil)
			}
			require.NotNil(t, w.nodes[0].core.snapshot)
		}
		for _, n := range w.nodes {
			var out Output
			n.core.diverge(Divergence{
				Mine:      CheckpointStatement{Height: n.core.Committed() + 1, State: crypto.Hash("mine")},
				Other:     CheckpointStatement{Height: n.core.Committed() + 1, State: crypto.Hash("certified")},
				Certified: true,
			}, &out)
		}
		w.nodes[1].submit(w.request(1, 9, "op"))
		const ticks = 600
		w.run(ticks, nil)
		for _, n := range w.nodes {
			require.Positive(t, n.core.View(), "they abdicate")
			require.Less(t, n.core.View(), View(ticks/10), "%s", w.describe())
		}
	}
}
