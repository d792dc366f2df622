package pbft

import "bytes"

// The builders below put a proof into its one canonical form. They return nil if
// what they are given is no offence as far as can be seen without checking
// signatures and links; [CheckEvidence] checks everything.

// ProveTwoProposals proves O1 from two proposals.
func ProveTwoProposals(a, b *PrePrepare) *Evidence {
	x, y := SignedHeader{a.Header, a.Signature}, SignedHeader{b.Header, b.Signature}
	switch order := compareDigests(a.Digest(), b.Digest()); {
	case order == 0:
		return nil
	case order > 0:
		x, y = y, x
	}
	if x.Proposer != y.Proposer || x.View != y.View || x.Height != y.Height {
		return nil
	}
	return &Evidence{Offence: TwoProposals, Culprit: x.Proposer, Proposals: []SignedHeader{x, y}}
}

// ProveTwoNewViews proves O2 against the primary of the view from two NewViews.
func ProveTwoNewViews(primary ReplicaID, a, b *NewView) *Evidence {
	switch order := compareDigests(a.Digest(), b.Digest()); {
	case order == 0 || a.View != b.View:
		return nil
	case order > 0:
		a, b = b, a
	}
	return &Evidence{Offence: TwoNewViews, Culprit: primary, NewViews: []*NewView{a, b}}
}

// ProveConflictingVotes proves O3 from two votes of one member in one view. If
// they are bound to one NewView and at different heights, headers must hold the
// headers from above the lower height up to the higher vote's block, ascending;
// otherwise the headers are not used.
func ProveConflictingVotes(a, b *Vote, headers []Header) *Evidence {
	if a.Signer != b.Signer || a.View != b.View {
		return nil
	}
	switch order := compareStatements(&a.Statement, &b.Statement); {
	case order == 0:
		return nil
	case order > 0:
		a, b = b, a
	}
	e := &Evidence{Offence: ConflictingVotes, Culprit: a.Signer, Votes: []Vote{*a, *b}}
	if a.NewView == b.NewView {
		if a.Height == b.Height && a.Block == b.Block {
			return nil
		}
		if a.Height != b.Height {
			e.Headers = headers
		}
	}
	return e
}

// ProveHiddenCommit proves O4 from a Commit and a claim for a later view that
// ranks below it.
func ProveHiddenCommit(commit *Vote, claim *SignedClaim) *Evidence {
	if commit.Phase != Commit || commit.Signer != claim.Signer || claim.View <= commit.View || !claim.High.Less(commit.Rank()) {
		return nil
	}
	c := *claim
	return &Evidence{Offence: HiddenCommit, Culprit: commit.Signer, Votes: []Vote{*commit}, Claim: &c}
}

// ProveUnjustifiedVote proves O5 from a vote and the NewView that it is bound to.
// Headers are none if the NewView itself is invalid, or if the vote is for a
// height not above its base's; otherwise those from above the base's height up to
// the voted block, ascending.
func ProveUnjustifiedVote(vote *Vote, nv *NewView, headers []Header) *Evidence {
	if vote.View != nv.View || vote.NewView != nv.Digest() {
		return nil
	}
	return &Evidence{Offence: UnjustifiedVote, Culprit: vote.Signer, Votes: []Vote{*vote}, NewViews: []*NewView{nv}, Headers: headers}
}

// ProveTwoCheckpoints proves O6 from two checkpoint votes.
func ProveTwoCheckpoints(a, b *CheckpointVote) *Evidence {
	if a.Signer != b.Signer || a.Height != b.Height {
		return nil
	}
	switch order := bytes.Compare(a.CheckpointStatement.Append(nil), b.CheckpointStatement.Append(nil)); {
	case order == 0:
		return nil
	case order > 0:
		a, b = b, a
	}
	return &Evidence{Offence: TwoCheckpoints, Culprit: a.Signer, Checkpoints: []CheckpointVote{*a, *b}}
}

func compareDigests(a, b Digest) int { return bytes.Compare(a[:], b[:]) }

// compareStatements orders statements as their encodings.
func compareStatements(a, b *Statement) int {
	var x, y [statementSize]byte
	return bytes.Compare(a.Append(x[:0]), b.Append(y[:0]))
}
