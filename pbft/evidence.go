package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Offence is one of the closed list of things that no honest replica ever signs
// (PROTOCOL 5.2). A proof of misbehaviour is one of these and nothing else.
type Offence uint8

// The offences.
const (
	// TwoProposals (O1): two headers of one proposer for one view and height.
	TwoProposals Offence = 1
	// TwoNewViews (O2): two NewViews of one view with different digests.
	TwoNewViews Offence = 2
	// ConflictingVotes (O3): two votes of one view for blocks at most Window apart
	// that lie on different chains, or with different NewView digests.
	ConflictingVotes Offence = 3
	// HiddenCommit (O4): a Commit and a later claim that ranks below it.
	HiddenCommit Offence = 4
	// UnjustifiedVote (O5): a vote bound to a NewView that is invalid, or for a
	// block that does not descend from that NewView's base.
	UnjustifiedVote Offence = 5
	// TwoCheckpoints (O6): two checkpoint statements at one height: a traitor, or
	// an application that is not deterministic.
	TwoCheckpoints Offence = 6
)

func (o Offence) String() string {
	names := [...]string{"?", "two proposals", "two NewViews", "conflicting votes", "hidden commit", "unjustified vote", "two checkpoints"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("Offence(%d)", uint8(o))
}

// SignedHeader is a header with its proposer's signature.
type SignedHeader struct {
	Header
	Signature crypto.Signature
}

// Evidence proves one offence of one culprit. Which fields are used follows from
// the offence; the others are empty, so that a proof has one encoding.
type Evidence struct {
	Offence     Offence
	Culprit     ReplicaID
	Proposals   []SignedHeader   // O1: two
	NewViews    []*NewView       // O2: two; O5: one
	Votes       []Vote           // O3: two; O4, O5: one
	Claim       *SignedClaim     // O4
	Checkpoints []CheckpointVote // O6: two
	// Headers link the blocks of Votes to a common ancestor (O3) or down to the
	// height of the NewView's base (O5): ascending runs, parent before child.
	Headers []Header
}

const maxEvidenceHeaders = 8192

func (e *Evidence) String() string {
	return fmt.Sprintf("evidence: %v by replica %d", e.Offence, e.Culprit)
}

func (e *Evidence) append(b []byte) []byte {
	b = canon.AppendUint8(b, uint8(e.Offence))
	b = canon.AppendUint16(b, uint16(e.Culprit))
	b = canon.AppendUint8(b, uint8(len(e.Proposals)))
	for i := range e.Proposals {
		b = e.Proposals[i].Header.Append(b)
		b = append(b, e.Proposals[i].Signature[:]...)
	}
	b = canon.AppendUint8(b, uint8(len(e.NewViews)))
	for _, n := range e.NewViews {
		b = n.append(b)
	}
	b = canon.AppendUint8(b, uint8(len(e.Votes)))
	for i := range e.Votes {
		b = e.Votes[i].append(b)
	}
	b = canon.AppendBool(b, e.Claim != nil)
	if e.Claim != nil {
		b = e.Claim.append(b)
	}
	b = canon.AppendUint8(b, uint8(len(e.Checkpoints)))
	for i := range e.Checkpoints {
		b = e.Checkpoints[i].append(b)
	}
	b = canon.AppendUint32(b, uint32(len(e.Headers)))
	for i := range e.Headers {
		b = e.Headers[i].Append(b)
	}
	return b
}

func readPair(r *canon.Reader, what string) int {
	n := int(r.Uint8())
	if n > 2 {
		r.Fail("%d %s in evidence, at most 2", n, what)
		return 0
	}
	return n
}

func readEvidence(r *canon.Reader) *Evidence {
	e := &Evidence{Offence: Offence(r.Uint8()), Culprit: ReplicaID(r.Uint16())}
	for range readPair(r, "proposals") {
		h := SignedHeader{Header: readHeader(r)}
		r.Copy(h.Signature[:])
		e.Proposals = append(e.Proposals, h)
	}
	for range readPair(r, "NewViews") {
		e.NewViews = append(e.NewViews, readNewView(r))
	}
	for range readPair(r, "votes") {
		v := Vote{Statement: readStatement(r), Signer: ReplicaID(r.Uint16())}
		v.Signature = r.Bytes(maxShareBytes)
		e.Votes = append(e.Votes, v)
	}
	if r.Bool() {
		c := readSignedClaim(r)
		e.Claim = &c
	}
	for range readPair(r, "checkpoint votes") {
		v := CheckpointVote{CheckpointStatement: readCheckpointStatement(r), Signer: ReplicaID(r.Uint16())}
		v.Signature = r.Bytes(maxShareBytes)
		e.Checkpoints = append(e.Checkpoints, v)
	}
	for range r.Count(maxEvidenceHeaders, headerSize) {
		e.Headers = append(e.Headers, readHeader(r))
	}
	if r.Err() != nil {
		return nil
	}
	return e
}
