package pbft

import "github.com/parley-bft/parley/crypto"

// ChooseBase returns the claim of the highest rank: where a view that rests on
// these claims must start (PROTOCOL R14). It is the one function that primaries
// and backups both use. Among claims of that rank the first is returned. ok is
// false if there are no claims, or if two of that rank name different blocks: at
// most one of them can be true.
func ChooseBase(claims []SignedClaim) (top Claim, ok bool) {
	for i := range claims {
		c := &claims[i].Claim
		switch order := c.High.Compare(top.High); {
		case i == 0 || order > 0:
			top, ok = *c, true
		case order == 0 && c.Block != top.Block:
			ok = false
		}
	}
	return top, ok
}

// Base returns the block that a NewView starts from and the rank of the
// certificate for it: (0, height of the epoch's start block) if it is that
// block, which has none. The NewView must have passed [CheckNewView].
func Base(nv *NewView) (BlockRef, Rank) {
	top, _ := ChooseBase(nv.Claims)
	return top.Ref(), top.High
}

// CheckClaim checks what can be seen of a claim without its certificate: who made
// it, that its views are in order (PROTOCOL R3), that its rank can exist in an
// epoch that starts at start.
func CheckClaim(q *QuorumSystem, start BlockRef, c *SignedClaim) Drop {
	switch {
	case !q.Contains(c.Signer):
		return DropNotMember
	case c.View == 0 || c.High.View >= c.View:
		return DropClaim
	case c.Phase == 0:
		if c.High != (Rank{0, start.Height}) || c.Block != start.Digest {
			return DropClaim
		}
	case !possibleRank(start, c.High, c.Block):
		return DropClaim
	}
	return NoDrop
}

// possibleRank tells whether votes of this rank for this block can exist. Nobody
// votes in the first view for the start block; in a later view it may be the base.
func possibleRank(start BlockRef, r Rank, block Digest) bool {
	if r.Height == start.Height {
		return r.View > 0 && block == start.Digest
	}
	return r.Height > start.Height
}

// CheckNewView checks everything about a NewView that is not a signature: a
// quorum of claims for its view, of distinct members in ascending order, each one
// possible ([CheckClaim]); a base; and the certificate of exactly that base, none
// for the start block. It is a pure function of its arguments, all of them the
// same at all replicas, and the NewView's digest covers all that it looks at: a
// vote bound to a NewView that fails is an offence (O5).
func CheckNewView(q *QuorumSystem, start BlockRef, nv *NewView) Drop {
	if nv.View == 0 {
		return DropMalformed
	}
	weight := uint64(0)
	for i := range nv.Claims {
		c := &nv.Claims[i]
		if i > 0 && c.Signer <= nv.Claims[i-1].Signer {
			return DropMalformed
		}
		if why := CheckClaim(q, start, c); why != NoDrop {
			return why
		}
		if c.View != nv.View {
			return DropClaim
		}
		weight += q.Weight(c.Signer)
	}
	if weight < q.QuorumWeight() {
		return DropBase
	}
	top, ok := ChooseBase(nv.Claims)
	if !ok {
		return DropBase
	}
	if top.Phase == 0 {
		// The rank of the start claim is below that of every certificate.
		if nv.Certificate != nil {
			return DropBase
		}
		return NoDrop
	}
	if nv.Certificate == nil || nv.Certificate.Rank() != top.High || nv.Certificate.Block != top.Block {
		return DropBase
	}
	return checkCertificateShape(q, start, nv.Certificate)
}

// checkStatement checks what can be seen of a vote's statement alone.
func checkStatement(start BlockRef, s *Statement) Drop {
	switch {
	case s.Phase != Prepare && s.Phase != Commit:
		return DropMalformed
	case (s.View == 0) != s.NewView.IsZero():
		return DropMalformed
	case !possibleRank(start, s.Rank(), s.Block):
		return DropHeight
	}
	return NoDrop
}

// checkCertificateShape checks everything about a certificate but its proof.
func checkCertificateShape(q *QuorumSystem, start BlockRef, c *Certificate) Drop {
	if why := checkStatement(start, &c.Statement); why != NoDrop {
		return why
	}
	return checkSigners(q, c.Signers)
}

func checkSigners(q *QuorumSystem, signers crypto.Bitmap) Drop {
	if signers.Check(q.N()) != nil || !q.IsQuorum(signers) {
		return DropMalformed
	}
	return NoDrop
}
