package chaos

import "github.com/parley-bft/parley/pbft"

// openCheck knows which views can have been opened (RV): a view begins by committing
// its base, and before a quorum has voted to commit something in it nobody may vote for
// a block above the base.
type openCheck struct {
	s *Simulation
	// commits has who, of the honest, has sent a Commit in a view.
	commits map[pbft.View]map[pbft.ReplicaID]bool
	open    map[pbft.View]bool
}

func newOpenCheck(s *Simulation) *openCheck {
	return &openCheck{s: s, commits: map[pbft.View]map[pbft.ReplicaID]bool{}, open: map[pbft.View]bool{0: true}}
}

// signs notes what an honest replica signs.
func (k *openCheck) signs(p *process, m pbft.Message) {
	v, ok := m.(*pbft.Vote)
	if !ok || v.Signer != p.id || v.Phase != pbft.Commit || k.open[v.View] {
		return
	}
	if k.commits[v.View] == nil {
		k.commits[v.View] = map[pbft.ReplicaID]bool{}
	}
	k.commits[v.View][p.id] = true
}

// prepares looks at a vote for a block above the base. Whoever is not honest may have
// voted as it likes.
func (k *openCheck) prepares(p *process, v *pbft.Vote) {
	if k.open[v.View] {
		return
	}
	var signers []pbft.ReplicaID
	for _, m := range k.s.replicas {
		if !m.honest() || k.commits[v.View][m.id] {
			signers = append(signers, m.id)
		}
	}
	if !k.s.isQuorum(signers) {
		k.s.violate(Watermarks, "replica %d sends %v before the base of its view can have been committed: of the honest only %d have voted for that", p.id, v.Statement, len(k.commits[v.View]))
		return
	}
	k.open[v.View] = true
	delete(k.commits, v.View)
}
