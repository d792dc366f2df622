package chaos

import (
	"reflect"
	"strings"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Catching up by state transfer.

func playChunkIndex(a *act) {
	d := a.direct(func(o *Options) { bulk(o); traitor(2, "mute")(o) })
	wrong := 0
	d.corrupt(2, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			c, ok := m.(*pbft.Chunk)
			if !ok || len(c.Data) == 0 {
				return true
			}
			wrong++
			p.Transmit(to, &pbft.Chunk{Height: c.Height, Index: c.Index ^ 1, Data: c.Data})    // good data, another index
			p.Transmit(to, &pbft.Chunk{Height: c.Height, Index: c.Index, Data: spoil(c.Data)}) // and the other way round
			return false
		}
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(wrong > 0 && x.transfer, "chunks under a wrong index in a state transfer (%d)", wrong)
	a.holds(r.Transfers > 0, "no state was installed")
	a.holds(r.Sometimes[seenPoison] > 0, "nobody found the wrong chunk")
	x.returned(a, 1500*time.Millisecond)
	a.fact("%d chunks came under another's index: found and named, asked of others, the state installed; level after %v", wrong, x.level.Round(time.Millisecond))
}

func spoil(data []byte) []byte {
	bad := append([]byte(nil), data...)
	bad[len(bad)/2] ^= 1
	return bad
}

func playPoisonedManifest(a *act) {
	d := a.direct(func(o *Options) { bulk(o); traitor(2, "mute")(o) })
	bad := 0
	d.corrupt(2, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			c, ok := m.(*pbft.Manifest)
			if !ok || len(c.Data) < 64 {
				return true
			}
			bad++
			data := append([]byte(nil), c.Data...)
			data[len(data)-1] ^= 1 // in the digest of the last chunk
			p.Transmit(to, &pbft.Manifest{Height: c.Height, Data: data})
			return false
		}
	})
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		// So that the traitor's comes first.
		_, ok := m.(*pbft.Manifest)
		return ok && from != 2 && bad == 0
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(bad > 0 && x.transfer, "a manifest with a wrong digest of a chunk in a state transfer")
	a.holds(r.Transfers > 0, "no state was installed")
	x.returned(a, 1500*time.Millisecond)
	for _, t := range []any{pbft.Bundle{}, pbft.Header{}, pbft.CheckpointStatement{}, pbft.Manifest{}, pbft.Chunk{}} {
		for f := range fieldsOf(reflect.TypeOf(t)) {
			a.holds(!strings.Contains(f, "Priorit") && !strings.Contains(f, "Primary"), "%T carries %s", t, f)
		}
	}
	for v := range pbft.View(40) {
		a.holds(d.replicas[3].up.verifier != nil && d.schedule.Primary(0, v) == pbft.NewSchedule(d.opts.Weights).Primary(0, v), "the primary of view %d is no function of the weights", v)
	}
	a.fact("%d manifests with another digest of a chunk: refused, the certified one taken from another peer, level after %v; no message of a transfer says who is primary", bad, x.level.Round(time.Millisecond))
}

// fieldsOf are the names of a struct's fields, at all depths.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	names := map[string]reflect.Type{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				f := t.Field(i)
				name := t.Name() + "." + f.Name
				if _, seen := names[name]; !seen {
					names[name] = f.Type
					walk(f.Type)
				}
			}
		}
	}
	walk(t)
	return names
}

func playPaused(a *act) {
	d := a.direct(func(o *Options) { behind(o); o.Storm = 5 * time.Second; o.Clients = 8 })
	const from, to = 400 * time.Millisecond, 3400 * time.Millisecond
	m := d.replicas[3]
	d.at(from, m.pause)
	d.at(to, m.resume)
	lag, most, level := pbft.Height(0), 0, time.Duration(0)
	d.watch(5*time.Millisecond, func() {
		most = max(most, len(m.up.inbox))
		top := d.core(1).ExecutedHeight()
		if d.now < to {
			lag = top - d.core(3).ExecutedHeight()
		} else if level == 0 && d.core(3).ExecutedHeight()+d.opts.Window >= top {
			level = d.now - to
		}
	})
	r := d.play()
	a.occurred(lag > 100 && most >= maxInbox, "a replica that stood still for 3s under load (%d blocks, %d messages waiting)", lag, most)
	a.holds(most <= maxInbox, "%d messages wait, the bound is %d", most, maxInbox)
	a.holds(level > 0 && level < time.Second, "it is not level a second after it went on (%v)", level)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("stopped for 3s under load, %d blocks behind with %d messages waiting (bound %d): level %v after it went on", lag, most, maxInbox, level.Round(time.Millisecond))
}

// playLeaderFromTransfer: while replica 3 fetches a state, the traitor says of itself in
// every answer that it is in a view of which it is the primary.
func playLeaderFromTransfer(a *act) {
	d := a.direct(func(o *Options) { behind(o); traitor(2, "mute")(o) })
	said, believed := 0, pbft.View(0)
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	d.corrupt(2, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			if to == 3 && d.now > x.back {
				p.Transmit(3, &pbft.Status{View: 42, Entered: true, Open: true, Committed: d.core(2).Committed(), High: pbft.Rank{View: 42, Height: 1}})
				p.Transmit(3, p.startClaim(42))
				said++
			}
			return true
		}
	})
	d.watch(time.Millisecond, func() { believed = max(believed, d.core(3).View()) })
	r := d.play()
	a.occurred(said > 20 && x.transfer && r.Transfers > 0, "the lie in a state transfer (%d)", said)
	a.holds(believed == 0, "replica 3 went to view %d", believed)
	x.returned(a, 1500*time.Millisecond)
	a.fact("while replica 3 fetched a state a peer said %d times to rule view 42: replica 3 stayed in view 0 and was level after %v", said, x.level.Round(time.Millisecond))
}

// playDiverged: the state of replica 3 is another one for a while, and it says so at some
// checkpoints. It hears of no snapshot above until it has repaired its state from one
// below, and so comes to the right state at heights at which it has signed a wrong one.
func playDiverged(a *act) { diverged(a, quiet().Seed) }

// RunDiverged plays the scenario bft-smart-diverged-replica under another seed.
func RunDiverged(seed uint64) *Report { return diverged(new(act), seed) }

func diverged(a *act, seed uint64) *Report {
	d := a.direct(func(o *Options) {
		o.Seed, o.Faults.Differ, o.Network.Delay = seed, 24*time.Hour, time.Millisecond
	})
	const start = 500 * time.Millisecond
	m := d.replicas[3]
	at, found, ordered, base := pbft.Height(0), pbft.Height(0), pbft.Height(0), pbft.Height(0)
	healed := time.Duration(0)
	d.at(start, func() {
		m.differs, m.broken = true, brokenDiffers
		at = d.core(3).ExecutedHeight()
	})
	d.hold(func(_, to pbft.ReplicaID, msg pbft.Message) bool {
		if to != 3 || at == 0 || healed > 0 {
			return false
		}
		switch msg := msg.(type) {
		case *pbft.CheckpointVote:
			return d.core(0).IsSnapshot(msg.Height)
		case *pbft.Bundle:
			return d.core(0).IsSnapshot(msg.Height())
		}
		return false
	})
	d.watch(time.Millisecond, func() {
		c := d.core(3)
		if c == nil {
			return
		}
		switch {
		case c.Diverged() != nil && found == 0:
			found = c.ExecutedHeight()
			m.differs = false // what was wrong is right again from here on
		case found > 0 && c.Diverged() != nil:
			ordered, base = c.Tip().Height, c.SnapshotHeight()
		case found > 0 && healed == 0:
			healed = d.now
		}
	})
	r := d.play()
	a.occurred(at > 0 && base < at, "the application of replica 3 differs from block %d on, the last snapshot that it heard of is that of %d", at, base)
	a.holds(found > 0 && found <= at+3*d.opts.CheckpointEvery, "replica 3 differs since block %d and goes on (found out at %d)", at, found)
	a.holds(ordered > found, "replica 3 votes for no blocks while its state is wrong (up to %d)", ordered)
	a.holds(healed > 0 && m.honest(), "replica 3 is not healed")
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("the state of replica 3 differed from block %d on: it found out at %d, within a checkpoint or two, executed nothing more and voted for blocks up to %d; it repaired its state from the snapshot of %d by executing the log again, and took part in all %d blocks", at, found, ordered, base, r.Blocks)
	return r
}

// playTransferWithoutPrimary: replica 3 comes back in the moment in which the primary
// goes, and nobody asks for anything.
func playTransferWithoutPrimary(a *act) {
	d := a.direct(func(o *Options) {
		behind(o)
		o.Timeouts.Progress, o.Timeouts.Idle, o.Timeouts.RequestAge = 400, 400, 800 // no view change during this
		o.Timeouts.ReceiptDelay = 2
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	installed, view := time.Duration(0), pbft.View(0)
	d.at(1290*time.Millisecond, func() { d.isolate(0) })
	d.watch(5*time.Millisecond, func() {
		if d.now > x.back && installed == 0 && d.report.Transfers > 0 {
			installed, view = d.now-x.back, d.core(3).View()
		}
	})
	r := d.play()
	a.occurred(x.lag > 0 && x.transfer, "replica 3 behind and the primary gone")
	a.holds(installed > 0 && view == 0, "no state installed without a primary (%v, view %d)", installed, view)
	a.fact("the primary was gone and no view change under way: replica 3, %d blocks behind, had the state installed after %v", x.lag, installed.Round(time.Millisecond))
	a.fact("%d transfers, %d blocks", r.Transfers, r.Blocks)
}

// playTwoViewsBehind: of seven, replica 6 misses two view changes and several
// snapshots. When it is back it hears of views first and of checkpoints later.
func playTwoViewsBehind(a *act) {
	d := a.direct(func(o *Options) { behind(o); o.Weights, o.Storm = equalWeights(7), 5*time.Second })
	const back = 2700 * time.Millisecond
	x := d.away(6, 300*time.Millisecond, back)
	var heal func()
	d.at(500*time.Millisecond, func() { heal = d.isolate(0) })
	d.at(1500*time.Millisecond, func() { heal(); heal = d.isolate(1) })
	d.at(2500*time.Millisecond, func() { heal() })
	views, held, entered, votes := pbft.View(0), 0, time.Duration(0), 0
	d.at(back, func() { views = d.core(3).View() })
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if v, ok := m.(*pbft.Vote); ok && from == 6 && d.now > back && v.View >= 2 {
			votes++
		}
		switch m.(type) {
		case *pbft.Bundle, *pbft.CheckpointVote, *pbft.Manifest, *pbft.Chunk, *pbft.Blocks:
			if to == 6 && d.now > back && d.now < back+300*time.Millisecond {
				held++
				return true
			}
		}
		return false
	})
	d.watch(5*time.Millisecond, func() {
		if c := d.core(6); d.now > back && entered == 0 && c.View() >= views && c.Entered() && c.Open() && c.ExecutedHeight()+2*d.opts.Window >= x.top() {
			entered = d.now - back
		}
	})
	r := d.play()
	a.occurred(views >= 2 && held > 0 && x.transfer, "two views and several snapshots missed, the views heard of first (view %d, %d messages later)", views, held)
	a.holds(entered > 0 && entered < 1200*time.Millisecond && votes > 0, "replica 6 takes no part in view %d (%v, %d votes)", views, entered, votes)
	a.fact("replica 6, %d blocks and %d views behind, heard of the views first: after the transfer it was in view %d and voting, %v after its return", x.lag, views, views, entered.Round(time.Millisecond))
	a.fact("%d transfers, %d blocks", r.Transfers, r.Blocks)
}

// playTwoSnapshots holds the chunks of a transfer back until later snapshots are on
// offer, and brings one more while the last of them is being installed.
func playTwoSnapshots(a *act) {
	d := a.direct(behind)
	x := d.away(3, 300*time.Millisecond, 1000*time.Millisecond)
	heights, installing, midway := map[pbft.Height]bool{}, pbft.Height(0), 0
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		_, ok := m.(*pbft.Chunk)
		return ok && to == 3 && len(heights) < 3
	})
	d.watch(time.Millisecond, func() {
		m := d.replicas[3]
		h, got, total := m.up.node.Transfer()
		if h == 0 || d.report.Transfers > 0 {
			m.slow = 1
			return
		}
		heights[h] = true
		if m.slow = 200; total > 0 && got == total && len(heights) >= 3 {
			// All chunks are there: it is being installed, and that takes some time.
			if b := d.core(1).StableBundle(); b != nil && b.Height() > h && d.core(1).IsSnapshot(b.Height()) {
				installing = h
				midway++
				d.network.send(1, 3, pbft.Encode(0, b))
			}
		}
	})
	r := d.play()
	a.occurred(len(heights) >= 3, "a transfer that goes over to later snapshots (%v)", heights)
	a.occurred(midway > 0 && installing > 0, "a later snapshot while one is installed (%d times)", midway)
	a.holds(r.Transfers > 0 && x.level > 0 && x.level < time.Second, "no state was installed, or late (%d transfers, level after %v)", r.Transfers, x.level)
	a.fact("%d snapshots one after the other while the first was on its way, and %d times a later one while that of %d was being installed: it was installed, then what came after, level after %v", len(heights), midway, installing, x.level.Round(time.Millisecond))
	a.fact("%d states installed", r.Transfers)
}
