package chaos

import (
	"math"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// Claims that lie and views that are huge.

// suspectFrom has a traitor ask for the next view by its Status, again and again; if
// it is the primary, that alone is enough.
func (p *puppet) suspectFrom(at time.Duration) func(m pbft.Message) pbft.Message {
	return func(m pbft.Message) pbft.Message {
		if s, ok := m.(*pbft.Status); ok && p.Host.Now() >= at && s.View == 0 {
			x := *s
			x.Suspect = true
			return &x
		}
		return m
	}
}

// forgery is a certificate that nobody signed, for a quorum of all but the last.
func forgery(d *directed, s pbft.Statement) *pbft.Certificate {
	signers := crypto.NewBitmap(len(d.replicas))
	for i := range uint16(d.quorums.QuorumWeight()) {
		signers.Set(pbft.ReplicaID(i))
	}
	return &pbft.Certificate{Statement: s, Signers: signers, Proof: make([]byte, 96)}
}

// playStuckCertificate: the traitor is the first primary; it falls silent and then
// claims a certificate above everybody's that nobody signed. Replica 3's honest claim
// is late, so the next primary has a quorum only with the lie in it.
func playStuckCertificate(a *act) {
	d := a.direct(traitor(0, "mute"))
	var lie pbft.Claim
	lies := 0
	d.corrupt(0, func(p *puppet) {
		asks := p.suspectFrom(400 * time.Millisecond)
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			switch x := m.(type) {
			case *pbft.PrePrepare:
				return p.Host.Now() < 400*time.Millisecond
			case *pbft.ViewChange:
				high := pbft.Statement{Phase: pbft.Prepare, View: x.View - 1, Height: x.High.Height + 3, Block: crypto.Hash("chaos/no such block")}
				if x.View > 1 {
					return true
				}
				lie = pbft.Claim{View: x.View, High: high.Rank(), Block: high.Block, Phase: pbft.Prepare, Stable: x.Stable}
				lies++
				p.Transmit(to, &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: lie, Signer: p.Self}, Certificate: forgery(d, high)})
				return false
			}
			p.Transmit(to, asks(m))
			return false
		}
	})
	opened, ofTraitor, named := time.Duration(0), false, false
	early := 0
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		switch m := m.(type) {
		case *pbft.ViewChange:
			if from == 0 {
				early++
			}
			// The honest claim waits until the lie was looked at.
			return from == 3 && to == 1 && !named
		case *pbft.NewView:
			if m.View == 1 && opened == 0 {
				opened = d.now
				for i := range m.Claims {
					ofTraitor = ofTraitor || m.Claims[i].Signer == 0
				}
			}
		}
		return false
	})
	d.watch(10*time.Millisecond, func() {
		named = named || d.core(1).Counters().Dropped[pbft.KindViewChange][pbft.DropClaim] > 0
		if !named && opened == 0 && d.now > 900*time.Millisecond {
			named = true // or replica 3 would wait for ever
		}
	})
	r := d.play()
	dropped := d.core(1).Counters().Dropped[pbft.KindViewChange][pbft.DropClaim]
	a.occurred(lies > 0 && early > 0, "a claim above everybody's, with a certificate that nobody signed")
	a.holds(dropped > 0, "the primary of view 1 found no claim without its certificate")
	a.holds(opened > 0 && !ofTraitor, "view 1 does not open on honest claims (opened %v, with the traitor's %t)", opened, ofTraitor)
	a.holds(r.ViewChanges == 1, "view %d was reached, the first view change should have been enough", r.ViewChanges)
	a.fact("a claim of rank %v that no certificate proves was in the first quorum; the primary of view 1 named it and opened the view without it", lie.High)
	a.fact("%d blocks, highest view %d", r.Blocks, r.ViewChanges)
}

// playWrongSet: at the view change every replica claims another stable checkpoint,
// the traitor one beyond all that exist.
func playWrongSet(a *act) {
	d := a.direct(traitor(0, "mute"))
	const away = 700 * time.Millisecond
	d.corrupt(0, func(p *puppet) {
		asks := p.suspectFrom(away)
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			if v, ok := m.(*pbft.ViewChange); ok {
				x := v.Claim
				x.Stable = 1 << 40
				p.Transmit(to, &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: x, Signer: p.Self}, Certificate: v.Certificate})
				return false
			}
			p.Transmit(to, asks(m))
			return false
		}
	})
	stables := map[pbft.Height]bool{}
	opened := false
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if n, ok := m.(*pbft.NewView); ok && n.View == 1 && !opened {
			opened = true
			for i := range n.Claims {
				stables[n.Claims[i].Stable] = true
			}
		}
		if opened {
			return false
		}
		if v, ok := m.(*pbft.ViewChange); ok && v.View == 1 {
			return from == 3 // so that the quorum is 0, 1 and 2
		}
		if to == 2 && d.now > 300*time.Millisecond {
			switch m.(type) {
			case *pbft.Status, *pbft.ViewChange:
				return false
			}
			return true
		}
		return false
	})
	r := d.play()
	a.occurred(len(stables) == 3, "three claims with three stable checkpoints in the NewView (%v)", stables)
	a.holds(r.ViewChanges == 1, "view %d was reached, the first view change should have been enough", r.ViewChanges)
	a.fact("view 1 opened on claims with %d different stable checkpoints, one of them 2^40; no other view was needed", len(stables))
	a.fact("%d blocks", r.Blocks)
}

// playHugeView: in a cluster of ten a traitor says in every way that it is in views up
// to 2^64-1, also as their primary.
func playHugeView(a *act) {
	d := a.direct(func(o *Options) {
		o.Weights = equalWeights(10)
		traitor(4, "mute")(o)
	})
	views := []pbft.View{math.MaxUint64, math.MaxUint64 - 1, 1 << 63, 1<<63 - 1, 1 << 62, 1 << 32, 1 << 31, 1000, 4, 14}
	said, verified, n := 0, 0, 0
	d.corrupt(4, func(p *puppet) {
		p.tick = func() {
			v := views[n%len(views)]
			n++
			claim := p.startClaim(v)
			p.Broadcast(claim)
			p.Broadcast(&pbft.Status{View: v, Entered: true, Open: true, High: pbft.Rank{View: v, Height: math.MaxUint64}, Committed: math.MaxUint64 - 1, Suspect: true})
			if p.Schedule.Primary(0, v) == p.Self {
				signed := pbft.Sign(p.Core.Cluster, 0, claim, p.Keys).(*pbft.ViewChange)
				p.Broadcast(&pbft.NewView{View: v, Claims: []pbft.SignedClaim{signed.SignedClaim}})
			}
			said += 3
			if d.verdict(0, p.Self, pbft.Sign(p.Core.Cluster, 0, claim, p.Keys)) == pbft.NoDrop {
				verified++
			}
		}
	})
	r := d.play()
	a.occurred(said > 500 && verified > 100, "%d huge views, %d of them authentic", said, verified)
	a.holds(r.ViewChanges == 0, "an honest replica went to view %d", r.ViewChanges)
	a.fact("%d messages with views up to 2^64-1, correctly signed: no honest replica left view 0, %d blocks", said, r.Blocks)
}

// playFakedFields: a traitor passes on what others signed, with one field changed.
func playFakedFields(a *act) {
	d := a.direct(traitor(3, "mute"))
	faked, good := 0, 0
	taken := map[string]int{}
	d.corrupt(3, func(p *puppet) {
		send := func(what string, m pbft.Message) {
			faked++
			if d.core(1) != nil && d.verdict(1, p.Self, m) == pbft.NoDrop {
				taken[what]++
			}
			p.Broadcast(m)
		}
		p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
			switch m := m.(type) {
			case *pbft.ViewChange:
				good++
				for _, fake := range []func(x *pbft.ViewChange){
					func(x *pbft.ViewChange) { x.View++ },
					func(x *pbft.ViewChange) { x.Signer = (x.Signer + 1) % 3 },
					func(x *pbft.ViewChange) { x.Stable += 8 },
				} {
					x := *m
					fake(&x)
					send("ViewChange", &x)
				}
			case *pbft.NewView:
				good++
				for _, fake := range []func(x *pbft.NewView){
					func(x *pbft.NewView) { x.Claims[0].Stable++ },
					func(x *pbft.NewView) { x.Claims[0].Signer, x.Claims[1].Signer = x.Claims[1].Signer, x.Claims[0].Signer },
					func(x *pbft.NewView) { x.View += 4 },
				} {
					x := &pbft.NewView{View: m.View, Claims: append([]pbft.SignedClaim(nil), m.Claims...), Certificate: m.Certificate, Signature: m.Signature}
					fake(x)
					send("NewView", x)
				}
			case *pbft.PrePrepare:
				if good++; good%4 == 0 {
					h := m.Header
					h.Time++
					send("PrePrepare", &pbft.PrePrepare{Block: pbft.NewBlock(h, m.Requests), Signature: m.Signature})
				}
			}
			return true
		}
	})
	var heal func()
	d.at(500*time.Millisecond, func() { heal = d.isolate(0) })
	d.at(1500*time.Millisecond, func() { heal() })
	r := d.play()
	a.occurred(faked > 50 && r.ViewChanges > 0, "%d messages passed on with a field changed, a view change among them", faked)
	a.holds(len(taken) == 0, "taken with a changed field: %v", taken)
	a.holds(r.ViewChanges <= 2, "view %d was reached", r.ViewChanges)
	a.fact("%d messages of others passed on with one field changed and their old signature, ViewChanges and NewViews among them: none verified", faked)
	a.fact("highest view %d, %d blocks", r.ViewChanges, r.Blocks)
}
