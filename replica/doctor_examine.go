package replica

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// What the doctor finds out about a divergence, before anything is changed: the runner
// stands still meanwhile.

// examineTime bounds an examination, which the repair waits for; maxFoundKeys is how many
// keys it names, maxRerun how many blocks it runs again at most.
const (
	examineTime  = 20 * time.Second
	maxFoundKeys = 16
	maxRerun     = 64
)

// examine is called by the runner, also after a repair that came to a wrong state again.
func (d *doctor) examine(v *pbft.Divergence) {
	ctx, cancel := context.WithTimeout(d.s.life, examineTime)
	defer cancel()
	c := DoctorCase{Found: d.s.cfg.Now(), Height: v.Height(), Agreed: v.Agreed, Reason: v.String()}
	x := &examination{doctor: d, ctx: ctx, of: v, found: &c}
	x.run()
	x.log()
	d.change(func(cases []DoctorCase) []DoctorCase {
		if n := len(cases); n > 0 && cases[n-1].Healed == nil && cases[n-1].Height == c.Height && len(cases[n-1].Keys) > 0 {
			return cases // it is known, and better, from before a restart or a repair
		}
		return append(slices.Clone(cases), c)
	})
}

// examineSplit finds out how this replica's state differs from another one, at a checkpoint
// for which no certificate can exist. It is called by the runner, between blocks.
func (d *doctor) examineSplit(s *pbft.Split) {
	ctx, cancel := context.WithTimeout(d.s.life, examineTime)
	defer cancel()
	c := DoctorCase{Found: d.s.cfg.Now(), Height: s.Height, Reason: s.String()}
	if v, err := d.s.data.store.Get(pbft.RecordKey{Kind: pbft.RecordStable}); err == nil && v != nil {
		if b, err := pbft.DecodeRecordBundle(v); err == nil {
			c.Agreed = b.Height()
		}
	}
	mine, other := s.Of(d.s.self), (*pbft.SplitGroup)(nil)
	for i := range s.Groups {
		g := &s.Groups[i]
		side := DoctorSide{Here: g == mine, State: g.Statement.State.Hex(), Results: g.Statement.Results.Hex()}
		for _, id := range g.Signers.IDs() {
			side.Replicas = append(side.Replicas, d.s.cfg.Roster.Member(id).Name)
		}
		c.Sides = append(c.Sides, side)
		if other == nil && g != mine {
			other = g
		}
	}
	x := &examination{doctor: d, ctx: ctx, found: &c, split: true}
	if mine == nil {
		x.note("this replica has said nothing about that checkpoint, so its state is not compared")
	} else {
		x.of = &pbft.Divergence{Mine: mine.Statement, Other: other.Statement, Agreed: c.Agreed}
		x.run()
	}
	x.log()
	d.splitCase(c)
}

// splitCase adds the case of a split. If it was over before that took its time, certifiedAgain
// has found no case to end: it looks after the split is over, so one of the two sees the other.
func (d *doctor) splitCase(c DoctorCase) {
	d.change(func(cases []DoctorCase) []DoctorCase {
		if d.s.runner.split.Load() == 0 {
			now := d.s.cfg.Now()
			c.Healed = &now
		}
		return append(slices.Clone(cases), c)
	})
}

type examination struct {
	*doctor
	ctx   context.Context
	of    *pbft.Divergence
	found *DoctorCase
	// split: what it is compared with is no more certified than what is here.
	split bool
}

func (x *examination) note(format string, args ...any) {
	if x.found.Note != "" {
		x.found.Note += "; "
	}
	x.found.Note += fmt.Sprintf(format, args...)
}

func (x *examination) run() {
	v := x.of
	if v.Mine.Results != v.Other.Results {
		x.found.Parts = append(x.found.Parts, "results")
	}
	mine, known := x.s.runner.seals.at(v.Mine.State)
	switch {
	case v.Mine.State == v.Other.State:
		return
	case !v.Certified && !x.split:
		x.note("no certificate of that height is here yet, so nobody knows which of the two is right")
		return
	case !known:
		x.note("what the state here was made of is not known any more")
		return
	}
	certified, ok := x.certifiedParts()
	if !ok {
		x.note("no peer says what the other state is made of")
		return
	}
	for _, p := range []struct {
		name          string
		here, certain pbft.Digest
	}{{"application", mine.App, certified.App}, {"sessions", mine.Sessions, certified.Sessions}, {"snapshot", mine.Manifest, certified.Manifest}} {
		// The snapshot's bytes contain the rest: they differ by themselves only if nothing
		// else does.
		if p.here != p.certain && (p.name != "snapshot" || len(x.found.Parts) == 0) {
			x.found.Parts = append(x.found.Parts, p.name)
		}
	}
	if mine.App != certified.App {
		x.compare(certified.App)
	}
}

// certifiedParts asks the peers, one after the other, what the certified state is made of.
func (x *examination) certifiedParts() (receipt.StateParts, bool) {
	ask := append([]byte{askParts}, x.of.Other.State[:]...)
	for id := range pbft.ReplicaID(x.s.cfg.Roster.N()) {
		if id == x.s.self {
			continue
		}
		ctx, cancel := context.WithTimeout(x.ctx, 2*time.Second)
		b, err := x.s.asks.ask(ctx, id, ask)
		cancel()
		if err != nil || len(b) == 0 {
			continue
		}
		if p, ok := decodeParts(b); ok && p.Digest() == x.of.Other.State {
			return p, true
		}
		x.s.logger.Error("A PEER LIED about what a state is made of", "peer", id, "height", x.of.Height())
	}
	return receipt.StateParts{}, false
}

// compare finds the first keys that differ, and what wrote them here.
func (x *examination) compare(digest pbft.Digest) {
	app := x.s.runner.parts.app
	if app == nil {
		x.note("the application's state has no parts that could be compared (statemachine.PartedState)")
		return
	}
	differences, more, err := app.CompareState(x.ctx, x.s.stateTarget(x.of.Height(), digest), maxFoundKeys)
	if err != nil {
		x.note("the states cannot be compared: %v", err)
		return
	}
	x.found.MoreKeys = more
	for i := range differences {
		f := &differences[i]
		k := DoctorKey{Key: doctorBytes(f.Key), Damaged: f.Damaged, Written: pbft.Height(f.Written)}
		if f.IsHere {
			v := doctorBytes(f.Here)
			k.Here = &v
		}
		if f.IsThere {
			v := doctorBytes(f.There)
			k.There = &v
		}
		x.found.Keys = append(x.found.Keys, k)
	}
	x.nameOperations(differences)
}

// nameOperations finds the operations that wrote the keys, by running blocks again: the
// one that is said to have written a key, or, where none is, those since the states
// agreed, the last first.
func (x *examination) nameOperations(differences []statemachine.StateDifference) {
	blocks := map[pbft.Height][]int{} // by the block to run: the differences that it may explain
	var anywhere []int
	for i := range differences {
		switch h := pbft.Height(differences[i].Written); {
		case differences[i].Damaged:
		case h > x.of.Agreed && h <= x.of.Height():
			blocks[h] = append(blocks[h], i)
		default:
			anywhere = append(anywhere, i)
		}
	}
	for h, n := x.of.Height(), 0; h > x.of.Agreed; h-- {
		of := append(blocks[h], anywhere...)
		if len(of) == 0 {
			continue
		}
		if n++; n > maxRerun {
			x.note("only %d blocks were run again", maxRerun)
			return
		}
		named, err := x.rerun(h, differences, of)
		if err != nil {
			x.note("block %d cannot be run again: %v", h, err)
			return
		}
		anywhere = slices.DeleteFunc(anywhere, func(i int) bool { return named[i] })
	}
}

// rerun runs a block again and notes which operations write the keys of some of the
// differences.
func (x *examination) rerun(h pbft.Height, differences []statemachine.StateDifference, of []int) (named map[int]bool, err error) {
	b, err := x.block(h)
	if err != nil {
		return nil, err
	}
	block, requests, ok := x.s.exec.Again(requestBlock(b))
	if !ok {
		return nil, fmt.Errorf("which of its requests ran is not known any more")
	}
	keys := make([][]byte, len(of))
	for i, d := range of {
		keys[i] = differences[d].Key
	}
	writes, err := x.s.runner.parts.app.Rerun(x.ctx, block, keys)
	if err != nil {
		return nil, err
	}
	named = make(map[int]bool)
	for _, d := range of {
		for _, w := range writes { // the last one counts
			if !bytes.Equal(w.Key, differences[d].Key) {
				continue
			}
			op := &DoctorOperation{Block: h, Digest: b.Digest().Hex(), Index: -1}
			if w.Op >= 0 && w.Op < len(block.Ops) {
				o := &block.Ops[w.Op]
				r := b.Requests[requests[w.Op]].Digest()
				op.Client, op.Seq, op.Index, op.Request, op.Data = o.Client.Hex(), o.Seq, o.Index, r.Hex(), doctorBytes(o.Data)
			}
			x.found.Keys[d].Operation, named[d] = op, true
			if x.found.Keys[d].Written == 0 {
				x.found.Keys[d].Written = h
			}
		}
	}
	return named, nil
}

func (x *examination) block(h pbft.Height) (*pbft.Block, error) {
	ref, ok, err := getChain(x.s.data.store, h)
	if err != nil || !ok {
		return nil, fmt.Errorf("it is not in the log: %w", err)
	}
	p, err := getBlock(x.s.data.store, ref)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("it is not in the log")
	}
	return p.Block, nil
}

// log writes the findings, a line for each key.
func (x *examination) log() {
	c := x.found
	what := "DIVERGED"
	if x.split {
		what = "NO CERTIFICATE: " + WhatToDoAboutSplit + "; the state here, compared with another one:"
	}
	x.s.logger.Error(what, "checkpoint", c.Height, "agreed", c.Agreed, "differs", strings.Join(c.Parts, ","), "keys", len(c.Keys), "more", c.MoreKeys, "note", c.Note)
	for i := range c.Keys {
		k := &c.Keys[i]
		args := []any{"key", k.Key.String(), "here", k.Here.show(), "there", k.There.show(), "damaged", k.Damaged, "block", k.Written}
		if o := k.Operation; o != nil {
			args = append(args, "client", o.Client, "seq", o.Seq, "operation", o.Index, "data", o.Data.String())
		}
		x.s.logger.Log(x.ctx, slog.LevelError, "DIVERGED KEY", args...)
	}
}

func (d *DoctorBytes) show() string {
	if d == nil {
		return "(none)"
	}
	return d.String()
}
