package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Bits rot where nobody reads. So every now and then (Config.ScrubEvery) a replica reads all
// that its application keeps on the disk, beside everything else and slowly: it rests for nine
// times as long as it reads. What it finds goes the way of all damage.

const (
	// scrubRest is for how many times as long as it reads a scrub rests.
	scrubRest = 9
	// scrubSoon is what part of Config.ScrubEvery passes before the first scrub, and before the
	// next attempt after one that was interrupted. Replicas come one after the other.
	scrubSoon = 16
	// maxScrubDamages is how many damages a scrub names.
	maxScrubDamages = 16
)

// scrubs is the scrub under way, if there is one.
type scrubs struct {
	mu     sync.Mutex
	cancel context.CancelFunc
}

// interrupt ends the scrub under way: the state is to become another one, and waits for all
// who read it.
func (s *scrubs) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

func (s *scrubs) begin(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	return ctx, cancel
}

// scrub is a goroutine of the server's.
func (s *Server) scrub() {
	app, ok := s.cfg.Machine.(statemachine.StoredState)
	if !ok || s.cfg.ScrubEvery < 0 {
		return
	}
	for wait := s.untilScrub(); s.pause(s.life, wait); {
		if wait = s.cfg.ScrubEvery / scrubSoon; s.scrubOnce(app) {
			wait = s.cfg.ScrubEvery
		}
	}
}

// untilScrub is how long the first one of this process waits.
func (s *Server) untilScrub() time.Duration {
	soon := s.cfg.ScrubEvery / scrubSoon
	wait := soon + soon*time.Duration(s.self)/time.Duration(s.cfg.Roster.N())
	if last := s.doctor.lastScrub(); last != nil {
		// A clock that was wrong then does not put it off for longer.
		wait = max(wait, min(s.cfg.ScrubEvery-s.cfg.Now().Sub(last.At), s.cfg.ScrubEvery))
	}
	return wait
}

// pause waits; false if ctx ended meanwhile.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// scrubOnce tells whether it came to an end.
func (s *Server) scrubOnce(app statemachine.StoredState) bool {
	ctx, cancel := s.scrubs.begin(s.life)
	defer cancel()
	// Asked second: whoever is to change the state says so first, and then ends the scrub under
	// way. One that he does not see would have him wait for its end, which may be hours away.
	if s.Serving() != nil {
		return false // there is no state to read
	}
	begun := s.cfg.Now()
	last := time.Now()
	r, err := app.ScrubState(ctx, maxScrubDamages, func(ctx context.Context) {
		s.pause(ctx, scrubRest*time.Since(last))
		last = time.Now()
	})
	x := DoctorScrub{At: begun, Took: s.cfg.Now().Sub(begun).String(), Height: pbft.Height(r.Height), Keys: r.Values, Bytes: r.Bytes, More: r.More}
	for _, d := range r.Damages {
		x.Damaged = append(x.Damaged, describeDamage(&d))
	}
	switch damage := scrubFound(&r, err); {
	case damage != nil:
		if err != nil {
			x.Damaged = append(x.Damaged, err.Error())
		}
		s.damaged(damage)
	case err == nil:
		s.logger.Info("scrubbed the state: all of it is what was written", "height", r.Height, "keys", r.Values, "bytes", r.Bytes, "took", x.Took)
	default:
		if ctx.Err() == nil {
			s.logger.Warn("the state could not be scrubbed, it will be tried again", "error", err)
		}
		return false
	}
	s.metrics.scrubs.Inc()
	s.metrics.scrubDamages.Add(float64(len(x.Damaged)))
	s.doctor.scrubbed(&x)
	return true
}

// scrubFound is the damage that a scrub came to, nil if it found none.
func scrubFound(r *statemachine.StateScrub, err error) error {
	switch {
	case errors.Is(err, statemachine.ErrDamaged):
		return err
	case err == nil && len(r.Damages) > 0:
		return &scrubbedDamage{r}
	}
	return nil
}

func describeDamage(d *statemachine.StateDamage) string {
	if d.Key == nil {
		return d.What
	}
	return fmt.Sprintf("key %s: %s", doctorBytes(d.Key), d.What)
}

// scrubbedDamage is what a scrub found.
type scrubbedDamage struct{ r *statemachine.StateScrub }

func (e *scrubbedDamage) Error() string {
	more := ""
	if n := len(e.r.Damages); n > 1 || e.r.More {
		more = fmt.Sprintf(", and at least %d more", n-1)
	}
	return fmt.Sprintf("a scrub of the state at height %d found damage: %s%s", e.r.Height, describeDamage(&e.r.Damages[0]), more)
}

// Unwrap returns [statemachine.ErrDamaged].
func (e *scrubbedDamage) Unwrap() error { return statemachine.ErrDamaged }
