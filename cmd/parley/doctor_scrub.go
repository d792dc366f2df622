package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/store"
)

// scrubResult is what reading the whole state of an application came to.
type scrubResult struct {
	Height  uint64   `json:"height"`
	Keys    int      `json:"keys"`
	Bytes   int64    `json:"bytes"`
	Damaged []string `json:"damaged,omitempty"`
	More    bool     `json:"more,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// maxShownDamage is how many damages are listed.
const maxShownDamage = 16

// scrub reads the state that the application of a replica that does not run keeps on the
// disk, if it is asked for and there is one.
func (p *patient) scrub(ctx context.Context) {
	dir := filepath.Join(p.Data, replica.StateDir)
	if !p.offline || p.Error != "" {
		return
	}
	if _, err := os.Stat(dir); err != nil {
		return
	}
	r := new(scrubResult)
	p.Scrub = r
	err := r.read(ctx, dir)
	switch {
	case errors.Is(err, store.ErrCorrupt):
		err = fmt.Errorf("%w: run 'parley doctor --heal %s' and start the replica, which makes its state anew", err, p.Data)
		p.State = stateDamaged
	case len(r.Damaged) > 0:
		p.State = stateDamaged
	case errors.Is(err, store.ErrLocked): // nothing is known of its state, and nothing is wrong
		p.State = stateUnknown
		err = fmt.Errorf("the replica runs: ask it with --dir or --admin, or stop it first (%w)", err)
	case err != nil:
		p.State = stateUnknown
	}
	if err != nil {
		r.Error = plain(err.Error())
	}
}

func (r *scrubResult) read(ctx context.Context, dir string) (err error) {
	cfg := store.DefaultConfig()
	cfg.Dir, cfg.Logger = dir, slog.New(slog.DiscardHandler)
	cfg.Reserve = 0 // a state can be examined on a disk that is full
	s, err := store.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	report, err := s.Scrub(ctx, maxShownDamage)
	r.Height, r.Keys, r.Bytes, r.More = report.Height, report.Values, report.Bytes, report.More
	for _, d := range report.Damages {
		text := d.Kind.String()
		if d.Key != nil {
			text = fmt.Sprintf("%q: %s", d.Key, text)
		}
		if d.Err != nil {
			text += ": " + d.Err.Error()
		}
		r.Damaged = append(r.Damaged, text)
	}
	return err
}
