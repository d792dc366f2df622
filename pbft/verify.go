package pbft

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// Verified is a message whose signatures and structure were checked. Only a
// [Verifier] makes one, so whatever a [Core] takes has been checked.
type Verified struct {
	from     ReplicaID
	message  Message
	rejected int
}

// From is the member that sent the message: the other end of the authenticated
// link, not necessarily the one who signed it.
func (v Verified) From() ReplicaID { return v.from }

// Message is the message.
func (v Verified) Message() Message { return v.message }

// Rejected is how many requests of a Forward were left out for a bad signature
// or for their size.
func (v Verified) Rejected() int { return v.rejected }

// KnownRequests tells which clients' signatures were verified before, so that a
// backup does not verify again in a block what its ingress has verified. It is
// safe for concurrent use.
type KnownRequests interface {
	// Known reports whether sig was verified to be the client's signature of the
	// request with this digest (which covers the client's key).
	Known(request Digest, sig crypto.Signature) bool
}

// ProofCache is a bounded set of certificates that were proven, by a key that
// covers everything the proof depends on. It is the host's, because it is shared
// between goroutines and this package has no locks. It is safe for concurrent use.
type ProofCache interface {
	Has(key Digest) bool
	Add(key Digest)
}

// VerifierConfig is what a [Verifier] needs to know: all of it follows from the
// epoch's configuration, but for Self and the caches.
type VerifierConfig struct {
	// Self is whose verifier this is. [Verifier.Aggregate] takes the shares of Self for good:
	// whoever is no replica, or lets votes of Self in by a link, verifies those first.
	Self     ReplicaID
	Cluster  Digest
	Epoch    Epoch
	Start    BlockRef // the epoch's start block
	Quorums  *QuorumSystem
	Schedule Schedule

	// Votes and Checkpoints are the schemes of the epoch's members.
	Votes       crypto.Scheme
	Checkpoints crypto.Scheme
	// SigningKeys are the members' Ed25519 keys for proposals, claims and NewViews.
	SigningKeys []crypto.PublicKey
	// Requests checks Ed25519 signatures, of clients and of SigningKeys.
	Requests crypto.RequestVerifier
	// Known may be nil: then every request in a block is verified.
	Known KnownRequests
	// Proven may be nil: then a certificate is verified each time it arrives.
	Proven ProofCache

	Limits Limits
}

// Limits are the parts of a [Config] that a [Verifier] checks as well.
type Limits struct {
	MaxBlockBytes     int
	MaxBlockRequests  int
	MaxOperationBytes int
	// Window bounds the distance of conflicting votes in evidence (PROTOCOL 1.6).
	Window Height
}

// Verifier checks messages without any state of the protocol, so any number of
// goroutines may use one at the same time (given that the schemes and caches
// allow it, as theirs promise). What it accepts depends on the message alone: every
// honest replica decides the same.
type Verifier struct {
	cfg VerifierConfig
}

// NewVerifier returns a verifier. It panics on a config that lacks a part.
func NewVerifier(cfg VerifierConfig) *Verifier {
	if cfg.Quorums == nil || cfg.Votes == nil || cfg.Checkpoints == nil || cfg.Requests == nil || cfg.Schedule.Len() == 0 {
		panic("pbft: VerifierConfig lacks Quorums, Schedule, Votes, Checkpoints or Requests")
	}
	if len(cfg.SigningKeys) != cfg.Quorums.N() {
		panic(fmt.Sprintf("pbft: VerifierConfig has %d SigningKeys for %d members", len(cfg.SigningKeys), cfg.Quorums.N()))
	}
	return &Verifier{cfg: cfg}
}

func (v *Verifier) context(k crypto.Kind) crypto.Context {
	return crypto.Context{Kind: k, Cluster: v.cfg.Cluster, Epoch: uint64(v.cfg.Epoch)}
}

// Own wraps a message that this replica made itself, or a certificate that it
// aggregated and verified. Nothing is checked but the name: it panics if the
// message says that somebody else made it.
func (v *Verifier) Own(m Message) Verified {
	signer := v.cfg.Self
	switch m := m.(type) {
	case *PrePrepare:
		signer = m.Proposer
	case *Vote:
		signer = m.Signer
	case *CheckpointVote:
		signer = m.Signer
	case *ViewChange:
		signer = m.Signer
	case *NewView:
		signer = v.cfg.Schedule.Primary(v.cfg.Epoch, m.View)
	case *Heartbeat:
		signer = v.cfg.Schedule.Primary(v.cfg.Epoch, m.View)
	case *Certificate:
		v.remember(v.proofKey(m.Phase.Kind(), m.Statement.Append(nil), m.Signers, m.Proof))
	}
	if signer != v.cfg.Self {
		panic(fmt.Sprintf("pbft: %v of replica %d passed off as replica %d's own", m.Kind(), signer, v.cfg.Self))
	}
	return Verified{from: v.cfg.Self, message: m}
}

// Verify checks a message that came over from's authenticated link. Cheap checks
// come first. The reason is [NoDrop] if and only if the message is good; then,
// and only then, the [Verified] is of use.
//
// The certificate beside a claim in a ViewChange is the one thing that is not
// proven here: whoever uses it proves it first ([Verifier.CheckCertificate]).
// What one bad part must not spoil is left out of the message instead: requests
// of a Forward, NewViews of Blocks.
func (v *Verifier) Verify(from ReplicaID, m Message) (Verified, Drop) {
	if !v.cfg.Quorums.Contains(from) {
		return Verified{}, DropNotMember
	}
	out := Verified{from: from, message: m}
	why := NoDrop
	switch m := m.(type) {
	case *PrePrepare:
		why = v.verifyPrePrepare(m)
	case *Vote:
		if why = v.CheckVote(from, m); why == NoDrop {
			why = v.VerifyVotes([]*Vote{m})[0]
		}
	case *CheckpointVote:
		if why = v.CheckCheckpointVote(from, m); why == NoDrop {
			why = v.VerifyCheckpointVotes([]*CheckpointVote{m})[0]
		}
	case *Certificate:
		why = v.verifyCertificate(m)
	case *Bundle:
		why = v.verifyBundle(m)
	case *ViewChange:
		why = v.verifyViewChange(m)
	case *NewView:
		why = v.verifyNewView(m)
	case *Heartbeat:
		if from != v.cfg.Schedule.Primary(v.cfg.Epoch, m.View) {
			why = DropNotPrimary
		}
	case *Blocks:
		out.message, why = v.verifyBlocks(m)
	case *Forward:
		var good *Forward
		if good, out.rejected = v.filterForward(m); len(good.Requests) == 0 {
			why = DropSignature
		}
		out.message = good
	case *Evidence:
		why = dropOf(CheckEvidence(v, m))
	case *Status, *GetBlocks, *GetManifest, *Manifest, *GetChunk, *Chunk, *GetState, *State:
		// Decided by nobody but the sender: the link says who that is.
	default:
		why = DropMalformed
	}
	if why != NoDrop {
		return Verified{}, why
	}
	return out, NoDrop
}

// dropOf returns the reason to count for an error of a scheme or of evidence.
func dropOf(err error) Drop {
	if err == nil {
		return NoDrop
	}
	var d dropError
	switch {
	case errors.As(err, &d):
		return d.why
	case errors.Is(err, crypto.ErrUnknownSigner):
		return DropNotMember
	case errors.Is(err, crypto.ErrBadSignature):
		return DropSignature
	}
	return DropMalformed
}

// dropError is a reason as an error.
type dropError struct {
	what string
	why  Drop
}

func (e dropError) Error() string { return fmt.Sprintf("%s: %v", e.what, e.why) }

func dropAsError(what string, why Drop) error {
	if why == NoDrop {
		return nil
	}
	return dropError{what, why}
}

// verifyMember checks a member's signature of its signing key.
func (v *Verifier) verifyMember(id ReplicaID, k crypto.Kind, msg []byte, sig crypto.Signature) bool {
	return v.cfg.Requests.Verify(v.cfg.SigningKeys[id], v.context(k), msg, sig)
}

func (v *Verifier) memberItem(id ReplicaID, k crypto.Kind, msg []byte, sig crypto.Signature) crypto.Item {
	return crypto.Item{Key: v.cfg.SigningKeys[id], Context: v.context(k), Message: msg, Signature: sig}
}

func (v *Verifier) allGood(items []crypto.Item) bool {
	for _, ok := range v.cfg.Requests.VerifyBatch(items) {
		if !ok {
			return false
		}
	}
	return true
}

// verifyViewChange leaves the certificate's proof to whoever uses it (R14).
func (v *Verifier) verifyViewChange(m *ViewChange) Drop {
	if why := CheckClaim(v.cfg.Quorums, v.cfg.Start, &m.SignedClaim); why != NoDrop {
		return why
	}
	c := m.Certificate
	if (m.Phase == 0) != (c == nil) {
		return DropClaim
	}
	if c != nil {
		if c.Phase != m.Phase || c.Rank() != m.High || c.Block != m.Block {
			return DropClaim
		}
		if why := checkCertificateShape(v.cfg.Quorums, v.cfg.Start, c); why != NoDrop {
			return why
		}
	}
	if !v.verifyMember(m.Signer, crypto.KindViewChange, m.Claim.Append(nil), m.Signature) {
		return DropSignature
	}
	return NoDrop
}

func (v *Verifier) verifyNewView(m *NewView) Drop {
	if why := CheckNewView(v.cfg.Quorums, v.cfg.Start, m); why != NoDrop {
		return why
	}
	d := m.Digest()
	primary := v.cfg.Schedule.Primary(v.cfg.Epoch, m.View)
	if !v.verifyMember(primary, crypto.KindNewView, d[:], m.Signature) {
		return DropSignature
	}
	return v.checkNewViewContent(m)
}

// checkNewViewContent checks all of a NewView that its digest covers: everything
// but the primary's signature. A vote bound to a NewView that fails here is an
// offence, so this must accept whatever verifyNewView accepts. (The signature is
// not covered: anybody can put a bad one on a good NewView.)
func (v *Verifier) checkNewViewContent(m *NewView) Drop {
	if why := CheckNewView(v.cfg.Quorums, v.cfg.Start, m); why != NoDrop {
		return why
	}
	items := make([]crypto.Item, len(m.Claims))
	for i := range m.Claims {
		c := &m.Claims[i]
		items[i] = v.memberItem(c.Signer, crypto.KindViewChange, c.Claim.Append(nil), c.Signature)
	}
	if !v.allGood(items) {
		return DropSignature
	}
	if m.Certificate != nil {
		return v.verifyCertificate(m.Certificate)
	}
	return NoDrop
}
