package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Catching up by blocks.

// playHeightLies: to replica 3, which lags, the traitor says to be at a million whenever
// that may choose whom to ask for the next blocks, and at three when it has asked the
// traitor, who answers nothing.
func playHeightLies(a *act) {
	d := a.direct(func(o *Options) {
		byBlocks(o)
		o.CheckpointEvery, o.Storm = 1024, 4*time.Second // no snapshot that would help
		traitor(2, "mute")(o)
	})
	x := d.away(3, 300*time.Millisecond, 2300*time.Millisecond)
	const high, low = 1_000_000, 3
	asked, lows, lag := 0, 0, pbft.Height(0)
	d.corrupt(2, func(p *puppet) {
		var (
			last  pbft.Status
			back  time.Duration    // when it is at a million again
			heard [2]time.Duration // when replicas 0 and 1 said where they are
		)
		say := func(h pbft.Height) {
			m := last
			m.Committed, m.Executed, m.Tip.Height, m.High.Height = h, h, h, h
			p.Transmit(3, &m)
		}
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			if m, ok := m.(*pbft.Status); ok && to == 3 {
				last = *m
				return false
			}
			return m.Kind() != pbft.KindBlocks // it has none
		}
		p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
			if d.now <= x.back {
				return true
			}
			switch m := m.(type) {
			case *pbft.Status:
				if from < 2 && !m.Reply { // replica 3 gets it as well
					heard[from] = d.now
				}
			case *pbft.GetBlocks:
				if from != 3 || !m.Digest.IsZero() {
					break
				}
				// It wants the next blocks of who is ahead.
				if asked++; asked == 1 {
					lag = x.top() - d.core(3).ExecutedHeight()
				}
				// It asks again after three ticks, and at once if nobody is ahead any more: the
				// lower height comes when it has heard the others.
				if min(heard[0], heard[1]) > 0 && d.now > max(heard[0], heard[1])+2*time.Millisecond {
					lows++
					back = d.now + d.opts.Tick
					say(low)
				}
			}
			return true
		}
		p.tick = func() {
			if d.now > x.back && d.now >= back {
				say(high)
			}
		}
		// It is the first that replica 3 hears when it is back.
		d.at(x.back, func() { say(high) })
	})
	r := d.play()
	a.occurred(lag > 4*d.opts.Window, "replica 3 asks who says to be at %d when it is far behind (%d blocks)", high, lag)
	a.occurred(asked > 2 && lows > 1, "heights of a million that go back to 3 (%d requests, %d lies)", asked, lows)
	a.occurred(!x.transfer, "replica 3 has to catch up by blocks")
	x.returned(a, 500*time.Millisecond)
	a.fact("a peer said to be at height %d, was asked for blocks %d times, and said to be at %d then, %d times: replica 3, %d blocks behind, was level after %v", high, asked, low, lows, x.lag, x.level.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// playMalformedBlocks: the traitor answers every request with blocks that are wrong, and
// sends some to who has not asked.
func playMalformedBlocks(a *act) {
	d := a.direct(func(o *Options) { byBlocks(o); traitor(2, "poison")(o) })
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	unasked, verified := uint64(0), map[string]pbft.Drop{}
	d.at(1100*time.Millisecond, func() {
		// Good blocks for everybody, whom nobody asked for them.
		c := d.core(2)
		for range 20 {
			d.network.send(2, 1, pbft.Encode(0, answerFrom(d, 2, c.Committed()-3)))
		}
	})
	d.at(1250*time.Millisecond, func() {
		unasked = d.core(1).Counters().Dropped[pbft.KindBlocks][pbft.DropUnwanted]
		good := answerFrom(d, 2, d.core(2).Committed()-3)
		bad := func(what string, change func(x *pbft.Blocks)) {
			b := *good
			b.Blocks = append([]*pbft.PrePrepare(nil), good.Blocks...)
			change(&b)
			verified[what] = d.verdict(1, 2, &b)
		}
		bad("good", func(*pbft.Blocks) {})
		bad("without one in the middle", func(x *pbft.Blocks) { x.Blocks = append(x.Blocks[:1], x.Blocks[2:]...) })
		bad("none", func(x *pbft.Blocks) { x.Blocks = nil })
		bad("certificate of too few", func(x *pbft.Blocks) {
			q := *x.Certificate
			q.Signers = q.Signers.Clone()
			q.Signers[0] &= q.Signers[0] - 1
			x.Certificate = &q
		})
		bad("signature of another block", func(x *pbft.Blocks) {
			p := *x.Blocks[1]
			p.Signature = x.Blocks[0].Signature
			x.Blocks[1] = &p
		})
	})
	r := d.play()
	a.occurred(d.replicas[2].traitor.DeedsOf("poisoned blocks") > 0, "wrong blocks in answer to a request")
	a.occurred(verified["good"] == pbft.NoDrop && len(verified) == 5, "%v", verified)
	for what, why := range verified {
		a.holds(what == "good" || why != pbft.NoDrop, "blocks %s verify", what)
	}
	a.holds(unasked >= 20, "blocks that nobody asked for are taken: %d of 20 were counted", unasked)
	x.returned(a, time.Second)
	a.fact("%d answers with wrong blocks and %d that nobody had asked for: none taken; replica 3, %d blocks behind, was level after %v",
		d.replicas[2].traitor.DeedsOf("poisoned blocks"), unasked, x.lag, x.level.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// answerFrom is what a replica would answer to a request for its blocks from a height.
func answerFrom(d *directed, id pbft.ReplicaID, from pbft.Height) *pbft.Blocks {
	b := &pbft.Blocks{}
	records := map[pbft.Digest]*pbft.PrePrepare{}
	var high *pbft.Certificate
	must(d.replicas[id].disk.Load(nil, func(r pbft.Record) error {
		switch r.Key.Kind {
		case pbft.RecordBlock:
			p, err := pbft.DecodeRecordBlock(r.Value)
			records[p.Digest()] = p
			return err
		case pbft.RecordCommitted:
			_, q, err := pbft.DecodeRecordCommitted(r.Value)
			high = q
			return err
		}
		return nil
	}))
	for p := records[high.Block]; p != nil && p.Height >= from; p = records[p.Parent] {
		b.Blocks = append([]*pbft.PrePrepare{p}, b.Blocks...)
	}
	b.Certificate = high
	return b
}

// playSilentPeer: the traitor says to have everything, takes every request for it and
// answers none.
func playSilentPeer(a *act) {
	d := a.direct(func(o *Options) { byBlocks(o); traitor(0, "mute")(o) })
	asked := 0
	d.corrupt(0, func(p *puppet) {
		p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
			if _, ok := m.(*pbft.GetBlocks); ok && from == 3 {
				asked++
				return false
			}
			return true
		}
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(asked > 0, "requests that got no answer (%d)", asked)
	x.returned(a, time.Second)
	a.fact("a peer took %d requests for blocks and answered none: replica 3, %d blocks behind, was level after %v, %d blocks", asked, x.lag, x.level.Round(time.Millisecond), r.Blocks)
}

// playVotesWhileSyncing: replica 3 catches up in a stream of proposals and votes, with
// a traitor's votes for other blocks at its every height.
func playVotesWhileSyncing(a *act) {
	d := a.direct(func(o *Options) { byBlocks(o); o.Clients = 6; traitor(2, "mute")(o) })
	votes, while := 0, 0
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	d.corrupt(2, func(p *puppet) {
		p.tick = func() {
			c := d.core(3)
			if c == nil || d.now < x.back {
				return
			}
			for h := c.Committed(); h < c.Committed()+2*d.opts.Window; h++ {
				for _, phase := range []pbft.Phase{pbft.Prepare, pbft.Commit} {
					p.Transmit(3, &pbft.Vote{Statement: pbft.Statement{Phase: phase, Height: h + 1, Block: pbft.Digest{byte(h), byte(phase), 1}}, Signer: p.Self})
					votes++
				}
			}
			if x.level == 0 {
				while++
			}
		}
	})
	r := d.play()
	a.occurred(votes > 200 && while > 0, "votes of a traitor while replica 3 catches up (%d, %d ticks)", votes, while)
	x.returned(a, time.Second)
	a.fact("%d votes for blocks that do not exist, and everybody's own, while replica 3 caught up with %d blocks: level after %v", votes, x.lag, x.level.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// playVotedOnLosingBranch: the primary proposes another block to replica 3 than to
// the others, who decide theirs.
func playVotedOnLosingBranch(a *act) {
	d := a.direct(traitor(0, "mute"))
	var x, y *pbft.PrePrepare
	const start = 500 * time.Millisecond
	d.corrupt(0, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			b, ok := m.(*pbft.PrePrepare)
			if !ok || b.Proposer != p.Self || d.now < start {
				return true
			}
			if y == nil {
				y = b
				h := b.Header
				h.Time++
				x = &pbft.PrePrepare{Block: pbft.NewBlock(h, b.Requests)}
			}
			if b == y && to == 3 {
				p.Transmit(3, x)
				return false
			}
			return true
		}
	})
	voted, again := false, false
	var contradicts []string
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if m.Kind() == pbft.KindEvidence {
			return d.now < 2500*time.Millisecond // or the view would end with the first proof
		}
		v, ok := m.(*pbft.Vote)
		if !ok || from != 3 || x == nil || v.View != 0 {
			return false
		}
		if v.Block == x.Digest() {
			voted = true
		} else if v.Height >= x.Height && v.Height <= x.Height+d.opts.Window {
			contradicts = append(contradicts, v.Statement.String())
		} else if v.Height > x.Height+d.opts.Window {
			again = true
		}
		return false
	})
	followed := false
	d.watch(2*time.Millisecond, func() {
		if y != nil && d.core(3).Committed() >= y.Height {
			followed = true
		}
	})
	r := d.play()
	a.occurred(voted, "replica 3 voted for the block that lost")
	a.occurred(followed && d.judge.agreed[y.Height] == y.Digest(), "replica 3 learned that the other one was decided")
	a.holds(len(contradicts) == 0, "replica 3 also signed %v", contradicts)
	a.holds(again, "replica 3 never votes again in the view, also not more than a window above")
	a.holds(r.Evidence > 0, "no proof against the primary that made two blocks")
	a.fact("replica 3 voted for one block %d and learned by sync that another was decided: it executed that, signed nothing for it or within a window above, and then voted again; the primary was proved guilty", y.Height)
	a.fact("highest view %d, %d blocks", r.ViewChanges, r.Blocks)
}

// playMissingParent keeps one proposal from replica 3 while all that build on it come.
func playMissingParent(a *act) {
	d := a.direct(func(o *Options) {
		o.MaxBlockRequests, o.Clients, o.Think, o.Storm = 1, 8, 2*time.Millisecond, 1500*time.Millisecond
	})
	const start = 500 * time.Millisecond
	var h pbft.Height
	children, level := 0, time.Duration(0)
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		p, ok := m.(*pbft.PrePrepare)
		if !ok || to != 3 {
			return false
		}
		if h == 0 && d.now > start {
			h = p.Height
		}
		if p.Height > h && h > 0 && d.core(3).Tip().Height < h {
			children++
		}
		return p.Height == h && from == 0 && children < 3
	})
	d.watch(time.Millisecond, func() {
		if h > 0 && level == 0 && d.core(3).Committed() > h {
			level = d.now
		}
	})
	behindFor := time.Duration(0)
	d.watch(time.Millisecond, func() {
		if h > 0 && d.core(3).Committed() < h && d.core(1).Committed() > h {
			behindFor += time.Millisecond
		}
	})
	r := d.play()
	a.occurred(children >= 3, "blocks on top of one that is missing (%d)", children)
	a.holds(level > 0 && behindFor < 300*time.Millisecond, "replica 3 is stuck below block %d (%v)", h, behindFor)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("%d blocks came whose parent %d was missing: it was fetched, replica 3 was behind for %v, no view change, %d blocks", children, h, behindFor.Round(time.Millisecond), r.Blocks)
}
