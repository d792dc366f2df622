package real

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/chaos/report"
)

// What a run notes while it goes on.

// unexpected is called when a replica ended that nobody ended.
func (r *run) unexpected(n *node, p *process) {
	n.mu.Lock()
	why := n.excused
	n.mu.Unlock()
	words := lastLine(n.log)
	if why != "" {
		r.say("%s ended by itself (%v), which it may: %s; its last words: %s", name(n.id), p.err, why, words)
		return
	}
	r.mu.Lock()
	ending := r.ending
	r.mu.Unlock()
	if !ending {
		r.fatal("ended", "%s ended by itself: %v; its last words: %s", name(n.id), p.err, words)
	}
}

// broken notes a violation.
func (r *run) broken(invariant, format string, args ...any) {
	v := report.Violation{At: r.recorder.now(), Invariant: invariant, Text: fmt.Sprintf(format, args...)}
	r.mu.Lock()
	r.violations = append(r.violations, v)
	r.mu.Unlock()
	r.say("VIOLATION of %s: %s", invariant, v.Text)
}

// fatal notes a violation after which the faults end.
func (r *run) fatal(invariant, format string, args ...any) {
	r.broken(invariant, format, args...)
	r.diedOnce.Do(func() { close(r.died) })
}

func (r *run) broke(invariant string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.violations, func(v report.Violation) bool { return v.Invariant == invariant })
}

func (r *run) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.notes = append(r.notes, text)
	r.mu.Unlock()
	r.say("%s", text)
}

// sometimes counts a situation.
func (r *run) sometimes(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.coverage[what]++
}

func (r *run) phase(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.recorder.now()
	if k := len(r.phases); k > 0 {
		r.phases[k-1].End = now
	}
	if name != "" {
		r.phases = append(r.phases, report.Phase{Name: name, Begin: now})
	}
}

func (r *run) trace(format string, args ...any) {
	r.folder.Trace(fmt.Sprintf("%8.3f %s", r.recorder.now().Seconds(), fmt.Sprintf(format, args...)))
}

// say tells the user and the trace.
func (r *run) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.trace("%s", line)
	fmt.Fprintf(r.opts.Out, "%7.1f s  %s\n", r.recorder.now().Seconds(), line)
}
