package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/bench/load"
	"github.com/parley-bft/parley/bench/proc"
	"github.com/parley-bft/parley/bench/system"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// scenario is something that happens to a cluster.
type scenario struct {
	name string
	run  func(b *bench, ctx context.Context) error
}

var scenarioList = []scenario{
	{"killed", (*bench).killed},
	{"down", pairOf("down", down)},
	{"slow", pairOf("slow", slow)},
	{"traitor", pairOf("traitor", traitor)},
	{"flood", pairOf("flood", flood)},
	{"smallflood", pairOf("smallflood", smallFlood)},
	{"slowprimary", (*bench).slowPrimary},
	{"half", (*bench).half},
	{"double", (*bench).double},
	{"sizes", (*bench).eachSize},
	{"links", (*bench).links},
	{"soak", (*bench).soaked},
}

func scenarioNames() (names []string) {
	for _, s := range scenarioList {
		names = append(names, s.name)
	}
	return names
}

// wantsTraitor tells whether Parley's test daemon is needed.
func (o *options) wantsTraitor() bool {
	return o.measuresParley() && (slices.Contains(o.scenarios, "traitor") || slices.Contains(o.scenarios, "slowprimary"))
}

func (o *options) measuresParley() bool {
	return slices.ContainsFunc(o.systems, func(s system.System) bool { return s.Name == "parley" })
}

// scenarios runs those that were asked for. All but the first are Parley's alone.
func (b *bench) scenarios(ctx context.Context) error {
	for _, s := range scenarioList {
		if !slices.Contains(b.options.scenarios, s.name) || s.name != "killed" && !b.measuresParley() {
			continue
		}
		b.say("scenario %s", s.name)
		if err := s.run(b, ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			b.say("scenario %s: %v", s.name, err)
			b.results.Failures = append(b.results.Failures, fmt.Sprintf("scenario %s: %v", s.name, err))
		}
	}
	return nil
}

// fullLoad is how many clients ask for all that a cluster can do.
const fullLoad = 1024

// killLoad is how many clients a cluster has whose leader is killed: as many as it
// needs to be busy, and no more than would hide the pause.
const killLoad = 64

// killed kills each system's leader, in turns, and looks at what clients notice.
func (b *bench) killed(ctx context.Context) error {
	for range b.repeats {
		for _, s := range b.systems {
			if s.Name == "parley-distinct" || s.Name == "parley-carried" || s.Name == "smartbft-signed" {
				continue
			}
			k, err := b.killLeader(ctx, s)
			if err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				b.results.Failures = append(b.results.Failures, fmt.Sprintf("%s, leader killed: %v", s.Name, err))
				continue
			}
			b.results.Kills = append(b.results.Kills, k)
			b.say("%-16s leader killed: pause %.0f ms, %.0f op/s before, %.0f after", s.Name, k.Pause, k.Before, k.After)
		}
	}
	return nil
}

// recovery is how long a system has to recover from the death of its leader before
// its throughput is measured again.
const recovery = 8 * time.Second

func (b *bench) killLeader(ctx context.Context, s system.System) (k kill, err error) {
	cfg := b.config()
	c, err := s.Start(ctx, cfg)
	if err != nil {
		return k, err
	}
	defer b.discard(c, cfg)
	ops, end, err := c.Clients(ctx, killLoad, b.connections)
	if err != nil {
		return k, err
	}
	defer end()
	l := load.Closed(ctx, ops)
	defer l.Stop()
	before, err := b.measure(ctx, c, l)
	if err != nil {
		return k, err
	}
	leader, err := c.Leader(ctx)
	if err != nil {
		return k, err
	}
	at := time.Now()
	c.Kill(leader)
	if err := rest(ctx, recovery); err != nil {
		return k, err
	}
	settled := time.Now()
	if err := rest(ctx, b.window); err != nil {
		return k, err
	}
	after := l.Window(settled, time.Now())
	return kill{System: s.Name, Pause: float64(l.LongestPause(at, time.Now()).Microseconds()) / 1000, Before: before.PerSecond, After: after.PerSecond}, nil
}

// fault is something that is done to Parley until it ends.
type fault func(b *bench, ctx context.Context, p *system.Parley) (end func() error, err error)

// pairOf measures Parley at full load without and with a fault, in turns.
func pairOf(name string, f fault) func(*bench, context.Context) error {
	return func(b *bench, ctx context.Context) error {
		cfg := b.config()
		p, err := system.NewParley(ctx, cfg, nil)
		if err != nil {
			return err
		}
		defer b.discard(p, cfg)
		ops, closeClients, err := p.Clients(ctx, fullLoad, b.connections)
		if err != nil {
			return err
		}
		defer closeClients()
		l := load.Closed(ctx, ops)
		defer l.Stop()
		for round := range b.repeats {
			without, err := b.measure(ctx, p, l)
			if err != nil {
				return err
			}
			end, err := f(b, ctx, p)
			if err != nil {
				return err
			}
			with, err := b.measure(ctx, p, l)
			if failed := end(); err == nil {
				err = failed
			}
			if err != nil {
				return err
			}
			without.Round, with.Round = round, round
			b.addPair(name, without, with)
		}
		return nil
	}
}

func (b *bench) addPair(name string, without, with point) {
	b.results.Pairs = append(b.results.Pairs, pair{name, without, with})
	b.say("%-16s %8.0f op/s without, %8.0f with: %.0f %%", name, without.PerSecond, with.PerSecond, 100*with.PerSecond/max(without.PerSecond, 1))
}

// backup is a replica that is not primary.
func backup(ctx context.Context, p *system.Parley) (int, error) {
	leader, err := p.Leader(ctx)
	return (leader + 2) % len(p.Replicas()), err
}

// down kills a backup.
func down(_ *bench, ctx context.Context, p *system.Parley) (func() error, error) {
	i, err := backup(ctx, p)
	if err != nil {
		return nil, err
	}
	p.Kill(i)
	return func() error { return p.Restart(i) }, nil
}

// slowness is how many times slower a slow backup's process is.
const slowness = 10

// slow stops a backup for nine parts in ten of the time.
func slow(_ *bench, ctx context.Context, p *system.Parley) (func() error, error) {
	i, err := backup(ctx, p)
	if err != nil {
		return nil, err
	}
	end := p.Replicas()[i].Slow(slowness)
	return func() error { end(); return nil }, nil
}

// traitor puts the test daemon in a backup's place, whose votes' signatures are wrong.
func traitor(_ *bench, ctx context.Context, p *system.Parley) (func() error, error) {
	i, err := backup(ctx, p)
	if err != nil {
		return nil, err
	}
	betray := func(strategy string) error {
		p.Kill(i)
		p.Betray(i, strategy)
		return p.Restart(i)
	}
	return func() error { return betray("") }, betray("badshare")
}

// floodFactor is how many times its share a client that floods asks for.
const floodFactor = 10

// flood lets one more client ask for ten times what each of the others gets.
func flood(b *bench, ctx context.Context, p *system.Parley) (func() error, error) {
	ops, closeClients, err := p.Clients(ctx, 1, 1)
	if err != nil {
		return nil, err
	}
	share := b.shareOf()
	l, from := load.Open(ctx, ops, floodFactor*share), time.Now()
	return func() error {
		got := l.Window(from, time.Now())
		l.Stop()
		b.say("the client that floods asked for %.0f op/s and got %.0f, p50 %.0f ms, %d errors", floodFactor*share, got.PerSecond, got.P50, got.Errors)
		closeClients()
		return nil
	}, nil
}

// shareOf is how many operations a second each connection gets.
func (b *bench) shareOf() float64 {
	if middle, _, _, ok := summary(b.results.of("parley", fullLoad), perSecond); ok {
		return middle / float64(b.connections)
	}
	return 1000
}

// smallFlood asks for as much as flood, in requests of one operation each, by a client
// that heeds no refusal: some hundred times as many signatures as each of the others sends.
func smallFlood(b *bench, ctx context.Context, p *system.Parley) (func() error, error) {
	rate := floodFactor * b.shareOf()
	f, err := p.Flood(ctx, rate, b.warmup+b.window+time.Second)
	if err != nil {
		return nil, err
	}
	from := time.Now()
	return func() error {
		f.Stop()
		took := time.Since(from).Seconds()
		b.say("the client that floods sent each replica %.0f requests/s of %.0f; in all %.0f replies/s and %.0f refusals/s",
			float64(f.Sent.Load())/took/replicas, rate, float64(f.Ran.Load())/took, float64(f.Refused.Load())/took)
		return nil
	}, nil
}

// slowPrimary compares a cluster whose first primary delays each proposal to just
// under the timeout with one of honest replicas.
func (b *bench) slowPrimary(ctx context.Context) error {
	first := int(pbft.NewSchedule(slices.Repeat([]uint64{1}, 4)).Primary(crypto.FirstEpoch, 0))
	for round := range b.repeats {
		var both [2]point
		for i, strategies := range []map[int]string{nil, {first: "slow"}} {
			cfg := b.config()
			p, err := system.NewParley(ctx, cfg, strategies)
			if err != nil {
				return err
			}
			both[i], err = b.closed(ctx, p, fullLoad)
			b.discard(p, cfg)
			if err != nil {
				return err
			}
			both[i].Round = round
		}
		b.addPair("slowprimary", both[0], both[1])
	}
	return nil
}

func (b *bench) half(ctx context.Context) (err error) {
	b.results.Half, err = b.atFraction(ctx, 0.5)
	return err
}

func (b *bench) double(ctx context.Context) (err error) {
	b.results.Double, err = b.atFraction(ctx, 2)
	return err
}

// atFraction measures an open loop at a fraction of what a closed loop of full load
// comes to on the same cluster.
func (b *bench) atFraction(ctx context.Context, fraction float64) (all []point, err error) {
	cfg := b.config()
	p, err := system.NewParley(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	defer b.discard(p, cfg)
	for round := range b.repeats {
		full, err := b.closed(ctx, p, fullLoad)
		if err != nil {
			return all, err
		}
		open, err := b.open(ctx, p, fraction*full.PerSecond)
		if err != nil {
			return all, err
		}
		open.System, open.Round = "parley", round
		b.say("open loop at %.1f of %.0f op/s: %.0f op/s, p50 %.2f ms, p99 %.2f ms", fraction, full.PerSecond, open.PerSecond, open.P50, open.P99)
		b.results.Pairs = append(b.results.Pairs, pair{fmt.Sprintf("open %v", fraction), full, open})
		all = append(all, open)
	}
	return all, nil
}

// sizeLoad is how many clients clusters of different sizes have.
const sizeLoad = 256

// eachSize measures clusters of different sizes, with both kinds of votes.
func (b *bench) eachSize(ctx context.Context) error {
	for _, n := range b.sizes {
		for _, scheme := range []string{crypto.VoteEd25519, crypto.VoteBLS} {
			s, err := b.size(ctx, n, scheme)
			if err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				b.results.Failures = append(b.results.Failures, fmt.Sprintf("%d replicas, %s: %v", n, scheme, err))
				continue
			}
			b.results.Sizes = append(b.results.Sizes, s)
			b.say("n = %-3d %-8s %8.0f op/s, %.2f ms of CPU per block and replica", n, scheme, s.Point.PerSecond, s.MillisPerBlock)
		}
	}
	return nil
}

// sizeWindow is longer for more replicas, since each message of each costs the same two
// processors something: with the square of their number, and a minute at most.
func sizeWindow(window time.Duration, n int) time.Duration {
	return min(window*time.Duration(n*n)/(replicas*replicas), max(window, time.Minute))
}

func (b *bench) size(ctx context.Context, n int, scheme string) (s size, err error) {
	cfg := b.config()
	cfg.Replicas, cfg.Scheme = n, scheme
	p, err := system.NewParley(ctx, cfg, nil)
	if err != nil {
		return s, err
	}
	defer b.discard(p, cfg)
	ops, end, err := p.Clients(ctx, sizeLoad, b.connections)
	if err != nil {
		return s, err
	}
	defer end()
	l := load.Closed(ctx, ops)
	defer l.Stop()
	if err := rest(ctx, b.warmup); err != nil {
		return s, err
	}
	before, err := p.State(ctx)
	if err != nil {
		return s, err
	}
	// The blocks of the warm-up within measure are counted, and so is their time.
	pids := system.PIDs(p)
	used := proc.Read(pids)
	at, err := b.measureFor(ctx, p, l, sizeWindow(b.window, n))
	if err != nil {
		return s, err
	}
	spent := proc.Read(pids).CPU - used.CPU
	after, err := p.State(ctx)
	if err != nil {
		return s, err
	}
	if after.Committed < before.Committed {
		return s, fmt.Errorf("'parley status' said height %d, and %d before", after.Committed, before.Committed)
	}
	s = size{Replicas: n, Scheme: scheme, Point: at, Blocks: after.Committed - before.Committed}
	if s.Blocks > 0 {
		s.MillisPerBlock = float64(spent.Microseconds()) / 1000 / float64(s.Blocks) / float64(n)
	}
	return s, nil
}

// soakSteps is how often memory is looked at.
const soakSteps = 20

// soaked keeps a cluster under full load for long and looks at its memory.
func (b *bench) soaked(ctx context.Context) error {
	cfg := b.config()
	p, err := system.NewParley(ctx, cfg, nil)
	if err != nil {
		return err
	}
	defer b.discard(p, cfg)
	ops, end, err := p.Clients(ctx, fullLoad, b.connections)
	if err != nil {
		return err
	}
	defer end()
	begin := time.Now()
	// Its own results need no memory: each loop is short.
	m := &memory{}
	for range soakSteps {
		l := load.Closed(ctx, ops)
		err := rest(ctx, b.soak/soakSteps)
		m.Seconds = append(m.Seconds, time.Since(begin).Seconds())
		m.RSS = append(m.RSS, proc.RSS(system.PIDs(p)))
		l.Stop()
		if err != nil {
			return err
		}
		b.say("soak: %.0f s, %.0f MiB", time.Since(begin).Seconds(), m.RSS[len(m.RSS)-1])
	}
	b.results.Soak = m
	return nil
}
