package chaos

import (
	"maps"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// keptCheck watches states on disks. A vote for a checkpoint with a snapshot says that this replica
// can serve that state; its snapshot only names it. So:
//
//   - when the vote leaves, the disk has the state: what a crash leaves goes back to it;
//   - that stays so for as long as the snapshot is there, and longer than the next certified one
//     needs;
//   - a replica that is started again begins with the newest such state that its log reaches, and
//     asks nobody for it;
//   - what it began with, and whatever it has a snapshot of and executed again on the way to its
//     committed end, is a state that it has, as is one that it was given.
type keptCheck struct {
	s *Simulation
	// of each replica are the states that it has voted for and must still have, by height, and how
	// often its disk had been synced when that was last looked at.
	of    []map[pbft.Height]crypto.Digest
	syncs []uint64
}

func newKeptCheck(s *Simulation) *keptCheck {
	k := &keptCheck{s: s, of: make([]map[pbft.Height]crypto.Digest, len(s.opts.Weights)), syncs: make([]uint64, len(s.opts.Weights))}
	for i := range k.of {
		k.of[i] = map[pbft.Height]crypto.Digest{}
	}
	return k
}

// watches tells whether a replica's disk is to have what it voted for.
func (k *keptCheck) watches(m *member) bool {
	return m.disk.state != nil && m.honest() && !m.stateHurt() && !m.rotten
}

// voted takes a vote for a checkpoint that leaves now.
func (k *keptCheck) voted(p *process, v *pbft.CheckpointVote, missing func(what string)) {
	h := v.Height
	if !k.watches(p.member) || !p.isSnapshot(h) || h <= p.disk.damaged || p.sim.Stateless() {
		return
	}
	app, ok := p.disk.snapshots.AppDigest(h)
	if !ok {
		return // of which durableCheckpoint tells
	}
	if !p.disk.state.Holds(uint64(h), app) {
		missing("the state that its snapshot names")
	}
	k.of[p.id][h] = app
}

// observe is called after every step of a replica.
func (k *keptCheck) observe(p *process) {
	kept := k.of[p.id]
	if p.disk.state == nil || len(kept) == 0 {
		return
	}
	if p.sim.Stateless() || p.node.Core().Diverged() != nil || !k.watches(p.member) {
		clear(kept) // it gets another state, or what it had was taken
		return
	}
	if n := p.disk.state.Syncs(); n != k.syncs[p.id] {
		k.syncs[p.id] = n
		k.look(p.member)
	}
}

// look demands what was voted for.
func (k *keptCheck) look(m *member) {
	for _, h := range slices.Sorted(maps.Keys(k.of[m.id])) {
		app := k.of[m.id][h]
		if d, ok := m.disk.snapshots.AppDigest(h); !ok || d != app || h <= m.disk.damaged {
			delete(k.of[m.id], h)
			continue
		}
		if !m.disk.state.Holds(uint64(h), app) {
			k.s.violate(Persistence, "replica %d has, or has voted for, the state of the checkpoint at %d, its snapshot is there, and the state that it names is not on its disk", m.id, h)
		}
	}
}

// started takes up a new life.
func (k *keptCheck) started(p *process) {
	kept := k.of[p.id]
	if p.disk.state == nil {
		return
	}
	defer k.passed(p)
	if !k.watches(p.member) || p.rejoining() {
		clear(kept)
		return
	}
	k.look(p.member)
	committed := committedOn(p.disk.image)
	newest := pbft.Height(0)
	for h := range kept {
		if h <= committed {
			newest = max(newest, h)
		}
	}
	if newest > 0 && (p.sim.Stateless() || p.sim.Restored() < newest) {
		k.s.violate(Persistence, "replica %d starts with the state of %d (without one: %t), and that of %d, which it has voted for, is on its disk", p.id, p.sim.Restored(), p.sim.Stateless(), newest)
	}
}

// passed notes the states that a start has come by.
func (k *keptCheck) passed(p *process) {
	if p.sim.Stateless() || !p.honest() || p.node.Core().Diverged() != nil {
		return
	}
	for _, h := range p.disk.snapshots.Heights() {
		if h >= p.sim.Restored() && uint64(h) <= p.executor.Position().Height {
			k.has(p, h)
		}
	}
	k.syncs[p.id] = 0
}

// installed takes a state that a replica was given: nothing of before is left.
func (k *keptCheck) installed(p *process, h pbft.Height) {
	clear(k.of[p.id])
	if p.disk.state != nil && p.honest() {
		k.has(p, h)
	}
}

func (k *keptCheck) has(p *process, h pbft.Height) {
	if app, ok := p.disk.snapshots.AppDigest(h); ok {
		k.of[p.id][h] = app
		k.syncs[p.id] = 0
	}
}

// committedOn is the height that is committed by what is on a disk.
func committedOn(image map[pbft.RecordKey][]byte) pbft.Height {
	v := image[pbft.RecordKey{Kind: pbft.RecordCommitted}]
	if v == nil {
		return 0
	}
	ref, _, err := pbft.DecodeRecordCommitted(v)
	must(err)
	return ref.Height
}
