package pbft

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Phase is a round of voting on blocks.
type Phase uint8

// The two phases of agreement. Checkpoint votes have a statement of their own.
const (
	Prepare Phase = 1
	Commit  Phase = 2
)

func (p Phase) String() string {
	switch p {
	case Prepare:
		return "Prepare"
	case Commit:
		return "Commit"
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// Kind is the signature context of votes in this phase.
func (p Phase) Kind() crypto.Kind {
	if p == Commit {
		return crypto.KindCommit
	}
	return crypto.KindPrepare
}

// Statement is what a vote says and a certificate proves. Cluster and epoch are
// in the signature's context.
type Statement struct {
	Phase Phase
	View  View
	// NewView is the digest of the NewView that opened the view, zero in the
	// first view of an epoch (PROTOCOL 1.4).
	NewView Digest
	Height  Height
	Block   Digest
}

const statementSize = 1 + 8 + 32 + 8 + 32

// Append appends the canonical encoding, which is also what is signed.
func (s *Statement) Append(b []byte) []byte {
	b = slices.Grow(b, statementSize)
	b = canon.AppendUint8(b, uint8(s.Phase))
	b = canon.AppendUint64(b, uint64(s.View))
	b = append(b, s.NewView[:]...)
	b = canon.AppendUint64(b, uint64(s.Height))
	return append(b, s.Block[:]...)
}

func readStatement(r *canon.Reader) (s Statement) {
	s.Phase = Phase(r.Uint8())
	if s.Phase != Prepare && s.Phase != Commit {
		r.Fail("phase %d", s.Phase)
	}
	s.View = View(r.Uint64())
	r.Copy(s.NewView[:])
	s.Height = Height(r.Uint64())
	r.Copy(s.Block[:])
	return s
}

// Rank is (view of the vote, height).
func (s *Statement) Rank() Rank { return Rank{s.View, s.Height} }

// Ref names the block voted for.
func (s *Statement) Ref() BlockRef { return BlockRef{s.Height, s.Block} }

func (s Statement) String() string {
	return fmt.Sprintf("%v view:%d block:%d:%v", s.Phase, s.View, s.Height, s.Block)
}

// Vote is one replica's signature on a [Statement].
type Vote struct {
	Statement
	Signer    ReplicaID
	Signature []byte
}

// Certificate is a quorum of votes for one statement: a PrepareQC or a CommitQC.
// Two certificates are equal when their statements are; signer sets differ.
type Certificate struct {
	Statement
	Signers crypto.Bitmap
	Proof   []byte // the scheme's aggregate of the signatures
}

const maxProofBytes = crypto.MaxReplicas * 96

func (c *Certificate) size() int { return statementSize + 4 + len(c.Signers) + 4 + len(c.Proof) }

func (c *Certificate) append(b []byte) []byte {
	b = slices.Grow(b, c.size())
	b = c.Statement.Append(b)
	b = canon.AppendBytes(b, c.Signers)
	return canon.AppendBytes(b, c.Proof)
}

func readCertificate(r *canon.Reader) *Certificate {
	c := &Certificate{Statement: readStatement(r)}
	c.Signers = r.Bytes(crypto.MaxReplicas / 8)
	c.Proof = r.Bytes(maxProofBytes)
	if r.Err() != nil {
		return nil
	}
	return c
}

func (c *Certificate) String() string {
	return fmt.Sprintf("%vQC view:%d block:%d:%v signers:%v", c.Phase, c.View, c.Height, c.Block, c.Signers)
}

// optionalSize is how many bytes appendOptional writes.
func optionalSize(c *Certificate) int {
	if c == nil {
		return 1
	}
	return 1 + c.size()
}

// appendOptional writes a certificate that may be absent.
func appendOptional(b []byte, c *Certificate) []byte {
	b = canon.AppendBool(b, c != nil)
	if c != nil {
		b = c.append(b)
	}
	return b
}

func readOptional(r *canon.Reader) *Certificate {
	if !r.Bool() {
		return nil
	}
	return readCertificate(r)
}
