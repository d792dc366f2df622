package chaos

import (
	"reflect"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// Clients, their requests, what they believe, and the cluster's parameters.

var poolScenarios = []Scenario{
	{
		Name: "cometbft-mempool-duplicates", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2023-1883"}, Kind: Caught,
		Wrong:   "The mempool's list and the map beside it did not agree about duplicates: the same transaction could be put in again and again, until memory was gone.",
		Differs: "A request is in the pool once, by its digest and by its client's number, and each client's part and the whole have a bound in bytes.",
		Rules:   "DESIGN: bounds",
		Breaches: []Breach{{
			Title: "the pool does not look whether it has a request",
			Sites: []BreachSite{
				{"pbft/pool.go", "	if p.byDigest[r.Digest()] != nil {\n", "	if p.byDigest[r.Digest()] != nil && !ON {\n"},
				{"pbft/pool.go", "	if p.bySeq[key] != nil {\n", "	if p.bySeq[key] != nil && !ON {\n"},
			},
		}},
		play: playDuplicates,
	},
	{
		Name: "cometbft-parameter-change", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2024-2471"}, Kind: ByDesign,
		Wrong:   "A change of the consensus parameters that had been voted in made the validation of every later header panic: the chain halted.",
		Differs: "No operation changes a parameter of a running epoch. They are in the cluster file, whose check says for each field what is allowed, before anything runs; what is allowed works at its ends.",
		Rules:   "DESIGN: configuration",
		Breaches: []Breach{without("parameters are not checked", "crypto/parameters.go",
			"		if r.value < r.low || r.value > r.high {\n", "		if (r.value < r.low || r.value > r.high) && !ON {\n")},
		play: playParameters,
	},
	{
		Name: "concord-messages-never-deleted", Origin: "concord-bft", Bugs: []string{"concord-bft 2022 leaks"}, Kind: Caught,
		Wrong:   "Messages that had become useless, of old views and of requests that were never answered, were not deleted, and memory grew for ever.",
		Differs: "Each collection has a bound and an owner that empties it; the judge compares them with the published formulas after every step, and the log is pruned behind the snapshots.",
		Rules:   "R8, DESIGN: bounds",
		Breaches: []Breach{without("NewViews of views that are long over are not deleted", "pbft/spine.go",
			"		if s.view >= oldest || s.view >= c.durable.View {\n", "		if ON || s.view >= oldest || s.view >= c.durable.View {\n")},
		play: playLeaks,
	},
	{
		Name: "bft-smart-hostile-clients", Origin: "BFT-SMaRt", Bugs: []string{"BFT-SMaRt April 2022"}, Kind: Caught,
		Wrong: "A series of fixes: requests without a signature ended in a null pointer, messages of a kind that no client sends stopped the delivery, sequence numbers could turn negative, " +
			"clients that asked only backups deposed leaders, connections that came and went raced, and a quorum of votes before the own proposal was a deadlock.",
		Differs: "A request is verified before it goes anywhere, numbers are unsigned and compared, kinds are a closed list, votes may come before their block, and a client that asks backups only is relayed before anybody's patience ends.",
		Rules:   "R12, R17",
		Breaches: []Breach{without("clients' signatures are not checked at the door", "pbft/verify_blocks.go",
			"		good[at[j]] = ok\n", "		good[at[j]] = ok || ON\n")},
		play: playHostileClients,
	},
	{
		Name: "srds21-read-attack", Origin: "PBFT's read optimisation", Bugs: []string{"SRDS'21 reads"}, Kind: ByDesign,
		Wrong: "So that reads need not be ordered a client waits for a quorum of equal replies, for writes too. A primary that leaves F replicas in the dark, with F that do not answer, lets F+1 replies come: " +
			"the client waits for ever, while the replicas see progress and change no view.",
		Differs: "A linearizable read goes through the log like a write, and a client believes F+1 equal replies to what was ordered; it never waits for a quorum of equal states.",
		Rules:   "PROTOCOL 4.1, 4.3",
		Breaches: []Breach{without("a client waits for a quorum of equal replies", "client/answers/answers.go",
			"q.IsBlocking(set)", "(q.IsBlocking(set) && (!ON || q.IsQuorum(set)))")},
		play: playReadAttack,
	},
}

// playDuplicates holds proposals back, so that the pools fill, and sends each client's
// request two thousand times, by all ways there are.
func playDuplicates(a *act) {
	d := a.direct(func(o *Options) {
		o.Timeouts.Progress, o.Timeouts.Idle, o.Timeouts.RequestAge = 300, 300, 600
		traitor(3, "mute")(o)
	})
	d.corrupt(3, func(*puppet) {})
	const from, to = 500 * time.Millisecond, 1500 * time.Millisecond
	d.hold(func(_, _ pbft.ReplicaID, m pbft.Message) bool {
		return m.Kind() == pbft.KindPrePrepare && d.now > from && d.now < to
	})
	sent, most := 0, 0
	d.watch(5*time.Millisecond, func() {
		if d.now < from+50*time.Millisecond || d.now > to-50*time.Millisecond {
			return
		}
		for _, u := range d.clients {
			if u.open == nil {
				continue
			}
			for range 4 {
				for i := range pbft.ReplicaID(3) {
					d.network.request(i, u.open.request)
					d.network.send(3, i, pbft.Encode(0, &pbft.Forward{Requests: []*pbft.Request{u.open.request, u.open.request}}))
					sent += 3
				}
			}
		}
		for i := range pbft.ReplicaID(3) {
			most = max(most, d.core(i).PoolLen())
		}
	})
	r := d.play()
	a.occurred(sent > 2000, "requests again and again (%d)", sent)
	a.holds(most <= len(d.clients), "%d requests wait at one replica, of %d clients with one each", most, len(d.clients))
	a.fact("%d copies of %d requests: at most %d waited at any replica; %d blocks", sent, len(d.clients), most, r.Blocks)
}

// playParameters tries every parameter at 0 and at its largest value, and runs a
// cluster at the smallest that are allowed.
func playParameters(a *act) {
	tried, refused, unnamed := 0, 0, 0
	t := reflect.TypeOf(crypto.Parameters{})
	for i := range t.NumField() {
		for _, v := range []uint64{0, 1<<63 - 1, 1<<31 - 1} {
			p := crypto.DefaultParameters()
			switch f := reflect.ValueOf(&p).Elem().Field(i); f.Kind() {
			case reflect.Int64:
				f.SetInt(int64(v))
			default:
				if f.OverflowUint(v) {
					continue
				}
				f.SetUint(v)
			}
			tried++
			err := p.Validate()
			if err == nil {
				continue
			}
			refused++
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "logMax") && !strings.Contains(err.Error(), "maxOperationBytes") {
				unnamed++
			}
		}
	}
	a.occurred(tried > 20, "%d parameters out of range", tried)
	a.holds(refused >= tried-3, "only %d of %d nonsensical parameters are refused", refused, tried)
	a.holds(unnamed == 0, "%d refusals do not name the parameter", unnamed)
	d := a.direct(func(o *Options) {
		o.Window, o.CheckpointEvery, o.Retain, o.MaxBlockRequests, o.Storm = 1, 1, 0, 1, time.Second
	})
	r := d.play()
	a.holds(r.Blocks > 20, "a cluster with the smallest parameters ordered %d blocks", r.Blocks)
	a.fact("%d of %d values at the ends of all parameters are refused by name before anything runs; with the smallest allowed %d blocks in a second", refused, tried, r.Blocks)
}

// playLeaks lets a flooding traitor, clients that come and go, and view changes work
// for a while, and compares what is kept early and late.
func playLeaks(a *act) {
	d := a.direct(func(o *Options) {
		o.Storm, o.Timeouts.RotateEvery = 4*time.Second, 4
		o.BadClients = []string{"crowd", "late"}
		traitor(3, "flood")(o)
	})
	records := func() (n, newViews int) {
		must(d.replicas[1].disk.Load(nil, func(r pbft.Record) error {
			if n++; r.Key.Kind == pbft.RecordNewView {
				newViews++
			}
			return nil
		}))
		return n, newViews
	}
	early, late, views, waiting := 0, 0, 0, 0
	d.at(1500*time.Millisecond, func() { early, _ = records() })
	d.at(3900*time.Millisecond, func() { late, views = records(); waiting = d.core(1).PoolLen() })
	r := d.play()
	a.occurred(d.deeds(3) > 200 && r.ViewChanges > 3 && r.Blocks > 200, "floods, views and blocks (%d, %d, %d)", d.deeds(3), r.ViewChanges, r.Blocks)
	a.holds(early > 0 && late < early+early/2, "%d records on the disk after 1.5s, %d after 4s", early, late)
	a.holds(views <= r.ViewChanges/2, "%d NewViews of %d are kept", views, r.ViewChanges)
	a.holds(waiting < 200, "%d requests wait in the end", waiting)
	a.fact("%d blocks, %d views and a flood: %d records on the disk after 1.5s, %d after 4s, %d NewViews among them, %d requests waiting; every bound of memory held at every step", r.Blocks, r.ViewChanges, early, late, views, waiting)
}

func playHostileClients(a *act) {
	d := a.direct(func(o *Options) {
		o.Network.Schedule = "late blocks" // votes come before the blocks they are for
		o.BadClients = []string{"unsigned", "leaper", "backups", "giant", "impostor", "crowd"}
		traitor(3, "mute")(o)
	})
	strange := 0
	d.corrupt(3, func(p *puppet) {
		p.tick = func() {
			for _, kind := range []byte{0, byte(pbft.KindState) + 1, 100, 255} {
				raw := append([]byte{kind}, make([]byte, 40)...)
				for i := range pbft.ReplicaID(3) {
					p.TransmitRaw(i, raw)
					strange++
				}
			}
		}
	})
	r := d.play()
	idle := []string{}
	for _, b := range d.badClients {
		if b.deeds == 0 {
			idle = append(idle, b.Name)
		}
	}
	malformed := d.replicas[1].up.sim.Stats().Malformed
	a.occurred(len(idle) == 0 && strange > 500 && malformed > 100, "hostile clients and messages of no kind (idle %v, %d, %d)", idle, strange, malformed)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("six kinds of hostile clients, %d messages of kinds that do not exist, and votes before their blocks: no view change, %d operations of honest clients answered", strange, r.Operations)
}

// playReadAttack: one honest replica gets nothing, the traitor is the primary and
// answers no client. So F+1 replies come, and no more.
func playReadAttack(a *act) {
	d := a.direct(traitor(0, "mute"))
	d.corrupt(0, func(p *puppet) { p.silent = true })
	const from = 300 * time.Millisecond
	d.at(from, func() { d.isolate(3) })
	done := func() (n int) {
		for _, u := range d.clients {
			n += u.made
		}
		return n
	}
	before, after := 0, 0
	dark := pbft.Height(0)
	d.at(from+10*time.Millisecond, func() { before = done(); dark = d.core(3).ExecutedHeight() })
	d.at(2900*time.Millisecond, func() { after = done() })
	lag := pbft.Height(0)
	d.at(2900*time.Millisecond, func() { lag = d.core(1).ExecutedHeight() - dark })
	r := d.play()
	a.occurred(lag > 20, "replica 3 in the dark (%d blocks)", lag)
	a.holds(after-before > 60, "clients got %d answers with one replica in the dark and one silent", after-before)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("the primary answered nobody and one replica was in the dark for %d blocks: reads and writes were answered by the other two, %d in 2.6s", lag, after-before)
}
