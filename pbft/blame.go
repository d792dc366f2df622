package pbft

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// History is what replicas keep for accountability (PROTOCOL R19). It may be the
// union of what several replicas hold.
type History interface {
	// Header returns the header with this digest, or nil.
	Header(block Digest) *Header
	// NewView returns the NewView with this digest, or nil.
	NewView(digest Digest) *NewView
	// Commits returns all CommitQCs kept for heights low..high.
	Commits(low, high Height) []*Certificate
}

// Errors of [Blame]; test with errors.Is.
var (
	// ErrNoFork says that the two certificates do not contradict each other.
	ErrNoFork = errors.New("the two blocks lie on one chain")
	// ErrHistory says that something is missing that replicas should have kept.
	ErrHistory = errors.New("history is incomplete")
)

// maxBlameRestarts bounds the restarts of the walk. Each one but the last two
// lowers the view.
const maxBlameRestarts = 64

// Blame walks back from two CommitQCs for conflicting blocks to those who made the
// fork possible (PROTOCOL 5.3). It returns one proof for each culprit, ascending;
// their weight is more than F, and none of them follows the rules, as long as the
// traitors weigh less than a quorum. Every proof passes [CheckEvidence].
//
// It is a pure function. Its cost is that of the headers between the two blocks
// and of a few certificates; it is not for the fast path.
func Blame(v *Verifier, a, b *Certificate, store History) ([]*Evidence, error) {
	for _, c := range []*Certificate{a, b} {
		if c.Phase != Commit {
			return nil, fmt.Errorf("blame: %v is no CommitQC", c)
		}
		if err := v.CheckCertificate(c); err != nil {
			return nil, fmt.Errorf("blame: %v: %w", c, err)
		}
	}
	w := &blameWalk{v: v, store: store}
	fork, err := w.conflict(a.Ref(), b.Ref())
	if err != nil {
		return nil, fmt.Errorf("blame: %w", err)
	}
	if !fork {
		return nil, fmt.Errorf("blame: %v and %v: %w", a, b, ErrNoFork)
	}
	proofs, err := w.walk(a, b)
	if err != nil {
		return nil, fmt.Errorf("blame: %w", err)
	}
	return proofs, nil
}

type blameWalk struct {
	v     *Verifier
	store History
}

// walk keeps this: a and b are for conflicting blocks, and the one of the lower
// view (of the lower height, in one view) is a CommitQC.
func (w *blameWalk) walk(a, b *Certificate) ([]*Evidence, error) {
	for range maxBlameRestarts {
		if a.View > b.View || a.View == b.View && a.Height > b.Height {
			a, b = b, a
		}
		if a.View < b.View {
			proofs, turn, err := w.descend(a, b)
			if err != nil || proofs != nil {
				return proofs, err
			}
			b = turn
			continue
		}
		if a.NewView != b.NewView || b.Height-a.Height <= w.v.cfg.Limits.Window {
			return w.conflictingVotes(a, b)
		}
		near, err := w.nearer(a, b)
		if err != nil {
			return nil, err
		}
		b = near
	}
	return nil, fmt.Errorf("%w: no end after %d restarts", ErrHistory, maxBlameRestarts)
}

// descend follows the NewViews from cur down towards the view of commit. It ends
// with proofs, or with a certificate of commit's view that conflicts with it.
func (w *blameWalk) descend(commit, cur *Certificate) ([]*Evidence, *Certificate, error) {
	for cur.View > commit.View { // views fall: a claim's is below its NewView's
		nv := w.store.NewView(cur.NewView)
		if nv == nil {
			return nil, nil, fmt.Errorf("%w: no NewView %v, which %v names", ErrHistory, cur.NewView, cur)
		}
		if w.v.checkNewViewContent(nv) != NoDrop {
			proofs, err := w.unjustified(cur, nv, nil)
			return proofs, nil, err
		}
		base, rank := Base(nv)
		above, err := w.descends(base, cur.Ref())
		if err != nil {
			return nil, nil, err
		}
		if !above {
			proofs, err := w.besideBase(cur, nv, base)
			return proofs, nil, err
		}
		if rank.Less(commit.Rank()) {
			proofs, err := w.hiddenCommit(commit, nv)
			return proofs, nil, err
		}
		cur = nv.Certificate // its rank is not below commit's, so it is there
	}
	return nil, cur, nil
}

// nearer returns a CommitQC on b's chain that conflicts with a, at most a window
// from it: members that voted for both a and b at a greater distance may be
// honest (PROTOCOL 1.6).
func (w *blameWalk) nearer(a, b *Certificate) (*Certificate, error) {
	window := w.v.cfg.Limits.Window
	low, high := a.Height-min(window, a.Height), min(a.Height+window, b.Height)
	digest, err := w.ancestor(b.Ref(), high)
	if err != nil {
		return nil, err
	}
	top := BlockRef{high, digest}
	var best *Certificate
	for _, c := range w.store.Commits(low, high) {
		if c.Phase != Commit || c.Height > high || best != nil && !betterNear(a, c, best) {
			continue
		}
		at, err := w.ancestor(top, c.Height)
		if err != nil {
			return nil, err
		}
		if at != c.Block {
			continue
		}
		fork, err := w.conflict(a.Ref(), c.Ref())
		if err != nil {
			return nil, err
		}
		if fork && w.v.verifyCertificate(c) == NoDrop {
			best = c
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no CommitQC within %d of height %d on the chain of %v", ErrHistory, window, a.Height, b)
	}
	return best, nil
}

// betterNear prefers certificates of a's own view: with them the walk is over.
func betterNear(a, c, best *Certificate) bool { return c.View == a.View && best.View != a.View }

// conflictingVotes proves O3 against everybody who signed both.
func (w *blameWalk) conflictingVotes(a, b *Certificate) ([]*Evidence, error) {
	var headers []Header
	if a.NewView == b.NewView && a.Height != b.Height {
		var err error
		if headers, err = w.headers(a.Height, b.Ref()); err != nil {
			return nil, err
		}
	}
	votesA, votesB := w.votesOf(a), w.votesOf(b)
	return w.each(a.Signers, func(id ReplicaID) *Evidence {
		if !b.Signers.Has(id) {
			return nil
		}
		return ProveConflictingVotes(votesA(id), votesB(id), headers)
	})
}

// hiddenCommit proves O4 against everybody who signed the commit and claimed less.
func (w *blameWalk) hiddenCommit(commit *Certificate, nv *NewView) ([]*Evidence, error) {
	votes := w.votesOf(commit)
	claims := make([]*SignedClaim, w.v.cfg.Quorums.N())
	for i := range nv.Claims {
		claims[nv.Claims[i].Signer] = &nv.Claims[i]
	}
	return w.each(commit.Signers, func(id ReplicaID) *Evidence {
		if claims[id] == nil {
			return nil
		}
		return ProveHiddenCommit(votes(id), claims[id])
	})
}

// unjustified proves O5 against everybody who signed c.
func (w *blameWalk) unjustified(c *Certificate, nv *NewView, headers []Header) ([]*Evidence, error) {
	votes := w.votesOf(c)
	return w.each(c.Signers, func(id ReplicaID) *Evidence { return ProveUnjustifiedVote(votes(id), nv, headers) })
}

// besideBase proves O5 for a certificate whose block does not descend from the
// base. If that is too far above the base for one proof, a CommitQC of the same
// view lower on its chain takes its place.
func (w *blameWalk) besideBase(c *Certificate, nv *NewView, base BlockRef) ([]*Evidence, error) {
	if c.Height <= base.Height {
		return w.unjustified(c, nv, nil)
	}
	if c.Height-base.Height > maxEvidenceHeaders {
		near, err := w.nearer(&Certificate{Statement: Statement{View: c.View, Height: base.Height, Block: base.Digest}}, c)
		if err != nil {
			return nil, err
		}
		if near.View != c.View || near.NewView != c.NewView {
			return nil, fmt.Errorf("%w: no CommitQC of view %d near height %d on the chain of %v", ErrHistory, c.View, base.Height, c)
		}
		return w.besideBase(near, nv, base)
	}
	headers, err := w.headers(base.Height, c.Ref())
	if err != nil {
		return nil, err
	}
	return w.unjustified(c, nv, headers)
}

// each collects one proof per member of the set, and checks it.
func (w *blameWalk) each(set crypto.Bitmap, prove func(ReplicaID) *Evidence) ([]*Evidence, error) {
	var proofs []*Evidence
	for _, id := range set.IDs() {
		e := prove(id)
		if e == nil {
			continue
		}
		if err := CheckEvidence(w.v, e); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrHistory, err)
		}
		proofs = append(proofs, e)
	}
	if len(proofs) == 0 {
		return nil, fmt.Errorf("%w: nobody to blame", ErrHistory)
	}
	return proofs, nil
}

// votesOf returns a function that gives a signer's vote in a certificate. If the
// scheme's proof is the list of the shares, it is taken apart; otherwise the vote
// carries the whole of it, see [joinedSignature].
func (w *blameWalk) votesOf(c *Certificate) func(ReplicaID) *Vote {
	ids := c.Signers.IDs()
	size := len(c.Proof) / len(ids)
	msg := c.Statement.Append(nil)
	ctx := w.v.context(c.Phase.Kind())
	return func(id ReplicaID) *Vote {
		vote := &Vote{Statement: c.Statement, Signer: id}
		if size*len(ids) == len(c.Proof) {
			for i := range ids {
				if ids[i] == id {
					vote.Signature = c.Proof[i*size : (i+1)*size : (i+1)*size]
				}
			}
			if w.v.cfg.Votes.VerifyShare(ctx, msg, crypto.Share{Signer: id, Signature: vote.Signature}) == nil {
				return vote
			}
		}
		vote.Signature = joinedSignature(c)
		return vote
	}
}

// conflict tells whether neither block is the other or an ancestor of it.
func (w *blameWalk) conflict(a, b BlockRef) (bool, error) {
	if a.Height > b.Height {
		a, b = b, a
	}
	above, err := w.descends(a, b)
	return !above, err
}

// descends tells whether block is base or descends from it.
func (w *blameWalk) descends(base, block BlockRef) (bool, error) {
	if block.Height < base.Height {
		return false, nil
	}
	at, err := w.ancestor(block, base.Height)
	return at == base.Digest, err
}

// ancestor returns the digest of a block's ancestor at a height not above it.
func (w *blameWalk) ancestor(block BlockRef, height Height) (Digest, error) {
	at := block.Digest
	for h := block.Height; h > height; h-- {
		header := w.store.Header(at)
		if header == nil || header.Height != h {
			return Digest{}, fmt.Errorf("%w: no header of block %d:%v", ErrHistory, h, at)
		}
		at = header.Parent
	}
	return at, nil
}

// headers returns the headers above a height up to a block, ascending.
func (w *blameWalk) headers(above Height, block BlockRef) ([]Header, error) {
	if block.Height-above > maxEvidenceHeaders {
		return nil, fmt.Errorf("%w: %d headers up to %v are too many for a proof", ErrHistory, block.Height-above, block)
	}
	headers := make([]Header, block.Height-above)
	at := block.Digest
	for i := len(headers) - 1; i >= 0; i-- {
		header := w.store.Header(at)
		if header == nil {
			return nil, fmt.Errorf("%w: no header of block %d:%v", ErrHistory, above+1+Height(i), at)
		}
		headers[i], at = *header, header.Parent
	}
	return headers, nil
}
