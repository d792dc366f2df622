package chaos

import (
	"errors"
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// differCheck watches replicas whose application is not deterministic. They keep the
// rules; but one that holds a certificate for another state than its own must stop
// taking part, with an alarm or an error that says so, and never go on silently.
type differCheck struct {
	s *Simulation
	// own are the statements of replicas that differ, by their life.
	own map[*process][]pbft.CheckpointStatement
}

func newDifferCheck(s *Simulation) *differCheck {
	return &differCheck{s: s, own: map[*process][]pbft.CheckpointStatement{}}
}

// stated takes what a replica is about to say about a checkpoint.
func (k *differCheck) stated(p *process, st *pbft.CheckpointStatement) {
	if p.differs {
		k.own[p] = append(k.own[p], *st)
	}
}

// observe is called after every step of a replica.
func (k *differCheck) observe(p *process) {
	if !p.differs || !p.started {
		return
	}
	c := p.node.Core()
	if c.Diverged() != nil {
		return
	}
	for i := range k.own[p] {
		own := &k.own[p][i]
		others, known := k.s.judge.statements[own.Height]
		if held := own.Height == c.Stable() || own.Height == c.SnapshotHeight(); held && known && *own != others {
			k.s.violate(Health, "replica %d goes on after it came to another state at height %d than what it holds a certificate for: %v and %v", p.id, own.Height, *own, others)
		}
	}
}

// differing tells whether an error is that of a replica that found out that its
// application is not deterministic: what it restores is not what the snapshot says.
func differing(err error) bool {
	var mismatch *statemachine.MismatchError
	var damage *replica.CorruptError
	return errors.As(err, &mismatch) || errors.As(err, &damage) && damage.Key == "snapshots"
}

// foundOut demands, when everything is answered and everybody level, that replicas
// whose state is another have found that out: they execute the same blocks, and at
// their end is a checkpoint.
func (s *Simulation) foundOut(bound time.Duration) {
	hidden := func(m *member) bool {
		s.judge.lapseOver(m.up)
		return m.differs && !m.found
	}
	if !s.until(s.now+bound, func() bool { return !slices.ContainsFunc(s.replicas, hidden) }) {
		return
	}
	if i := slices.IndexFunc(s.replicas, hidden); i >= 0 {
		s.violate(Health, "replica %d has another state than the others for long, and does not find out:\n%s%s", i, s.replicas[i].text(), s.describe())
	}
}

func (m *member) text() string {
	if m.up == nil {
		return "it is down\n"
	}
	return m.up.node.Core().Describe()
}
