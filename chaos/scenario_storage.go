package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// Crashes, damage, and what a replica still knows afterwards.

// forgetful is a disk that takes back the last synced write in a crash. Nobody sees it
// before one: the replica and the judge believe that what was synced is there.
func forgetful() Breach {
	return without("a crash takes the last write that was synced", "replica/store_memory.go", "	s.failed, s.misdirected = nil, false\n",
		"	s.failed, s.misdirected = nil, false\n	if n := len(s.history); ON && n > 0 {\n		for _, b := range s.history[n-1].before {\n			e := s.at([]byte(b.key))\n			e.durable = b.was\n			s.stale = append(s.stale, e)\n		}\n		s.history = s.history[:n-1]\n	}\n")
}

var storageScenarios = []Scenario{
	{
		Name: "nats-bit-flip-and-new-leader", Origin: "NATS JetStream", Bugs: []string{"NATS bit flip"}, Kind: Caught,
		Wrong:   "A flipped bit in the files of a minority made these servers cut their logs off at the damage. With such a server as the leader the others followed it: up to half of all acknowledged writes were lost.",
		Differs: "Each value has a checksum and its key; damage is found when it is read, and the replica stops. It does not go on with what is left: the operator gives it an empty disk, and it rejoins as one that has forgotten.",
		Rules:   "R7, DESIGN: storage",
		Breaches: []Breach{without("checksums of stored values are not checked", "replica/store.go",
			"crc32.Checksum(b[5:], castagnoli); want != got {\n", "crc32.Checksum(b[5:], castagnoli); want != got && !ON {\n")},
		play: playBitFlip,
	},
	{
		Name: "nats-power-loss-on-all", Origin: "NATS JetStream", Bugs: []string{"NATS power loss"}, Kind: Caught,
		Wrong:    "Acknowledged writes were synced every two minutes only. When power failed everywhere at once, up to a third of what had been acknowledged was gone.",
		Differs:  "A vote leaves after it and what it rests on is on the disk, so a commit rests on the disks of a quorum before anybody is told of it.",
		Rules:    "R5, R6, durable before it leaves",
		Breaches: []Breach{forgetful()},
		play:     playPowerLoss,
	},
	{
		Name: "etcd-crash-under-load", Origin: "etcd", Bugs: []string{"etcd #13766"}, Kind: Caught,
		Wrong:    "In a crash under load the applied index was on the disk and the data was not: the member went on with another revision than the rest.",
		Differs:  "There is no applied index to be wrong: the log and the snapshots are on the disk, the state is made of them at each start, and compared with what a quorum certified.",
		Rules:    "DESIGN: recovery",
		Breaches: []Breach{forgetful()},
		play:     playCrashPoints,
	},
	{
		Name: "etcd-single-node-loses-a-write", Origin: "etcd", Bugs: []string{"etcd #14370"}, Kind: Caught,
		Wrong:    "A cluster of one answered a write before it was on the disk; after a crash it was gone.",
		Differs:  "One member's own vote counts when its record is synced, like anybody's. Alone it needs that one vote, and answers after it.",
		Rules:    "a vote to oneself is a durable message",
		Breaches: []Breach{forgetful()},
		play:     playSingleNode,
	},
	{
		Name: "etcd-auth-makes-members-differ", Origin: "etcd", Bugs: []string{"etcd #14571"}, Kind: ByDesign,
		Wrong:   "Members that had been restored from a snapshot judged requests by another revision of the auth store than the others: the same request had an effect here and none there.",
		Differs: "Everything that decides what a request does is in the certified state: application and sessions. What a replica admits to its pool is its own affair and has no part in execution.",
		Rules:   "R17",
		Mutants: []string{"M18"},
		play:    playRestoredMember,
	},
	{
		Name: "etcd-crash-in-maintenance", Origin: "etcd", Bugs: []string{"etcd #14685", "etcd #17780"}, Kind: Caught,
		Wrong:    "A crash in the middle of defragmentation or compaction left a member with a revision that did not fit its data, or one that went back.",
		Differs:  "The log is pruned below the replica's own durable snapshot only, and what a restart needs is written before what it does not need is deleted.",
		Rules:    "DESIGN: storage",
		Breaches: []Breach{forgetful()},
		play:     playMaintenance,
	},
	{
		Name: "etcd-reading-what-was-compacted", Origin: "etcd", Bugs: []string{"etcd #18667"}, Kind: ByDesign,
		Wrong:   "A transaction that read a compacted revision failed at members that had compacted and worked at others: they went apart.",
		Differs: "No result depends on what a replica has pruned. Which answers are still on record, and which are forgotten, is part of the replicated state.",
		Rules:   "R17",
		Mutants: []string{"M28"},
		play:    playForgottenAnswers,
	},
	{
		Name: "etcd-stale-read-after-a-pause", Origin: "etcd", Bugs: []string{"etcd #20418"}, Kind: ByDesign,
		Wrong:    "A leader that was paused and went on answered linearizable reads from its old state, since the confirmation of its leadership was from before the pause.",
		Differs:  "A linearizable read is an operation in the log: it is answered when a quorum has committed it, and believed when F+1 say the same. There are no leases.",
		Rules:    "PROTOCOL 4.1",
		Breaches: []Breach{leased()},
		play:     playPausedPrimary,
	},
}

// playBitFlip damages an acknowledged block at one replica. When that has rejoined with
// an empty disk, primaries are cut off until it rules itself.
func playBitFlip(a *act) {
	d := a.direct(func(o *Options) { o.Storm = 6 * time.Second })
	const damaged = pbft.ReplicaID(2)
	flipped, refused := pbft.Height(0), false
	acked := 0
	d.at(600*time.Millisecond, func() {
		m := d.replicas[damaged]
		m.crash()
		for h := d.core(1).Committed(); h > 0 && flipped == 0; h-- {
			if key := (pbft.RecordKey{Kind: pbft.RecordBlock, Height: uint64(h), Digest: d.judge.agreed[h]}); m.disk.Flip(key) {
				flipped = h
			}
		}
		for _, u := range d.clients {
			acked += u.made - 1
		}
		m.rotten = true // so that the judge knows that it must stop
		m.boot()
		refused = m.up == nil && m.unusable
		d.after(50*time.Millisecond, func() {
			if m.unusable {
				m.wipe()
				m.boot()
			}
		})
	})
	views, before, ruled, led := 0, pbft.View(0), pbft.Height(0), pbft.Height(0)
	var heal func()
	d.watch(10*time.Millisecond, func() {
		c := d.core(damaged)
		switch {
		case !refused || c == nil || d.replicas[damaged].rejoining():
		case heal != nil:
			if c.View() > before && c.Open() {
				heal()
				heal = nil
				views++
			}
		case d.network.primary() != damaged && led == 0:
			before, heal = c.View(), d.isolate(d.network.primary())
		case ruled == 0:
			ruled = c.Committed()
		case c.Primary() == damaged && c.Open():
			led = c.Committed() - ruled
		}
	})
	r := d.play()
	a.occurred(flipped > 0 && acked > 20, "a bit flipped in an acknowledged block (%d, %d operations)", flipped, acked)
	a.holds(refused && r.Sometimes[seenRotFound] > 0, "the replica starts from a damaged disk")
	a.occurred(views > 0 && led > 20, "primaries cut off until replica %d rules (%d view changes, %d blocks under it)", damaged, views, led)
	a.fact("a bit was flipped in block %d of replica %d: it refused to start and rejoined with an empty disk; primaries were cut off until it ruled itself (%d views later), for %d blocks: all %d operations acknowledged before the flip are in the log", flipped, damaged, views, led, acked)
	a.fact("%d blocks", r.Blocks)
}

// playPowerLoss takes the power from all when two or more have writes under way.
func playPowerLoss(a *act) {
	d := a.direct(func(o *Options) { o.Disk, o.Storm, o.Clients = 3*time.Millisecond, 5*time.Second, 6 })
	losses, unsynced, next := 0, 0, 400*time.Millisecond
	d.watch(time.Millisecond, func() {
		busy := 0
		for _, m := range d.replicas {
			if m.up == nil {
				next = d.now + time.Duration(150+7*losses)*time.Millisecond
				return
			}
			if m.up.sim.Pending(replica.WorkDisk) > 0 {
				busy++
			}
		}
		if busy < 2 || d.now < next {
			return
		}
		losses++
		unsynced += busy
		for _, m := range d.replicas {
			d.restart(m.id, nil)
		}
	})
	r := d.play()
	a.occurred(losses >= 10 && unsynced > 2*losses && r.Sometimes[seenAllDown] >= losses, "power lost at all at once with writes under way (%d times, %d writes)", losses, unsynced)
	a.fact("power failed at all four at once, %d times, while %d writes were under way: everything that clients had been told is in the log, %d operations are linearizable", losses, unsynced, r.Operations)
	a.fact("%d blocks", r.Blocks)
}

// playCrashPoints crashes each replica at each boundary of a write.
func playCrashPoints(a *act) {
	d := a.direct(func(o *Options) { o.Clients, o.Think, o.Storm = 8, 5*time.Millisecond, 5*time.Second })
	n := 0
	d.watch(100*time.Millisecond, func() {
		for _, m := range d.replicas {
			if m.up == nil {
				m.boot()
			}
		}
		if m := d.replicas[n%4]; d.now > 200*time.Millisecond {
			m.armed = crashPoint(1 + n/4%(int(crashPoints)-1))
			n++
		}
	})
	r := d.play()
	points := 0
	for _, mark := range []string{seenCrashBeforeWrite, seenCrashAfterSync, seenCrashDuringRelease, seenCrashAfterRelease} {
		if r.Sometimes[mark] > 0 {
			points++
		}
	}
	a.occurred(points == 4 && r.Faults["crash at a boundary"] >= 12, "crashes at every boundary of a write (%d of 4, %d)", points, r.Faults["crash at a boundary"])
	a.fact("%d crashes at all four boundaries of a write under load: states and answers equal at all heights, %d operations linearizable", r.Faults["crash at a boundary"], r.Operations)
	a.fact("%d blocks", r.Blocks)
}

func playSingleNode(a *act) {
	d := a.direct(func(o *Options) {
		o.Weights, o.Storm, o.Disk, o.Clients = equalWeights(1), 4*time.Second, 2*time.Millisecond, 6
	})
	crashes := 0
	d.watch(70*time.Millisecond, func() {
		if m := d.replicas[0]; m.up != nil && m.up.sim.Pending(replica.WorkDisk) > 0 {
			crashes++
			d.restart(0, nil)
		}
	})
	r := d.play()
	a.occurred(crashes > 5, "crashes with a write under way (%d)", crashes)
	a.fact("a cluster of one crashed %d times with a write under way: %d operations are linearizable, none that was acknowledged is lost", crashes, r.Operations)
	a.fact("%d blocks", r.Blocks)
}

// playRestoredMember has a replica come back by a snapshot, while clients do all that
// the sessions decide about.
func playRestoredMember(a *act) {
	d := a.direct(func(o *Options) { behind(o); o.BadClients = []string{"replayer", "leaper", "twofaced"} })
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	at := pbft.Height(0)
	d.watch(5*time.Millisecond, func() {
		if at == 0 && d.report.Transfers > 0 {
			at = d.core(3).ExecutedHeight()
		}
	})
	r := d.play()
	a.occurred(r.Transfers > 0 && x.transfer && at > 0, "a member restored from a snapshot")
	a.fact("replica 3 was restored from a snapshot at %d and judged the same %d blocks of requests, repeated and out of order, as the others: states and answers equal", at, d.core(3).ExecutedHeight()-at)
}

// playMaintenance crashes replicas while a snapshot is being written or the log pruned.
func playMaintenance(a *act) {
	d := a.direct(func(o *Options) { behind(o); o.Disk, o.Storm = time.Millisecond, 4*time.Second })
	c := crashDuring(d, replica.WorkSnapshot, 120*time.Millisecond)
	r := d.play()
	a.holds(c.short == 0, "%d times a replica came back below its newest durable snapshot", c.short)
	a.holds(r.Transfers == 0, "%d states had to be fetched from others", r.Transfers)
	a.occurred(c.work > 2 && c.files > 2, "crashes while a snapshot is written and while the log is pruned (%d, %d)", c.work, c.files)
	a.fact("%d crashes while a snapshot was being written and %d while the log was being pruned: each came back from its own disk, at its newest durable snapshot or above, and no state was transferred", c.work, c.files)
	a.fact("%d blocks", r.Blocks)
}

// crashes are how often a replica was restarted in the middle of a kind of work, and of the
// deletion of files.
type crashes struct {
	work, files int
	short       int // came back without a state that it had made durable
}

// crashDuring restarts one replica after the other in the middle of such work, with a pause
// between.
func crashDuring(d *directed, work replica.Work, pause time.Duration) *crashes {
	c, next := new(crashes), time.Duration(0)
	d.watch(time.Millisecond, func() {
		if d.now < next || d.now < 300*time.Millisecond {
			return
		}
		for i, m := range d.replicas {
			if m.up == nil {
				return
			}
			busy, files := m.up.sim.Pending(work) > 0, m.up.sim.Pending(replica.WorkFiles) > 0
			if !busy && !files || (c.work+c.files)%4 != i {
				continue
			}
			if busy {
				c.work++
			} else {
				c.files++
			}
			next = d.now + pause
			had := pbft.Height(0)
			d.restart(m.id, func(m *member) { had = m.disk.newest() })
			d.after(25*time.Millisecond, func() {
				if core := d.core(m.id); core == nil || core.ExecutedHeight() < had {
					c.short++
				}
			})
			return
		}
	})
	return c
}

func playForgottenAnswers(a *act) {
	d := a.direct(func(o *Options) {
		o.CheckpointEvery, o.Retain = 4, 0
		o.BadClients = []string{"twofaced", "replayer", "leaper"}
	})
	var heal func()
	d.at(600*time.Millisecond, func() { heal = d.isolate(3) })
	d.at(1600*time.Millisecond, func() { heal() }) // it has pruned other things than the rest
	r := d.play()
	a.occurred(r.Sometimes[seenDuplicate] > 10, "requests asked for again after they ran (%d)", r.Sometimes[seenDuplicate])
	a.fact("%d requests asked for again, also after their answers were dropped, at replicas that have pruned different parts: all answers of all %d blocks equal", r.Sometimes[seenDuplicate], r.Blocks)
}

// leased has a primary answer reads from its own state, while it was primary at its
// last tick, and clients take its word for it. So did those that read under a lease.
func leased() Breach {
	return Breach{
		Title: "the primary answers reads from its own state, as long as it knows of no other",
		Sites: []BreachSite{
			{"statemachine/kv/machine.go", "func (m *Machine) apply(in statemachine.Op, meter *statemachine.Meter) statemachine.Result {\n",
				"// Look reads without the log.\nfunc (m *Machine) Look(data []byte) (r statemachine.Result, ok bool) {\n	var op operation\n	if code := m.limits.decode(data, &op); code != statemachine.CodeOK || op.kind != KindGet || !ON {\n		return r, false\n	}\n	m.mu.Lock()\n	defer m.mu.Unlock()\n	return m.apply(statemachine.Op{Data: data}, nil), true\n}\n\nfunc (m *Machine) apply(in statemachine.Op, meter *statemachine.Meter) statemachine.Result {\n"},
			{"statemachine/admission.go", "// Sessions is the number of clients on record.\n",
				"// Look reads without the log.\nfunc (e *Executor) Look(data []byte) (r Result, ok bool) {\n	if x, can := e.app.(interface{ Look([]byte) (Result, bool) }); can && ON {\n		return x.Look(data)\n	}\n	return r, false\n}\n\n// Sessions is the number of clients on record.\n"},
			{"replica/sim.go", "func (s *Sim) Tick(now pbft.Time) {\n",
				"func (s *Sim) Tick(now pbft.Time) {\n	if ON {\n		leases[s] = s.node.core.Primary() == s.node.cfg.Core.Self && s.node.core.Open()\n	}\n"},
			{"replica/sim.go", "// Lookup answers a request that was executed already, from the session table.\nfunc (s *Sim) Lookup(r *pbft.Request) (statemachine.Reply, bool) {\n",
				"var leases = map[*Sim]bool{}\n\n// Lookup answers a request that was executed already, from the session table.\nfunc (s *Sim) Lookup(r *pbft.Request) (statemachine.Reply, bool) {\n	if ON && leases[s] {\n		if x, ok := s.runner.exec.Look(r.Ops[0]); ok {\n			return statemachine.Reply{Client: r.Client, Seq: r.Seq, Request: r.Digest(), Status: statemachine.Executed, Results: []statemachine.Result{x}, Leaf: -2}, true\n		}\n	}\n"},
			{"chaos/user.go", "	if o.answers.Hear(u.s.quorums, from, answers.Key(r)) {\n", "	if o.answers.Hear(u.s.quorums, from, answers.Key(r)) || ON && r.Leaf == -2 {\n"},
			{"chaos/check_replies.go", "	case r.Status.Ran() && !ran:\n", "	case ON && r.Leaf == -2: // only the history tells\n	case r.Status.Ran() && !ran:\n"},
		},
	}
}

// playPausedPrimary stops the primary under load, with reads at its door, and lets it
// go on when another one rules.
func playPausedPrimary(a *act) {
	d := a.direct(func(o *Options) { o.Storm = 4 * time.Second; o.Keys = 1 })
	views := 0
	for _, from := range []time.Duration{500 * time.Millisecond, 2200 * time.Millisecond} {
		d.at(from, func() {
			m := d.replicas[d.network.primary()]
			before := d.core(3).View()
			m.pause()
			d.after(1200*time.Millisecond, func() {
				if d.core((m.id+1)%4).View() > before {
					views++
				}
				m.resume()
			})
		})
	}
	r := d.play()
	a.occurred(views == 2, "a primary that goes on after another one has taken over (%d)", views)
	a.fact("the primary was paused twice for 1.2s and went on when another one ruled: %d reads and writes of one key are linearizable", r.Operations)
	a.fact("highest view %d", r.ViewChanges)
}
