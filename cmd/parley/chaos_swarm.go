package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/parley-bft/parley/chaos"
)

// swarm adds up what comes out of many seeds. Its methods may be called from
// several goroutines; failed may be read when no more seeds are added.
type swarm struct {
	began  time.Time
	jobs   int
	mu     sync.Mutex
	sum    swarmSummary
	failed []failedSeed
	told   int // of the failed ones
}

type failedSeed struct {
	options chaos.Options
	report  *chaos.Report
}

// swarmSummary is what 'chaos run' prints at the end.
type swarmSummary struct {
	Seeds          int     `json:"seeds"`
	Failed         int     `json:"failed"`
	Undecided      int     `json:"undecided"`
	Jobs           int     `json:"jobs"`
	Seconds        float64 `json:"seconds"`
	VirtualSeconds float64 `json:"virtualSeconds"`
	// Ratio is virtual time to the time that one core took.
	Ratio      float64 `json:"ratio"`
	Busy       float64 `json:"busySeconds"`
	Operations int     `json:"operations"`
	Unknown    int     `json:"unknown"`
	Blocks     int     `json:"blocks"`
	Messages   uint64  `json:"messages"`
	Events     uint64  `json:"events"`
	Transfers  int     `json:"transfers"`
	Evidence   int     `json:"evidence"`
	Traitors   int     `json:"seedsWithTraitors"`
	Injected   int     `json:"faults"`
	// SlowestRecovery is the longest time from the end of the faults to the last
	// answer, and RecoverySeed where it was.
	SlowestRecovery float64          `json:"slowestRecoverySeconds"`
	RecoverySeed    uint64           `json:"slowestRecoverySeed"`
	PeakHeap        uint64           `json:"peakHeapBytes"`
	Faults          map[string]*hits `json:"faultsByKind"`
	Sizes           map[int]int      `json:"seedsBySize"`
	Coverage        map[string]*hits `json:"coverage"`
	// Never are the faults and the rare situations that should have been there.
	Never []string `json:"never"`
}

// hits is how often something was there, and in how many seeds.
type hits struct {
	Times uint64 `json:"times"`
	Seeds int    `json:"seeds"`
}

func newSwarm(jobs int) *swarm {
	return &swarm{began: time.Now(), jobs: jobs, sum: swarmSummary{Faults: map[string]*hits{}, Sizes: map[int]int{}, Coverage: map[string]*hits{}}}
}

func tally(m map[string]*hits, name string, n uint64) {
	h := m[name]
	if h == nil {
		h = &hits{}
		m[name] = h
	}
	if n > 0 {
		h.Times += n
		h.Seeds++
	}
}

// add takes one seed's report.
func (s *swarm) add(o chaos.Options, r *chaos.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.sum
	t.Seeds++
	t.VirtualSeconds += r.Virtual.Seconds()
	t.Busy += r.Real.Seconds()
	t.Operations, t.Unknown, t.Blocks = t.Operations+r.Operations, t.Unknown+r.Unknown, t.Blocks+r.Blocks
	t.Messages, t.Events = t.Messages+r.Messages, t.Events+r.Events
	t.Transfers, t.Evidence = t.Transfers+r.Transfers, t.Evidence+r.Evidence
	t.Injected += r.Injected()
	t.Sizes[len(o.Weights)]++
	if len(o.Traitors) > 0 {
		t.Traitors++
	}
	if r.Undecided {
		t.Undecided++
	}
	if sec := r.Recovery.Seconds(); sec > t.SlowestRecovery {
		t.SlowestRecovery, t.RecoverySeed = sec, o.Seed
	}
	for kind, n := range r.Faults {
		tally(t.Faults, kind, uint64(n))
	}
	for _, c := range r.Coverage() {
		tally(t.Coverage, c.Name, c.Count)
	}
	if r.Err() != nil {
		t.Failed++
		s.failed = append(s.failed, failedSeed{o, r})
	}
	t.PeakHeap = max(t.PeakHeap, heapInUse())
}

// heapInUse is what the simulations hold, garbage included.
func heapInUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (s *swarm) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failed)
}

func (s *swarm) seeds() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum.Seeds
}

// summary is called when all have ended.
func (s *swarm) summary() *swarmSummary {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.failed, func(a, b failedSeed) int { return cmp.Compare(a.options.Seed, b.options.Seed) })
	t := &s.sum
	t.Jobs, t.Seconds = s.jobs, time.Since(s.began).Seconds()
	if t.Busy > 0 {
		t.Ratio = t.VirtualSeconds / t.Busy
	}
	t.Never = []string{}
	t.demand(t.Faults, chaos.FaultKinds())
	t.demand(t.Coverage, chaos.Situations())
	return t
}

// demand notes which of these never were there.
func (t *swarmSummary) demand(of map[string]*hits, names []string) {
	for _, name := range names {
		if h := of[name]; h == nil || h.Times == 0 {
			tally(of, name, 0)
			t.Never = append(t.Never, name)
		}
	}
}

// show says how it goes until finished is closed: one line that changes on a
// terminal, a line every ten seconds otherwise.
func (s *swarm) show(w io.Writer, finished <-chan struct{}) {
	begin, end, every := "", "\n", 10*time.Second
	if isTerminal(w) {
		begin, end, every = "\r\x1b[K", "", 250*time.Millisecond
		defer fmt.Fprint(w, "\r\x1b[K")
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-finished:
			return
		case <-ticker.C:
		}
		for _, line := range s.news() {
			fmt.Fprintf(w, "%s%s\n", begin, line)
		}
		fmt.Fprintf(w, "%s%s%s", begin, s.line(time.Since(s.began)), end)
	}
}

// news has a line for each seed that failed since it was last called: a long run goes
// on after that, and whoever waits for it may look into the seed meanwhile.
func (s *swarm) news() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.told < len(s.failed); s.told++ {
		f := &s.failed[s.told]
		lines = append(lines, fmt.Sprintf("seed %d broke a promise: %s (parley chaos replay %s)", f.options.Seed, f.report.Invariant(), seedArguments(&f.options)))
	}
	return lines
}

// line is what is known after so much time.
func (s *swarm) line(took time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.sum
	ratio := 0.0
	if t.Busy > 0 {
		ratio = t.VirtualSeconds / t.Busy
	}
	return fmt.Sprintf("%d seeds, %.1f/s; %v virtual, %.0f times real time; %d faults; %d violations",
		t.Seeds, float64(t.Seeds)/took.Seconds(), (time.Duration(t.VirtualSeconds) * time.Second).Round(time.Second), ratio, t.Injected, t.Failed)
}
