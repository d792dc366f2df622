package pbft

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Claim is the signed part of a ViewChange: "in view View I start from my highest
// certificate, of this rank, for this block". The certificate itself travels
// beside it (PROTOCOL R14).
type Claim struct {
	View   View // the view that the sender changes to
	High   Rank // of the sender's highest certificate; High.View < View
	Block  Digest
	Phase  Phase  // of that certificate; 0 for the epoch's start block, which needs none
	Stable Height // the sender's stable checkpoint
}

const (
	claimSize       = 8 + 8 + 8 + 32 + 1 + 8
	signedClaimSize = claimSize + 2 + signatureSize
)

// Append appends the canonical encoding, which is also what is signed.
func (c *Claim) Append(b []byte) []byte {
	b = slices.Grow(b, claimSize)
	b = canon.AppendUint64(b, uint64(c.View))
	b = canon.AppendUint64(b, uint64(c.High.View))
	b = canon.AppendUint64(b, uint64(c.High.Height))
	b = append(b, c.Block[:]...)
	b = canon.AppendUint8(b, uint8(c.Phase))
	return canon.AppendUint64(b, uint64(c.Stable))
}

func readClaim(r *canon.Reader) (c Claim) {
	c.View = View(r.Uint64())
	c.High = Rank{View(r.Uint64()), Height(r.Uint64())}
	r.Copy(c.Block[:])
	if c.Phase = Phase(r.Uint8()); c.Phase > Commit {
		r.Fail("claim of phase %d", c.Phase)
	}
	c.Stable = Height(r.Uint64())
	return c
}

// Ref names the claimed block.
func (c *Claim) Ref() BlockRef { return BlockRef{c.High.Height, c.Block} }

func (c Claim) String() string {
	return fmt.Sprintf("claim view:%d high:%v block:%v", c.View, c.High, c.Block)
}

// SignedClaim is a claim with its sender's signature, as it goes into a NewView.
type SignedClaim struct {
	Claim
	Signer    ReplicaID
	Signature crypto.Signature
}

func (s *SignedClaim) append(b []byte) []byte {
	b = s.Claim.Append(b)
	b = canon.AppendUint16(b, uint16(s.Signer))
	return append(b, s.Signature[:]...)
}

func readSignedClaim(r *canon.Reader) (s SignedClaim) {
	s.Claim = readClaim(r)
	s.Signer = ReplicaID(r.Uint16())
	r.Copy(s.Signature[:])
	return s
}

// ViewChange announces that its signer has left all views below its claim's.
// The certificate is checked only when a primary is about to use it.
type ViewChange struct {
	SignedClaim
	Certificate *Certificate // of the claimed rank and block; nil for the start block
}

// NewView opens a view: a quorum of claims for it and the certificate of the
// highest, whose block is the base. It is the proposal of that base (PROTOCOL RV).
type NewView struct {
	View        View
	Claims      []SignedClaim // ascending by signer
	Certificate *Certificate  // nil when the base is the epoch's start block
	Signature   crypto.Signature
}

const domainNewView = crypto.Domain("parley/newview")

// Digest covers everything but the signature. Votes of the view carry it.
func (n *NewView) Digest() Digest { return crypto.Hash(domainNewView, n.appendSigned(nil)) }

func (n *NewView) size() int {
	return 8 + 4 + len(n.Claims)*signedClaimSize + optionalSize(n.Certificate) + signatureSize
}

func (n *NewView) appendSigned(b []byte) []byte {
	b = slices.Grow(b, n.size())
	b = canon.AppendUint64(b, uint64(n.View))
	b = canon.AppendUint32(b, uint32(len(n.Claims)))
	for i := range n.Claims {
		b = n.Claims[i].append(b)
	}
	return appendOptional(b, n.Certificate)
}

func (n *NewView) append(b []byte) []byte {
	b = n.appendSigned(b)
	return append(b, n.Signature[:]...)
}

func readNewView(r *canon.Reader) *NewView {
	n := &NewView{View: View(r.Uint64())}
	k := r.Count(crypto.MaxReplicas, signedClaimSize)
	if k > 0 {
		n.Claims = make([]SignedClaim, k)
	}
	for i := range n.Claims {
		n.Claims[i] = readSignedClaim(r)
	}
	n.Certificate = readOptional(r)
	r.Copy(n.Signature[:])
	if r.Err() != nil {
		return nil
	}
	return n
}

func (n *NewView) String() string {
	return fmt.Sprintf("NewView view:%d claims:%d base:%v", n.View, len(n.Claims), n.Certificate)
}
