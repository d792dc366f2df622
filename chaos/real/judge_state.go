package real

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/statemachine/store"
)

// judgeStates reads the whole state of each replica from its disk, once the replica has
// ended. After all that was done to it every value must be the one of its digest.
func (r *run) judgeStates() {
	if r.opts.Application != kvStore {
		return
	}
	r.mu.Lock()
	r.ending = true
	r.mu.Unlock()
	for i, n := range r.nodes {
		n.stop(10 * time.Second)
		if damaged := scrubState(r.cluster.state(i)); damaged != "" {
			r.broken("storage", "the state of %s is damaged: %s", name(i), damaged)
		}
	}
}

// scrubState reads the state of a replica that does not run, and says what is wrong with
// it; nothing is empty.
func scrubState(dir string) (damaged string) {
	ctx := context.Background()
	cfg := store.DefaultConfig()
	cfg.Dir = dir
	s, err := store.Open(ctx, cfg)
	if err != nil {
		return fmt.Sprintf("it cannot be opened: %v", err)
	}
	defer func() {
		if err := s.Close(); err != nil && damaged == "" {
			damaged = fmt.Sprintf("it cannot be closed: %v", err)
		}
	}()
	report, err := s.Scrub(ctx, 1)
	switch {
	case errors.Is(err, store.ErrNoProof): // it has just been made anew, and no checkpoint was taken
	case err != nil:
		return fmt.Sprintf("it cannot be read: %v", err)
	case len(report.Damages) > 0:
		d := &report.Damages[0]
		return fmt.Sprintf("%v, of key %q: %v", d.Kind, d.Key, d.Err)
	}
	return ""
}
