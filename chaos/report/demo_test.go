package report

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// demo is a run as a simulation would fill it: four replicas, one of them a
// traitor, with faults in the first twelve of sixteen seconds.
func demo(seed uint64) *Run {
	rng := rand.New(rand.NewPCG(seed, 7))
	r := &Run{
		Kind: Simulated, Title: "swarm", Seed: seed, Duration: 16 * time.Second, Elapsed: 11 * time.Millisecond, MaxFaulty: 1,
		Options: json.RawMessage(`{"seed":42,"weights":[1,1,1,1],"network":{"delay":"2ms","loss":0.05},"traitors":["2"]}`),
		Phases:  []Phase{{"storm", 0, 12 * time.Second}, {"calm", 12 * time.Second, 16 * time.Second}},
		Coverage: []Counter{
			{Name: "view change with a prepared block", Count: 4, Expected: true}, {Name: "transfer during a view change", Expected: true},
			{Name: "two snapshots at once", Doc: "needs a slow disk"}, {Name: "empty block", Count: 1200},
		},
		Numbers:   []Number{{"messages", 48210, ""}, {"worst memory of a replica", 3.4e6, "bytes"}, {"events", 212345, ""}},
		Evidence:  []Evidence{{At: 3 * time.Second, Finder: 1, Culprit: 2, Offence: "two proposals", Text: "view 1 height 12"}},
		Verdict:   Pass,
		TraceHash: "9f86d081884c7d65", Recovery: 420 * time.Millisecond,
		Reproduce: []string{fmt.Sprintf("parley chaos replay %d", seed)},
	}
	add := func(kind string, from, to float64, who ...int) {
		r.Faults = append(r.Faults, Fault{Kind: kind, Begin: seconds(from), End: seconds(to), Replicas: who})
	}
	add("partition", 1.2, 2.8, 0)
	add("crash", 3.5, 4.3, 3)
	add("pause", 5, 6.1, 1)
	add("power loss", 7, 7)
	add("wiped disk", 8.2, 8.2, 3)
	add("one-way cut", 9, 10.5, 0, 1)
	add("crash", 10.8, 11.4, 1)
	view, height := uint64(0), uint64(0)
	for i := range 4 {
		r.Replicas = append(r.Replicas, Replica{ID: i, Weight: 1, Traitor: i == 2})
	}
	r.Replicas[2].Strategy = "equivocate"
	for k := range 320 {
		at := float64(k) / 20
		stalled := at > 1.2 && at < 2 || at > 7 && at < 7.9 || at > 5 && at < 5.6
		if !stalled {
			height += rng.Uint64N(4)
		}
		if at > 2 && view == 0 || at > 5.6 && view == 1 || at > 7.9 && view == 2 {
			view++
		}
		for i := range r.Replicas {
			s := Sample{At: seconds(at), State: Up, View: view, Height: height}
			switch {
			case at >= 7 && at < 7.6+0.1*float64(i), i == 3 && at >= 3.5 && at < 4.3, i == 1 && at >= 10.8 && at < 11.4, i == 3 && at >= 8.2 && at < 8.9:
				s.State = Down
			case i == 1 && at >= 5 && at < 6.1:
				s.State, s.View, s.Height = Paused, 1, r.Replicas[1].Samples[99].Height
			case i == 3 && at >= 8.9 && at < 10.2:
				s.State, s.Height = Follower, uint64(float64(height)*(at-8.9)/1.3)
			case i == 2:
				s.State = Traitor
			case i == 0 && at > 1.2 && at < 2.8:
				s.View, s.Height = 0, r.Replicas[0].Samples[24].Height
			}
			r.Replicas[i].Samples = append(r.Replicas[i].Samples, s)
		}
	}
	for c := range 4 {
		at := 0.01 * float64(c)
		for n := 0; at < 15.5; n++ {
			took := 0.008 + rng.ExpFloat64()*0.01
			if at > 1.2 && at < 2 || at > 7 && at < 7.9 {
				took += 0.8
			}
			o := Operation{Client: c, Op: []OpName{Read, Write, Swap}[rng.IntN(3)], Key: fmt.Sprintf("k%d", rng.IntN(3)), Old: "1", New: fmt.Sprintf("%d.%d", c, n), Begin: seconds(at), End: seconds(at + took), Outcome: OK, Found: true, Value: "1", Swapped: n%2 == 0}
			if rng.IntN(60) == 0 {
				o.Outcome = Unknown
			} else if rng.IntN(60) == 0 {
				o.Outcome = Failed
			}
			r.Operations = append(r.Operations, o)
			at += took + rng.ExpFloat64()*0.05
		}
	}
	return r
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
