package chaos

import (
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// A state on a simulated disk ([Options.OnDisk]): what a large application does on a real one. Its
// snapshots only name heights, which the disk keeps; a vote for a checkpoint waits for the sync
// of its state; and what a crash leaves, damage or a lost folder have to be got over.

// StoredWorld is a [World] whose replicas keep their states in statemachine/store.
type StoredWorld interface {
	World
	// MachineOn is Machine with the state in a store of that configuration.
	MachineOn(cfg store.Config) (statemachine.StateMachine, error)
}

// onDisk tells whether the application's states lie on disks.
func (s *Simulation) onDisk() bool {
	switch {
	case !s.opts.OnDisk:
		return false
	case s.world != nil:
		_, ok := s.world.(StoredWorld)
		return ok
	}
	return s.opts.Machine == nil && s.opts.Stored
}

// newStateDisk makes the disk of a replica's state, nil if states are in memory.
func (s *Simulation) newStateDisk() *store.MemoryDisk {
	if !s.onDisk() {
		return nil
	}
	return store.NewMemoryDisk()
}

// stateConfig is of a store that writes often, and keeps no more than it must.
func stateConfig(disk *store.MemoryDisk) store.Config {
	cfg := store.DefaultConfig()
	cfg.Disk, cfg.Keep, cfg.FlushBytes, cfg.CacheBytes = disk, 2, 4<<10, 1<<20
	return cfg
}

// machineOn makes the application of one replica on a disk, with what is there.
func (s *Simulation) machineOn(disk *store.MemoryDisk) (statemachine.StateMachine, error) {
	if w, ok := s.world.(StoredWorld); ok {
		return w.MachineOn(stateConfig(disk))
	}
	return newStored(stateConfig(disk))
}

// machine makes the application of the replica.
func (m *member) machine() (statemachine.StateMachine, error) {
	if m.disk.state == nil {
		return m.s.machine(), nil
	}
	return m.s.machineOn(m.disk.state)
}

// reopens is what a replica does about a state that it cannot use at all: it begins without.
func (p *process) reopens() func(error) (statemachine.StateMachine, error) {
	if p.disk.state == nil {
		return nil
	}
	return func(cause error) (statemachine.StateMachine, error) {
		p.s.sometimes(seenStateAside)
		p.s.note("state set aside", cause.Error())
		if p.honest() && !p.stateRots {
			p.s.violate(Health, "replica %d sets its state aside, and nothing was done to it: %v", p.id, cause)
		}
		p.disk.state.Clear()
		app, err := p.machine()
		if err != nil {
			return nil, err
		}
		return p.command(app), nil
	}
}

// stateHurt tells whether something was done to the application's state that is not over.
func (m *member) stateHurt() bool { return m.stateLost || m.stateRots }

// recallsDamage tells whether the log says that the state is damaged. The damage may be made good, and
// the record that says so lost in a crash: the replica looks at it once more.
func (m *member) recallsDamage() bool {
	v := m.disk.image[pbft.RecordKey{Kind: pbft.RecordDiverged}]
	if m.disk.state == nil || v == nil {
		return false
	}
	d, err := pbft.DecodeRecordDiverged(v)
	must(err)
	return d.Damaged
}

// stateOver looks whether the replica has its state again.
func (p *process) stateOver() {
	if !p.stateHurt() || !p.started || p.sim.Stateless() || p.node.Core().Diverged() != nil || p.disk.state.Damaged() {
		return
	}
	if p.stateLost {
		p.s.sometimes(seenStateAgain)
	}
	p.stateLost, p.stateRots = false, false
	p.over(lostState)
}

// scrub has a replica read all of its state, as it does every now and then.
func (m *member) scrub() {
	if p := m.up; p != nil {
		p.post(p.sim.Scrub)
	}
}
