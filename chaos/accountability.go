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
	case Agreement, ExactlyOnce, Certificates, Determinism, Transfers, Replies, Results, Linearizability, Health, Liveness, Bases:
		return true
	}
	return false
}

// storedHistory is what the stores of two replicas have for the blame walk.
type storedHistory struct {
	headers  map[pbft.Digest]*pbft.Header
	newViews map[pbft.Digest]*pbft.NewView
	commits  []*pbft.Certificate
	// chain is what was committed, as far down as it is kept, and tip the highest of it.
	chain map[pbft.Height]pbft.Digest
	tip   pbft.BlockRef
	// committed is the CommitQC that covers the tip.
	committed *pbft.Certificate
	// missed is what was asked for last and is perhaps not there.
	missed miss
}

// miss is a part of the history that somebody asked for.
type miss struct {
	header, newView pbft.Digest
	commits         pbft.Height // from there on, if it is neither
}

var _ pbft.History = (*storedHistory)(nil)

func newStoredHistory(start *pbft.Block) *storedHistory {
	return &storedHistory{
		headers: map[pbft.Digest]*pbft.Header{start.Digest(): &start.Header}, newViews: map[pbft.Digest]*pbft.NewView{},
		chain: map[pbft.Height]pbft.Digest{start.Height: start.Digest()}, tip: start.Ref(),
	}
}

func (h *storedHistory) Header(d pbft.Digest) *pbft.Header {
	if h.headers[d] == nil {
		h.missed = miss{header: d}
	}
	return h.headers[d]
}

func (h *storedHistory) NewView(d pbft.Digest) *pbft.NewView {
	if h.newViews[d] == nil {
		h.missed = miss{newView: d}
	}
	return h.newViews[d]
}

func (h *storedHistory) Commits(low, high pbft.Height) []*pbft.Certificate {
	h.missed = miss{commits: low}
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
			h.committed = c
		case pbft.RecordChain:
			var at pbft.BlockRef
			if at, err = pbft.DecodeRecordChain(r.Value); err == nil {
				h.chain[at.Height] = at.Digest
				if at.Height > h.tip.Height {
					h.tip = at
				}
			}
		case pbft.RecordStable, pbft.RecordSnapshot:
			var b *pbft.Bundle
			if b, err = pbft.DecodeRecordBundle(r.Value); err == nil {
				c = b.Commit
				h.headers[b.Header.Digest()] = &b.Header
				for i := range b.Links {
					h.headers[b.Links[i].Digest()] = &b.Links[i]
				}
			}
		}
		if c != nil {
			h.commits = append(h.commits, c)
		}
		return err
	})
}

// answersFor tells whether the replica of this log has committed by a certificate, or
// holds it for a part of its chain: only then it has taken everything under it.
func (h *storedHistory) answersFor(c *pbft.Certificate) bool {
	return c == h.committed || h.chain[c.Height] == c.Block
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

// fork blames, if two replicas have committed different blocks. What is missing for it
// must lie below what the two have pruned.
//
// What they have committed decides, not which CommitQCs their logs have. A replica on one
// side of a fork goes on hearing from the other: such a certificate becomes its highest
// and leads it into a view, but the blocks under it contradict what this replica has
// committed, so it refuses them, and the NewView that the certificate names as well. It
// cannot keep "with the chain" (PROTOCOL R19) the history of a chain that it does not have,
// and nobody needs it to: whoever honest voted for the certificate did so with the block, its
// ancestors (R5) and the NewView (R19) on the disk, and whoever has committed by it keeps
// them and disagrees with this replica. So two that have committed the same are no fork, whatever
// one of them has heard; and of two that disagree each answers for the certificates of
// its own chain. Others in their logs may help to name somebody.
func (j *judge) fork(a, b *member) *Fork {
	both, one, two := newStoredHistory(j.s.start), newStoredHistory(j.s.start), newStoredHistory(j.s.start)
	for _, m := range []*member{a, b} {
		for _, h := range []*storedHistory{both, map[*member]*storedHistory{a: one, b: two}[m]} {
			err := h.read(m)
			if err != nil && (m.rotten || m.disk.failing && errors.Is(err, m.disk.failure)) {
				return nil // a disk that a fault has damaged
			}
			if err != nil {
				j.s.violate(Accountability, "the store of replica %d cannot be read: %v", m.id, err)
				return nil
			}
		}
	}
	if !j.disagree(one, two) {
		return nil
	}
	v := j.verifier()
	f := &Fork{A: a.id, B: b.id, Gone: true}
	lacks, found := "", false
	for _, x := range one.commits {
		for _, y := range two.commits {
			proofs, err := pbft.Blame(v, x, y, both)
			switch {
			case errors.Is(err, pbft.ErrNoFork):
				continue
			case errors.Is(err, pbft.ErrHistory):
				// Perhaps another pair of certificates has all that it needs.
				if !one.answersFor(x) || !two.answersFor(y) || !j.contradict(x.Ref(), y.Ref()) {
					continue
				}
				found = true
				if !j.pruned(both.missed, x, a) && !j.pruned(both.missed, y, b) {
					lacks = err.Error()
				}
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
		lacks = "no two of their CommitQCs contradict each other"
	}
	if lacks != "" {
		j.s.violate(Accountability, "the fork of replicas %d and %d: what they have not pruned does not name anybody: %s", a.id, b.id, lacks)
	}
	return f
}

// disagree tells whether two replicas have committed different blocks. Each has one
// chain: it is enough to look where the lower one ends.
func (j *judge) disagree(a, b *storedHistory) bool {
	if a.tip.Height > b.tip.Height {
		a, b = b, a
	}
	if at, kept := b.chain[a.tip.Height]; kept {
		return at != a.tip.Digest
	}
	return j.contradict(a.tip, b.tip)
}

// contradict tells whether two blocks lie on two chains, as far as the judge has seen
// the blocks.
func (j *judge) contradict(x, y pbft.BlockRef) bool {
	if x.Height > y.Height {
		x, y = y, x
	}
	at, known := j.ancestor(y, x.Height)
	return known && at != x.Digest
}

// ancestor walks down a chain over all blocks that the judge has seen.
func (j *judge) ancestor(at pbft.BlockRef, height pbft.Height) (d pbft.Digest, known bool) {
	for at.Height > height {
		parent, ok := j.watch.parents[at.Digest]
		if !ok {
			return d, false
		}
		at = pbft.BlockRef{Height: at.Height - 1, Digest: parent}
	}
	return at.Digest, true
}

// pruned tells whether what the blame walk lacks is something of the chain under this
// certificate, and whether the replica that holds it has discarded that part: its log
// begins above it (PROTOCOL R19).
func (j *judge) pruned(lacks miss, c *pbft.Certificate, m *member) bool {
	low := m.lowest()
	switch {
	case low == 0:
		return false
	case !lacks.header.IsZero():
		at, known := c.Ref(), true
		for known && at.Digest != lacks.header && at.Height > low {
			at.Digest, known = j.watch.parents[at.Digest]
			at.Height--
		}
		return known && at.Height <= low
	case !lacks.newView.IsZero():
		n, seen := j.bases.views[lacks.newView]
		at, known := j.ancestor(c.Ref(), low)
		h := j.header(at)
		return seen && known && (h == nil || n < h.View)
	}
	return lacks.commits <= low
}

// header looks for a header in the stores of all replicas.
func (j *judge) header(d pbft.Digest) *pbft.Header {
	all := newStoredHistory(j.s.start)
	for _, m := range j.s.replicas {
		_ = all.read(m) // as far as it can be read
	}
	return all.headers[d]
}

// lowest is the height of the lowest block that the log of the replica names.
func (m *member) lowest() pbft.Height {
	low := ^pbft.Height(0)
	for k := range m.disk.image {
		if k.Kind == pbft.RecordChain {
			low = min(low, pbft.Height(k.Height))
		}
	}
	if low == ^pbft.Height(0) || low == 1 {
		return 0 // from the start block on
	}
	return low
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
