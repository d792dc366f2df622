package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// Keys are one replica's private keys for one epoch.
type Keys struct {
	Self ReplicaID
	// Signing is the Ed25519 key for proposals, claims and NewViews.
	Signing crypto.Signer
	// Votes and Checkpoints are of the epoch's schemes for these.
	Votes       crypto.Signer
	Checkpoints crypto.Signer
}

// Sign returns m with the signatures that the sender makes and the core leaves
// out: of a PrePrepare, Vote, CheckpointVote, ViewChange or NewView that is
// Self's own and not signed yet, and of Self's own proposals and NewViews within
// Blocks. Everything else, and everything signed already, is returned as it is.
// m itself is never changed: what was signed is a copy that shares the block.
//
// Signing twice gives the same bytes twice (PROTOCOL R6). Sign is safe for
// concurrent use if the signers are.
func Sign(cluster Digest, epoch Epoch, m Message, keys Keys) Message {
	s := signing{cluster: cluster, epoch: epoch, keys: keys}
	switch m := m.(type) {
	case *PrePrepare:
		return s.prePrepare(m)
	case *Vote:
		if m.Signer == keys.Self && len(m.Signature) == 0 {
			var buf [statementSize]byte
			signed := *m
			signed.Signature = keys.Votes.Sign(s.context(m.Phase.Kind()), m.Statement.Append(buf[:0]))
			return &signed
		}
	case *CheckpointVote:
		if m.Signer == keys.Self && len(m.Signature) == 0 {
			var buf [checkpointStatementSize]byte
			signed := *m
			signed.Signature = keys.Checkpoints.Sign(s.context(crypto.KindCheckpoint), m.CheckpointStatement.Append(buf[:0]))
			return &signed
		}
	case *ViewChange:
		if m.Signer == keys.Self && m.Signature == (crypto.Signature{}) {
			var buf [claimSize]byte
			signed := *m
			signed.Signature = s.sign(crypto.KindViewChange, m.Claim.Append(buf[:0]))
			return &signed
		}
	case *NewView:
		return s.newView(m)
	case *Blocks:
		return s.blocks(m)
	}
	return m
}

type signing struct {
	cluster Digest
	epoch   Epoch
	keys    Keys
}

func (s *signing) context(k crypto.Kind) crypto.Context {
	return crypto.Context{Kind: k, Cluster: s.cluster, Epoch: uint64(s.epoch)}
}

func (s *signing) sign(k crypto.Kind, msg []byte) crypto.Signature {
	sig, ok := crypto.SignatureOf(s.keys.Signing.Sign(s.context(k), msg))
	if !ok {
		panic(fmt.Sprintf("pbft: the signer of %v made a signature of another length than %d bytes", s.keys.Self, crypto.SignatureSize))
	}
	return sig
}

func (s *signing) prePrepare(m *PrePrepare) *PrePrepare {
	if m.Proposer != s.keys.Self || m.Signature != (crypto.Signature{}) {
		return m
	}
	d := m.Digest()
	return &PrePrepare{Block: m.Block, Signature: s.sign(crypto.KindPrePrepare, d[:])}
}

// newView signs any NewView that has no signature: only its own primary has one
// without.
func (s *signing) newView(m *NewView) *NewView {
	if m.Signature != (crypto.Signature{}) {
		return m
	}
	d := m.Digest()
	signed := *m
	signed.Signature = s.sign(crypto.KindNewView, d[:])
	return &signed
}

func (s *signing) blocks(m *Blocks) *Blocks {
	signed := *m
	changed := false
	for i, p := range m.Blocks {
		if q := s.prePrepare(p); q != p {
			if !changed {
				signed.Blocks = append([]*PrePrepare(nil), m.Blocks...)
				changed = true
			}
			signed.Blocks[i] = q
		}
	}
	copied := false
	for i, n := range m.NewViews {
		if q := s.newView(n); q != n {
			if !copied {
				signed.NewViews = append([]*NewView(nil), m.NewViews...)
				copied = true
			}
			signed.NewViews[i] = q
		}
	}
	if !changed && !copied {
		return m
	}
	return &signed
}
