package chaos

import (
	"errors"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// Above the bound, with traitors of more weight than F, safety may fall. What must
// not fall even then: no honest replica is ever accused, and whenever two honest
// replicas have committed different blocks, their stores name culprits that weigh
// more than F (PROTOCOL 5.3).

// falls tells whether an invariant may fall once more than F is faulty. What is
// left is about single honest replicas, or about signatures that nobody can forge.
func (inv Invariant) falls() bool {
	switch inv {
	case Agreement, ExactlyOnce, Certificates, Determinism, Transfers, Replies, Linearizability, Health, Liveness, Bases:
		return true
	}
	return false
}

// storedHistory is what the stores of two replicas have for the blame walk.
type storedHistory struct {
	headers  map[pbft.Digest]*pbft.Header
	newViews map[pbft.Digest]*pbft.NewView
	commits  []*pbft.Certificate
}

var _ pbft.History = (*storedHistory)(nil)

func (h *storedHistory) Header(d pbft.Digest) *pbft.Header   { return h.headers[d] }
func (h *storedHistory) NewView(d pbft.Digest) *pbft.NewView { return h.newViews[d] }

func (h *storedHistory) Commits(low, high pbft.Height) []*pbft.Certificate {
	var found []*pbft.Certificate
	for _, c := range h.commits {
		if low <= c.Height && c.Height <= high {
			found = append(found, c)
		}
	}
	return found
}

// read takes everything from the log of a replica.
func (h *storedHistory) read(m *member) error {
	return m.disk.Load(nil, func(r pbft.Record) error {
		var c *pbft.Certificate
		var err error
		switch r.Key.Kind {
		case pbft.RecordBlock:
			var p *pbft.PrePrepare
			if p, err = pbft.DecodeRecordBlock(r.Value); err == nil {
				h.headers[p.Digest()] = &p.Header
			}
		case pbft.RecordNewView:
			var n *pbft.NewView
			if n, err = pbft.DecodeRecordNewView(r.Value); err == nil {
				h.newViews[n.Digest()] = n
			}
		case pbft.RecordCommit:
			c, err = pbft.DecodeRecordCertificate(r.Value)
		case pbft.RecordHigh:
			if c, err = pbft.DecodeRecordCertificate(r.Value); err == nil && c.Phase != pbft.Commit {
				c = nil
			}
		case pbft.RecordCommitted:
			_, c, err = pbft.DecodeRecordCommitted(r.Value)
		case pbft.RecordStable, pbft.RecordSnapshot:
			var b *pbft.Bundle
			if b, err = pbft.DecodeRecordBundle(r.Value); err == nil {
				c = b.Commit
				h.headers[b.Header.Digest()] = &b.Header
			}
		}
		if c != nil {
			h.commits = append(h.commits, c)
		}
		return err
	})
}

// Fork is a pair of honest replicas that committed different blocks, and whom
// their stores name for it.
type Fork struct {
	A, B     pbft.ReplicaID
	Culprits []pbft.ReplicaID
	// Gone: a part of the history that the walk needs lies below what was pruned.
	Gone bool
}

// account looks at every pair of honest replicas whose committed chains differ.
func (j *judge) account() {
	s := j.s
	if len(s.report.Forks) > 0 {
		return
	}
	for i, a := range s.replicas {
		for _, b := range s.replicas[i+1:] {
			if !a.honest() || !b.honest() {
				continue
			}
			if f := j.fork(a, b); f != nil {
				s.report.Forks = append(s.report.Forks, *f)
			}
		}
	}
}

// fork blames, if the logs of two replicas have CommitQCs that contradict each
// other.
func (j *judge) fork(a, b *member) *Fork {
	both := &storedHistory{headers: map[pbft.Digest]*pbft.Header{j.s.start.Digest(): &j.s.start.Header}, newViews: map[pbft.Digest]*pbft.NewView{}}
	one := &storedHistory{headers: map[pbft.Digest]*pbft.Header{}, newViews: map[pbft.Digest]*pbft.NewView{}}
	two := &storedHistory{headers: map[pbft.Digest]*pbft.Header{}, newViews: map[pbft.Digest]*pbft.NewView{}}
	if both.read(a) != nil || both.read(b) != nil || one.read(a) != nil || two.read(b) != nil {
		return nil // a disk that a fault has damaged
	}
	v := j.verifier()
	f := &Fork{A: a.id, B: b.id, Gone: true}
	found := false
	for _, x := range one.commits {
		for _, y := range two.commits {
			proofs, err := pbft.Blame(v, x, y, both)
			switch {
			case errors.Is(err, pbft.ErrNoFork):
				continue
			case errors.Is(err, pbft.ErrHistory):
				// Perhaps another pair of certificates has all that it needs.
				found = found || x.Height == y.Height && x.Block != y.Block
				continue
			case err != nil:
				j.s.violate(Accountability, "replicas %d and %d: %v", a.id, b.id, err)
				return nil
			}
			f.Gone = false
			j.culpritsOf(f, v, proofs)
			return f
		}
	}
	if !found {
		return nil
	}
	return f
}

// culpritsOf checks what the walk came to.
func (j *judge) culpritsOf(f *Fork, v *pbft.Verifier, proofs []*pbft.Evidence) {
	weight, total := uint64(0), uint64(0)
	for _, e := range proofs {
		if err := pbft.CheckEvidence(v, e); err != nil {
			j.s.violate(Accountability, "the fork of replicas %d and %d: a proof against %d does not verify: %v", f.A, f.B, e.Culprit, err)
		}
		if j.s.replicas[e.Culprit].honest() {
			j.s.violate(Framing, "the fork of replicas %d and %d: honest replica %d is named: %v", f.A, f.B, e.Culprit, e)
		}
		if !slices.Contains(f.Culprits, e.Culprit) {
			f.Culprits = append(f.Culprits, e.Culprit)
			weight += j.s.opts.Weights[e.Culprit]
		}
	}
	for _, w := range j.s.opts.Weights {
		total += w
	}
	if weight <= (total-1)/3 {
		j.s.violate(Accountability, "the fork of replicas %d and %d: only %v are named, who weigh %d of %d", f.A, f.B, f.Culprits, weight, total)
	}
}

// verifier is an outsider's: it knows the members and nothing else.
func (j *judge) verifier() *pbft.Verifier {
	s := j.s
	votes, err := s.sym.Scheme(len(s.opts.Weights), s.opts.LazyVotes)
	must(err)
	points, err := s.sym.Scheme(len(s.opts.Weights), true)
	must(err)
	keys := make([]crypto.PublicKey, len(s.opts.Weights))
	for i := range keys {
		keys[i] = s.sym.Client(memberKeys + uint64(i)).Public()
	}
	return pbft.NewVerifier(pbft.VerifierConfig{
		Self: 0, Cluster: s.cluster, Start: s.start.Ref(), Quorums: s.quorums, Schedule: s.schedule,
		Votes: votes, Checkpoints: points, SigningKeys: keys, Requests: s.sym,
		Limits: pbft.Limits{MaxBlockBytes: 64 << 10, MaxBlockRequests: s.opts.MaxBlockRequests, MaxOperationBytes: 4 << 10, Window: s.opts.Window},
	})
}
