package pbft

import (
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var crashAll = flag.Bool("crash.all", false, "stop within every output in every way, not every other one")

// crashVariant is what is left of an Output when the machine stops within it.
type crashVariant struct {
	name string
	// records is how many of n records reached the disk.
	records func(n int) int
	// durable is how many of n messages that waited for the disk had left.
	durable func(n int) int
}

func keepNone(int) int   { return 0 }
func keepAll(n int) int  { return n }
func keepHalf(n int) int { return n / 2 }

// A message that must wait for the disk leaves only once all records are on it; one
// that need not may have left in any case.
var crashVariants = []crashVariant{
	{"before the write", keepNone, keepNone},
	{"half of the records", keepHalf, keepNone},
	{"all but one record", func(n int) int { return max(n-1, 0) }, keepNone},
	{"before the messages leave", keepAll, keepNone},
	{"after half of the messages", keepAll, keepHalf},
}

// crashScenario is a short life of four replicas: blocks with checkpoints, a view
// change with something uncommitted, blocks in the next view.
func crashScenario(w *world) {
	seq := uint64(0)
	submit := func(to ...int) {
		seq++
		r := w.request(1, seq, fmt.Sprint("op ", seq))
		for _, id := range to {
			if w.nodes[id].up {
				w.nodes[id].submit(r)
			}
		}
	}
	submit(0)
	submit(0)
	submit(1)
	w.settle(nil)
	w.run(3, nil)
	// Commits are lost, then the primary is cut off.
	submit(0, 1, 2, 3)
	submit(0, 1, 2, 3)
	w.settle(func(p packet) bool { return !isCommit(p) })
	w.run(24, func(p packet) bool { return p.from != 0 && p.to != 0 && !(isCommit(p) && p.to == 2) })
	submit(1, 2, 3)
	w.run(6, nil)
	submit(0, 1, 2, 3)
	w.run(6, nil)
}

func isCommit(p packet) bool {
	if p.kind != KindVote {
		return false
	}
	_, m, err := Decode(p.data)
	if err != nil {
		return false
	}
	return m.(*Vote).Phase == Commit
}

func crashWorld() *world {
	w := newWorld(equalWeights(4), 3, func(c *Config) {
		c.Window, c.CheckpointEvery, c.LogMax, c.Retain, c.MaxBlockRequests = 2, 2, 6, 2, 1
	})
	w.watch()
	return w
}

// outputs counts the outputs of a node in the scenario.
func outputs(id ReplicaID) int {
	w := crashWorld()
	count := 0
	w.boundary = func(n *testNode, _ *Output) bool {
		if n.id == id {
			count++
		}
		return false
	}
	crashScenario(w)
	return count
}

// TestCrashAtEveryOutput stops each replica within each of its outputs, in several
// ways, starts it again from what reached its disk, and demands agreement, that it
// never contradicts itself, and that everything is executed everywhere in the end.
func TestCrashAtEveryOutput(t *testing.T) {
	runs := 0
	for id := range ReplicaID(4) {
		n := outputs(id)
		require.Greater(t, n, 30)
		step := 1
		if testing.Short() {
			step = 7
		}
		for at := 0; at < n; at += step {
			for i, v := range crashVariants {
				if !*crashAll && (at+i)%2 == 1 {
					continue // neighbouring outputs get the other half
				}
				crashOnce(t, id, at, v)
				runs++
				if t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}

func crashOnce(t *testing.T, id ReplicaID, at int, v crashVariant) {
	w := crashWorld()
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
	// It is started again with the next tick.
	restart := func() {
		if n := w.nodes[id]; !n.up {
			n.start(false)
		}
	}
	w.afterTick = restart
	crashScenario(w)
	restart()
	last := w.request(2, 1, "last")
	for _, n := range w.nodes {
		n.submit(last)
	}
	d := last.Digest()
	finished := func() bool {
		top := w.nodes[0].core.Committed()
		for _, n := range w.nodes {
			if !n.done[d] || n.core.Committed() != top || n.core.ExecutedHeight() != top || n.core.PoolLen() > 0 {
				return false
			}
		}
		return true
	}
	for tick := 0; !finished(); tick++ {
		if tick == 300 {
			t.Fatalf("replica %d, output %d, %s: no progress\n%s", id, at, v.name, w.describe())
		}
		w.run(1, nil)
	}
	require.Empty(t, w.broken, "replica %d, output %d, %s", id, at, v.name)
	for _, n := range w.nodes {
		require.Empty(t, n.alarms, "replica %d, output %d, %s", id, at, v.name)
		require.Empty(t, n.evidence, "replica %d, output %d, %s", id, at, v.name)
	}
}
