package real

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/replica"
)

const (
	// sampleEvery is the time between two looks at the replicas, sampleWait how long
	// one may take to answer.
	sampleEvery = 250 * time.Millisecond
	sampleWait  = time.Second
)

// sample notes where every replica is, until ctx ends.
func (r *run) sample(ctx context.Context) {
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for {
		states := r.look(ctx)
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		for i, s := range states {
			have := r.samples[i]
			if k := len(have); k > 0 && have[k-1].State == s.State && have[k-1].View == s.View && have[k-1].Height == s.Height {
				continue
			}
			r.samples[i] = append(have, s)
		}
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look asks all replicas at once where they are.
func (r *run) look(ctx context.Context) []report.Sample {
	out := make([]report.Sample, len(r.nodes))
	var group sync.WaitGroup
	for i, n := range r.nodes {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, sampleWait)
			defer cancel()
			var st replica.Status
			var err error
			n.mu.Lock()
			state := n.state
			n.mu.Unlock()
			if state == report.Up || state == report.Traitor {
				st, err = n.status(ctx)
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			s := report.Sample{At: r.recorder.now(), State: n.state, View: uint64(n.last.View), Height: uint64(n.last.Committed)}
			if err == nil && s.State == report.Up && st.Follower {
				s.State = report.Follower
			}
			out[i] = s
		})
	}
	group.Wait()
	return out
}

// primary is who most replicas took for the primary when last heard, -1 if unknown.
func (r *run) primary() int {
	best, view := -1, uint64(0)
	for _, n := range r.nodes {
		n.mu.Lock()
		if !n.lastAt.IsZero() && (best < 0 || uint64(n.last.View) > view) {
			best, view = int(n.last.Primary), uint64(n.last.View)
		}
		n.mu.Unlock()
	}
	if best >= len(r.nodes) {
		return -1
	}
	return best
}

// progress tells the user now and then, until ctx ends.
func (r *run) progress(ctx context.Context) {
	t := time.NewTicker(r.opts.Every)
	defer t.Stop()
	before, at := 0, r.recorder.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		all, ok, never, unknown := r.recorder.tally()
		now := r.recorder.now()
		r.mu.Lock()
		faults, broken := len(r.faults), len(r.violations)
		counted := ""
		if r.goal > 0 {
			counted = fmt.Sprintf(" (%d of %d)", r.counted, r.goal)
		}
		r.mu.Unlock()
		var states []string
		for _, n := range r.nodes {
			n.mu.Lock()
			states = append(states, fmt.Sprintf("%s v%d h%d", n.state, n.last.View, n.last.Committed))
			n.mu.Unlock()
		}
		fmt.Fprintf(r.opts.Out, "%7.1f s  %d operations: %d acknowledged (%.0f/s), %d unknown, %d never ran; longest pause %.1f s; %d faults%s; %d violations | %s\n",
			now.Seconds(), all, ok, float64(ok-before)/(now-at).Seconds(), unknown, never,
			time.Duration(r.load.pause.Load()).Seconds(), faults, counted, broken, strings.Join(states, " | "))
		before, at = ok, now
	}
}

// await polls until ok, for as long as patience and ctx permit.
func (r *run) await(ctx context.Context, patience time.Duration, ok func(ctx context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		if ok(ctx) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
	}
}

// progressed waits for so many more acknowledgements.
func (r *run) progressed(ctx context.Context, more int, patience time.Duration) bool {
	_, begin, _, _ := r.recorder.tally()
	return r.await(ctx, patience, func(context.Context) bool {
		_, now, _, _ := r.recorder.tally()
		return now >= begin+more
	})
}

// answers waits until a replica that was started answers. One that does not within
// the patience is a violation; one that ended in the meantime is judged elsewhere.
func (r *run) answers(ctx context.Context, i int) bool {
	n := r.nodes[i]
	if r.await(ctx, r.opts.Patience, func(ctx context.Context) bool {
		if !n.running() {
			return true
		}
		_, err := n.status(ctx)
		return err == nil
	}) {
		return n.running()
	}
	if ctx.Err() == nil {
		r.describe(i)
		r.fatal("start", "%s does not answer %v after its start; its last words: %s", name(i), r.opts.Patience, lastLine(n.log))
	}
	return false
}

// describe keeps what a replica says of itself, for whoever looks into a violation.
func (r *run) describe(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, page := range []string{"status", "debug/core", "metrics"} {
		body, err := r.nodes[i].ask(ctx, "/"+page)
		if err != nil {
			body = []byte(err.Error())
		}
		_ = os.WriteFile(filepath.Join(r.cluster.home(i), strings.ReplaceAll(page, "/", "-")+".txt"), body, 0o600)
	}
}

func (r *run) lastWords() string {
	var b strings.Builder
	for _, n := range r.nodes {
		fmt.Fprintf(&b, "\n  %s: %s", name(n.id), lastLine(n.log))
	}
	return b.String()
}

// lastLine is the last line of a file that says something.
func lastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	data = bytes.TrimRight(data, "\n")
	return string(data[bytes.LastIndexByte(data, '\n')+1:])
}
