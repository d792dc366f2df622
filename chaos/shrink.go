package chaos

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Shrunk is what is left of options after [Shrink].
type Shrunk struct {
	Options Options
	Report  *Report
	// Runs is how many runs it took, Left says what is still there, Story what
	// happened in the last run: faults, crashes, starts, and the violation.
	Runs  int
	Left  []string
	Story []string
}

// Shrink looks for the least of o that still violates the invariant of r: fewer
// kinds of faults, fewer traitors, clients and keys, a shorter storm, a smaller
// cluster. It tries one thing less at a time until nothing can go or the budget of
// real time is used up. The violation need not be the very same event; what is
// smaller schedules everything anew.
func Shrink(o Options, r *Report, budget time.Duration) *Shrunk {
	s := &Shrunk{Options: o, Report: r}
	want := r.Invariant()
	began := time.Now()
	for again := true; again && time.Since(began) < budget; {
		again = false
		for _, smaller := range reductions(s.Options) {
			if time.Since(began) >= budget {
				break
			}
			if smaller.Validate() != nil {
				continue
			}
			s.Runs++
			if got := Run(smaller); got.Invariant() == want {
				s.Options, s.Report, again = smaller, got, true
				break // its reductions are others
			}
		}
	}
	s.Left = ingredients(s.Options)
	s.tell()
	return s
}

// maxStory bounds the lines of a story; the last ones matter.
const maxStory = 60

// tell runs what is left once more and keeps what a reader wants to follow.
func (s *Shrunk) tell() {
	o := s.Options
	o.Trace = func(line string) {
		for _, word := range []string{"fault", "crash", "start", "heal", "calm", "VIOLATION", "install", "wipe"} {
			if strings.Contains(line, " "+word+" ") {
				if s.Story = append(s.Story, strings.TrimSpace(line)); len(s.Story) > maxStory {
					s.Story = slices.Delete(s.Story, 1, 2)
				}
				return
			}
		}
	}
	s.Report = Run(o)
}

// reductions are the options with one thing less, the largest steps first.
func reductions(o Options) []Options {
	var all []Options
	try := func(change func(*Options)) {
		smaller := o
		smaller.Traitors = slices.Clone(o.Traitors)
		change(&smaller)
		all = append(all, smaller)
	}
	if n := len(o.Weights); n > 4 {
		try(func(s *Options) {
			s.Weights = slices.Repeat([]uint64{1}, 4)
			s.Traitors = slices.DeleteFunc(s.Traitors, func(t pbft.ReplicaID) bool { return int(t) >= 4 })
			s.Traitors = s.Traitors[:min(1, len(s.Traitors))]
		})
	}
	for _, part := range []string{"Faults", "Network"} {
		fields := reflect.TypeOf(o).Field(fieldIndex(part)).Type
		for i := range fields.NumField() {
			if reflect.ValueOf(o).FieldByName(part).Field(i).IsZero() {
				continue
			}
			try(func(s *Options) { reflect.ValueOf(s).Elem().FieldByName(part).Field(i).SetZero() })
		}
	}
	for i := range o.Traitors {
		try(func(s *Options) { s.Traitors = slices.Delete(s.Traitors, i, i+1) })
	}
	if o.Clients > 1 {
		try(func(s *Options) { s.Clients = 1 })
		try(func(s *Options) { s.Clients-- })
	}
	if o.Keys > 1 {
		try(func(s *Options) { s.Keys = 1 })
	}
	if o.Storm > 500*time.Millisecond {
		try(func(s *Options) { s.Storm /= 2 })
	}
	if !o.HealAll {
		try(func(s *Options) { s.HealAll = true })
	}
	if o.OnDisk {
		try(func(s *Options) { s.OnDisk = false })
	}
	if o.MaxBlockRequests > 1 {
		try(func(s *Options) { s.MaxBlockRequests = 1 })
	}
	return all
}

func fieldIndex(name string) int {
	f, ok := reflect.TypeFor[Options]().FieldByName(name)
	if !ok {
		panic("chaos: Options has no " + name)
	}
	return f.Index[0]
}

// ingredients says what is in the options, for people.
func ingredients(o Options) []string {
	left := []string{fmt.Sprintf("%d replicas of weights %v", len(o.Weights), o.Weights), fmt.Sprintf("%d clients, %d keys", o.Clients, o.Keys), fmt.Sprintf("storm %v", o.Storm)}
	if len(o.Traitors) > 0 {
		left = append(left, fmt.Sprintf("traitors %v", o.Traitors))
	}
	if o.OnDisk {
		left = append(left, "states on disks")
	}
	for _, part := range []string{"Faults", "Network"} {
		v := reflect.ValueOf(o).FieldByName(part)
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				left = append(left, fmt.Sprintf("%s.%s %v", strings.ToLower(part), v.Type().Field(i).Name, v.Field(i).Interface()))
			}
		}
	}
	return left
}
