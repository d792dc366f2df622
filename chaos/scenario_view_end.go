package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// View changes without end, or that never come about.

func playStorm(a *act) {
	d := a.direct(traitor(2, "storm"))
	r := d.play()
	a.occurred(d.deeds(2) > 100, "the traitor asked for view changes %d times", d.deeds(2))
	// The view that it is asked to rule itself it may end: by silence it could, too.
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("one of four asked for another view %d times: none was opened, %d blocks", d.deeds(2), r.Blocks)
}

func playPoorNetwork(a *act) {
	d := a.direct(func(o *Options) {
		o.Storm = 12 * time.Second
		o.Think = 10 * time.Millisecond
		o.Network = Network{Delay: 2 * time.Millisecond, Jitter: 3 * time.Millisecond, Loss: 0.02, Tail: 0.005, Duplicate: 0.01}
		o.Timeouts.Progress, o.Timeouts.RequestAge, o.Timeouts.Retry = 50, 200, 3
	})
	sent := uint64(0)
	d.hold(func(pbft.ReplicaID, pbft.ReplicaID, pbft.Message) bool { sent++; return false })
	r := d.play()
	a.occurred(sent > 5000, "%d messages on a network that loses 2%%", sent)
	a.holds(r.ViewChanges == 0, "view %d was reached in %v", r.ViewChanges, d.opts.Storm)
	a.fact("2%% of more than %d messages lost, others fifty times as late: no view change in %v, %d blocks", sent/1000*1000, d.opts.Storm, r.Blocks)
}

// playBackupsApart: the backups hear each other's suspicions, and then only the primary:
// all four have left for view 1, the old primary has all four ViewChanges, and everybody
// else, the new primary among them, has two.
func playBackupsApart(a *act) {
	d := a.direct(nil)
	const from = 500 * time.Millisecond
	until := time.Hour
	d.hold(func(x, y pbft.ReplicaID, m pbft.Message) bool {
		if d.now < from || d.now >= until {
			return false
		}
		switch m.(type) {
		case *pbft.Status:
			return false
		case *pbft.Certificate:
			return true // those that the primary passes on would do without the backups' links
		}
		return x != 0 && y != 0
	})
	stuck, resumed := pbft.Height(0), time.Duration(0)
	d.watch(10*time.Millisecond, func() {
		left := true
		for i := range pbft.ReplicaID(4) {
			left = left && d.core(i).View() == 1
		}
		switch c := d.core(1); {
		case until == time.Hour && left && !c.Entered():
			until, stuck = d.now+60*time.Millisecond, c.Committed()
		case d.now > until && resumed == 0 && c.Committed() > stuck:
			resumed = d.now - until
		}
	})
	r := d.play()
	a.occurred(until < time.Hour, "all four in view 1, each backup without the others' ViewChanges")
	a.holds(resumed > 0 && resumed < 200*time.Millisecond, "no block soon after the links' return (%v)", resumed)
	a.holds(r.ViewChanges == 1, "view %d was reached", r.ViewChanges)
	a.fact("four replicas in view 1 with two ViewChanges at each backup: once they heard each other again the next block came after %v, in view %d", resumed.Round(time.Millisecond), r.ViewChanges)
}

// playOnePartitioned cuts off the primary, heals it, and cuts off the next one at the
// moment when it opens its view.
func playOnePartitioned(a *act) {
	d := a.direct(func(o *Options) { o.Clients, o.Think = 8, 5*time.Millisecond })
	cuts, blocks, opening := 0, pbft.Height(0), false
	var heal func()
	victim := pbft.ReplicaID(0)
	cut := func(id pbft.ReplicaID) {
		if heal != nil {
			heal()
		}
		cuts, victim, heal = cuts+1, id, d.isolate(id)
	}
	d.at(500*time.Millisecond, func() { cut(0) })
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if n, ok := m.(*pbft.NewView); ok && n.View == 1 && from == 1 {
			if !opening {
				opening = true
				d.after(2*time.Millisecond, func() { cut(1) })
			}
			return to != 2 // one of three has it
		}
		return false
	})
	d.at(2500*time.Millisecond, func() { blocks = d.core(3).Committed() })
	grown := pbft.Height(0)
	d.at(2990*time.Millisecond, func() { grown = d.core(3).Committed() - blocks })
	r := d.play()
	a.occurred(cuts == 2 && victim == 1, "the primary cut off, and the next one when it opened its view (%d)", cuts)
	a.holds(grown > 30, "%d blocks in half a second with one of four cut off", grown)
	a.fact("the primary was cut off, then the next one in the middle of opening its view: view %d ordered %d blocks in half a second without it", r.ViewChanges, grown)
}

// playWithoutViewChanges: replica 3 gets no ViewChange at all.
func playWithoutViewChanges(a *act) {
	d := a.direct(nil)
	held, votes := 0, 0
	var heal func()
	d.at(500*time.Millisecond, func() { heal = d.isolate(0) })
	d.at(1200*time.Millisecond, func() { heal() })
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if _, ok := m.(*pbft.ViewChange); ok && to == 3 {
			held++
			return true
		}
		if v, ok := m.(*pbft.Vote); ok && from == 3 && v.Signer == 3 && v.View == 1 {
			votes++
		}
		if s, ok := m.(*pbft.Status); ok && to == 3 && s.View == 1 && !s.Entered {
			return true
		}
		return false
	})
	entered := time.Duration(0)
	d.watch(10*time.Millisecond, func() {
		if c := d.core(3); entered == 0 && c.View() == 1 && c.Entered() {
			entered = d.now
		}
	})
	r := d.play()
	a.occurred(held > 0 && r.ViewChanges == 1, "all ViewChanges for replica 3 held back (%d, highest view %d)", held, r.ViewChanges)
	a.holds(entered > 0 && entered < 1500*time.Millisecond, "replica 3 is not in view 1 (%v)", entered)
	a.holds(votes > 50, "replica 3 sends %d votes in view 1", votes)
	a.fact("none of %d ViewChanges reached replica 3: it entered view 1 at %v by the NewView alone, and sent %d votes in it", held, entered.Round(time.Millisecond), votes)
}
