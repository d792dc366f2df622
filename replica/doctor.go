package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/parley-bft/parley/internal/strictjson"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// doctor keeps the record of divergences: what was found, and what was done. It is kept in
// a file of the data folder too, for whoever comes later; nothing depends on it.
type doctor struct {
	s    *Server
	file string

	mu    sync.Mutex
	cases []DoctorCase
	scrub *DoctorScrub
}

// doctorFile is its name in the data folder.
const doctorFile = "doctor.json"

// maxCases bounds the record.
const maxCases = 16

// doctorRecord is the file's content.
type doctorRecord struct {
	Format int          `json:"format"`
	Cases  []DoctorCase `json:"cases"`
	Scrub  *DoctorScrub `json:"scrub,omitempty"`
}

const doctorFormat = 1

// ReadDoctorFile reads the record of divergences in a replica's data folder, which need
// not run. Without a file there were none.
func ReadDoctorFile(dataDir string) ([]DoctorCase, error) {
	r, err := readDoctorFile(dataDir)
	return r.Cases, err
}

func readDoctorFile(dataDir string) (r doctorRecord, err error) {
	path := filepath.Join(dataDir, doctorFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := strictjson.Decode(b, &r); err != nil {
		return doctorRecord{}, fmt.Errorf("%s: %w: remove the file, nothing depends on it", path, err)
	}
	if r.Format != doctorFormat {
		return doctorRecord{}, fmt.Errorf("%s: format is %d, this program reads %d: remove the file, nothing depends on it", path, r.Format, doctorFormat)
	}
	return r, nil
}

func openDoctor(s *Server) (*doctor, error) {
	d := &doctor{s: s, file: filepath.Join(s.cfg.DataDir, doctorFile)}
	r, err := readDoctorFile(s.cfg.DataDir)
	if err != nil {
		s.logger.Warn("the record of earlier divergences cannot be read", "error", err)
	}
	d.cases, d.scrub = r.Cases, r.Scrub
	return d, nil
}

// change changes the record and has it written.
func (d *doctor) change(f func(cases []DoctorCase) []DoctorCase) {
	d.mu.Lock()
	d.cases = f(d.cases)
	d.cases = slices.Delete(d.cases, 0, max(0, len(d.cases)-maxCases))
	d.mu.Unlock()
	d.s.files.put(func() {
		b, err := json.MarshalIndent(doctorRecord{doctorFormat, d.all(), d.lastScrub()}, "", "  ")
		if err == nil {
			err = writeFile(d.file, append(b, '\n'), 0o600)
		}
		if err != nil {
			d.s.logger.Warn("the record of divergences cannot be written", "error", err)
		}
	})
}

// present changes the case that is not over yet, if there is one.
func (d *doctor) present(f func(c *DoctorCase)) {
	d.change(func(cases []DoctorCase) []DoctorCase {
		for i := range slices.Backward(cases) {
			if c := cases[i]; c.Healed == nil && len(c.Sides) == 0 {
				// A copy, since others may be looking at what they were given.
				c.Repairs = slices.Clone(c.Repairs)
				f(&c)
				cases = slices.Clone(cases)
				cases[i] = c
				break
			}
		}
		return cases
	})
}

func (d *doctor) all() []DoctorCase {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.cases)
}

// repaired notes an attempt. It is called by the runner.
func (d *doctor) repaired(base pbft.Height, replayed int, stats *statemachine.StateSyncStats) {
	r := DoctorRepair{At: d.s.cfg.Now(), Base: base, Replayed: replayed, Whole: stats == nil}
	if stats != nil {
		r.Changed, r.Damaged, r.Received, r.Sent, r.Requests = stats.Changed, stats.Damaged, stats.Received, stats.Sent, stats.Requests
	}
	d.s.logger.Warn("the state was repaired", "checkpoint", r.Base, "replayed", r.Replayed, "whole", r.Whole,
		"keys", r.Changed, "damaged", r.Damaged, "received", r.Received)
	var lost []DoctorKey
	d.present(func(c *DoctorCase) {
		c.Repairs = append(c.Repairs, r)
		if stats != nil {
			lost = c.lost(stats)
		}
	})
	for i := range lost {
		k := &lost[i]
		d.s.logger.Error("DAMAGED KEY", "key", k.Key.String(), "got", k.There.show())
	}
}

// healed notes that it is over, also what a repair had come to in between. It is called by
// the protocol goroutine.
func (d *doctor) healed(now time.Time) { d.over(now, false) }

// certifiedAgain notes that there is a certificate again.
func (d *doctor) certifiedAgain(now time.Time) { d.over(now, true) }

func (d *doctor) over(now time.Time, split bool) {
	d.change(func(cases []DoctorCase) []DoctorCase {
		cases = slices.Clone(cases)
		for i := range cases {
			if cases[i].Healed == nil && (len(cases[i].Sides) > 0) == split {
				cases[i].Healed = &now
			}
		}
		return cases
	})
}

// Doctor says what this replica knows of the health of its own state.
func (s *Server) Doctor() DoctorReport {
	r := DoctorReport{Replica: s.self, Name: s.cfg.Roster.Member(s.self).Name, Cases: s.doctor.all(), Scrub: s.doctor.lastScrub()}
	if p := s.published.Load(); p != nil {
		r.Executed, r.Stable = p.executed, p.stable
	}
	if d := s.diverged.Load(); d != nil {
		r.Diverged = d.Height()
	}
	r.Split = pbft.Height(s.runner.split.Load())
	if err := s.Err(); err != nil {
		r.Failed = err.Error()
	}
	return r
}
