package real

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/chaos/real/proxy"
)

func init() {
	for _, n := range []*nemesis{
		{name: "partition", doc: "two groups of replicas cannot talk to each other; clients reach both", strike: partition},
		{name: "partition-oneway", doc: "one group hears the other and is not heard", strike: oneWay},
		{name: "partition-partial", doc: "single pairs cannot talk, in one or both directions", strike: partial},
		{name: "isolate", doc: "one replica, often the primary, is cut off from all, or from clients only", strike: isolate},
		{name: "delay", doc: "delay and jitter on some or all links", strike: delay},
		{name: "throttle", doc: "links of some replicas pass few bytes a second", strike: throttle},
		{name: "trickle", doc: "links of one replica pass single bytes", strike: trickle},
		{name: "swallow", doc: "a link takes everything and delivers nothing, without a sign of it", strike: swallow},
		{name: "flap", doc: "a link goes and comes many times", strike: flap},
		{name: "reset", doc: "connections are cut with an RST, and refused for a while", strike: reset},
		{name: "half-open", doc: "connections end at the one side, and the other does not hear of it", strike: halfOpen},
		{name: "unplug", doc: "the cable of replicas is taken out", lacks: noCables, strike: unplug},
		{name: "blackhole", doc: "the packets of a replica to some others are dropped", lacks: noCables, strike: blackhole},
	} {
		n.network = true
		register(n)
	}
}

func noCables(r *run) string {
	if !r.net.hosts.cables() {
		return "it takes network namespaces, which are not permitted here or not wanted"
	}
	return ""
}

var stalled = proxy.Lane{Stall: true}

// pairs calls f for all pairs of replicas.
func (r *run) pairs(f func(i, j int)) {
	for i := range r.nodes {
		for j := range r.nodes {
			if i != j {
				f(i, j)
			}
		}
	}
}

// groups draws a split of the replicas: the smaller part is not empty.
func (r *run) groups(rng *rand.Rand) (apart map[int]bool, list []int) {
	list = r.some(rng, 1+rng.IntN(len(r.nodes)/2))
	apart = map[int]bool{}
	for _, i := range list {
		apart[i] = true
	}
	return apart, list
}

// during holds what was set and takes it back.
func (r *run) during(ctx context.Context, rng *rand.Rand, end func(), low, high time.Duration) error {
	hold(ctx, rng, low, high)
	r.net.heal()
	end()
	return nil
}

func partition(ctx context.Context, r *run, rng *rand.Rand) error {
	apart, list := r.groups(rng)
	end := r.fault("partition", list, "cut off from the others in both directions")
	r.pairs(func(i, j int) {
		if apart[i] != apart[j] {
			r.net.set(i, j, stalled)
		}
	})
	return r.during(ctx, rng, end, time.Second, 7*time.Second)
}

func oneWay(ctx context.Context, r *run, rng *rand.Rand) error {
	apart, list := r.groups(rng)
	inward := rng.IntN(2) == 0
	what := "they are not heard by the others"
	if inward {
		what = "they do not hear the others"
	}
	end := r.fault("partition-oneway", list, "%s", what)
	r.pairs(func(i, j int) {
		if apart[i] != apart[j] && apart[i] != inward {
			r.net.set(i, j, stalled)
		}
	})
	return r.during(ctx, rng, end, time.Second, 7*time.Second)
}

func partial(ctx context.Context, r *run, rng *rand.Rand) error {
	var text string
	n := len(r.nodes)
	cuts := map[[2]int]bool{}
	for range 1 + rng.IntN(n) {
		i, j := rng.IntN(n), rng.IntN(n)
		if i == j {
			continue
		}
		cuts[[2]int{i, j}] = true
		if rng.IntN(2) == 0 {
			cuts[[2]int{j, i}] = true
		}
	}
	r.pairs(func(i, j int) {
		if cuts[[2]int{i, j}] {
			text += fmt.Sprintf(" %d->%d", i, j)
		}
	})
	end := r.fault("partition-partial", nil, "cut:%s", text)
	for c := range cuts {
		r.net.set(c[0], c[1], stalled)
	}
	return r.during(ctx, rng, end, time.Second, 7*time.Second)
}

func isolate(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.victim(rng)
	what := []string{"from everybody", "from replicas", "from clients"}[rng.IntN(3)]
	end := r.fault("isolate", []int{v}, "%s", what)
	for j := range r.nodes {
		if what != "from clients" {
			r.net.set(v, j, stalled)
			r.net.set(j, v, stalled)
		}
	}
	if what != "from replicas" {
		r.net.set(everyClient, v, stalled)
		r.net.set(v, everyClient, stalled)
	}
	return r.during(ctx, rng, end, time.Second, 7*time.Second)
}

func delay(ctx context.Context, r *run, rng *rand.Rand) error {
	base := between(rng, 0, 150*time.Millisecond)
	jitter := between(rng, 0, 2*base+10*time.Millisecond)
	lane := proxy.Lane{Delay: base, Jitter: jitter}
	all := rng.IntN(2) == 0
	apart, list := r.groups(rng)
	if all {
		list = nil
	}
	end := r.fault("delay", list, "%v to %v", base.Round(time.Millisecond), (base + jitter).Round(time.Millisecond))
	r.pairs(func(i, j int) {
		if all || apart[i] {
			r.net.set(i, j, lane)
		}
	})
	if rng.IntN(2) == 0 {
		for i := range r.nodes {
			r.net.set(everyClient, i, lane)
		}
	}
	return r.during(ctx, rng, end, 2*time.Second, 8*time.Second)
}

func throttle(ctx context.Context, r *run, rng *rand.Rand) error {
	rate := 1 << (11 + rng.IntN(7)) // 2 KiB/s to 128 KiB/s
	apart, list := r.groups(rng)
	end := r.fault("throttle", list, "%d bytes/s on each of their links", rate)
	r.pairs(func(i, j int) {
		if apart[i] {
			r.net.set(i, j, proxy.Lane{BytesPerSecond: rate})
		}
	})
	return r.during(ctx, rng, end, 2*time.Second, 8*time.Second)
}

func trickle(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.victim(rng)
	pause := between(rng, time.Millisecond, 50*time.Millisecond)
	end := r.fault("trickle", []int{v}, "a byte each %v", pause.Round(time.Millisecond))
	for j := range r.nodes {
		r.net.set(v, j, proxy.Lane{Trickle: pause})
	}
	return r.during(ctx, rng, end, time.Second, 6*time.Second)
}

func swallow(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.victim(rng)
	end := r.fault("swallow", []int{v}, "what it says to the others is lost and nobody notices")
	for j := range r.nodes {
		if rng.IntN(2) == 0 {
			r.net.set(v, j, proxy.Lane{Swallow: true})
		}
	}
	if rng.IntN(2) == 0 {
		r.net.set(v, everyClient, proxy.Lane{Swallow: true})
	}
	return r.during(ctx, rng, end, time.Second, 7*time.Second)
}

func flap(ctx context.Context, r *run, rng *rand.Rand) error {
	apart, list := r.groups(rng)
	times := 3 + rng.IntN(20)
	end := r.fault("flap", list, "%d times", times)
	for range times {
		r.pairs(func(i, j int) {
			if apart[i] != apart[j] {
				r.net.set(i, j, stalled)
			}
		})
		hold(ctx, rng, 5*time.Millisecond, 400*time.Millisecond)
		r.net.heal()
		hold(ctx, rng, 5*time.Millisecond, 400*time.Millisecond)
	}
	end()
	return nil
}

func reset(ctx context.Context, r *run, rng *rand.Rand) error {
	v, cut := r.victim(rng), 0
	refuse := rng.IntN(2) == 0
	what := "all its connections"
	if refuse {
		what += ", and new ones are refused"
	}
	end := r.fault("reset", []int{v}, "%s", what)
	for range 1 + rng.IntN(5) {
		links := []*proxy.Link{r.net.clients[v]}
		for j := range r.nodes {
			if j != v {
				links = append(links, r.net.links[v][j], r.net.links[j][v])
			}
		}
		for _, l := range links {
			if refuse {
				l.Update(func(c proxy.Conditions) proxy.Conditions { c.Refuse = true; return c })
			}
			cut += l.Reset()
		}
		hold(ctx, rng, 50*time.Millisecond, time.Second)
	}
	r.trace("%d connections were cut", cut)
	r.net.heal()
	end()
	return nil
}

func halfOpen(ctx context.Context, r *run, rng *rand.Rand) error {
	v, cut := r.victim(rng), 0
	end := r.fault("half-open", []int{v}, "the others' ends of its connections, and its ends of theirs, are gone")
	for j := range r.nodes {
		if j != v {
			cut += r.net.links[v][j].HalfOpen() + r.net.links[j][v].HalfOpen()
		}
	}
	if rng.IntN(2) == 0 {
		cut += r.net.clients[v].HalfOpen()
	}
	r.trace("%d connections are half-open", cut)
	return r.during(ctx, rng, end, time.Second, 7*time.Second)
}

func unplug(ctx context.Context, r *run, rng *rand.Rand) error {
	_, list := r.groups(rng)
	end := r.fault("unplug", list, "no cable")
	for _, v := range list {
		if err := r.net.hosts.unplug(v, true); err != nil {
			return err
		}
	}
	hold(ctx, rng, time.Second, 7*time.Second)
	for _, v := range list {
		if err := r.net.hosts.unplug(v, false); err != nil {
			return err
		}
	}
	end()
	return nil
}

func blackhole(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.victim(rng)
	var to []int
	for j := range r.nodes {
		if j != v && rng.IntN(2) == 0 {
			to = append(to, j)
		}
	}
	end := r.fault("blackhole", []int{v}, "its packets to %v are dropped", to)
	for _, j := range to {
		if err := r.net.hosts.cut(v, j, true); err != nil {
			return err
		}
	}
	hold(ctx, rng, time.Second, 7*time.Second)
	for _, j := range to {
		if err := r.net.hosts.cut(v, j, false); err != nil {
			return err
		}
	}
	end()
	return nil
}
