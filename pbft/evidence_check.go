package pbft

import (
	"bytes"
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// CheckEvidence checks a proof completely: its form, that what it shows is an
// offence of the closed list (PROTOCOL 5.2), and that the culprit signed it. It
// depends on nothing but the proof and the epoch's configuration, so everybody
// decides the same. No proof that it accepts names a replica that follows the
// rules, however many others do not.
//
// A proof has one form: unused fields are empty, pairs are in order of their
// encodings (proposals and NewViews: of their digests), no header too many.
func CheckEvidence(v *Verifier, e *Evidence) error {
	if !v.cfg.Quorums.Contains(e.Culprit) {
		return fmt.Errorf("evidence: culprit %d: %w", e.Culprit, crypto.ErrUnknownSigner)
	}
	var err error
	switch e.Offence {
	case TwoProposals:
		err = v.checkTwoProposals(e)
	case TwoNewViews:
		err = v.checkTwoNewViews(e)
	case ConflictingVotes:
		err = v.checkConflictingVotes(e)
	case HiddenCommit:
		err = v.checkHiddenCommit(e)
	case UnjustifiedVote:
		err = v.checkUnjustifiedVote(e)
	case TwoCheckpoints:
		err = v.checkTwoCheckpoints(e)
	default:
		return fmt.Errorf("evidence of an unknown offence %d", e.Offence)
	}
	if err != nil {
		return fmt.Errorf("evidence of %v against replica %d: %w", e.Offence, e.Culprit, err)
	}
	return nil
}

// hasParts checks which fields are used. Headers may be there only if headers is.
func (e *Evidence) hasParts(proposals, newViews, votes int, claim bool, checkpoints int, headers bool) error {
	if len(e.Proposals) != proposals || len(e.NewViews) != newViews || len(e.Votes) != votes ||
		(e.Claim != nil) != claim || len(e.Checkpoints) != checkpoints || !headers && len(e.Headers) > 0 {
		return fmt.Errorf("has %d proposals, %d NewViews, %d votes, claim %t, %d checkpoint votes, %d headers: want %d, %d, %d, %t, %d",
			len(e.Proposals), len(e.NewViews), len(e.Votes), e.Claim != nil, len(e.Checkpoints), len(e.Headers),
			proposals, newViews, votes, claim, checkpoints)
	}
	return nil
}

func (v *Verifier) checkTwoProposals(e *Evidence) error {
	if err := e.hasParts(2, 0, 0, false, 0, false); err != nil {
		return err
	}
	a, b := &e.Proposals[0], &e.Proposals[1]
	if a.View != b.View || a.Height != b.Height {
		return fmt.Errorf("proposals at view %d height %d and view %d height %d", a.View, a.Height, b.View, b.Height)
	}
	if compareDigests(a.Header.Digest(), b.Header.Digest()) >= 0 {
		return errOrderOfParts
	}
	for i := range e.Proposals {
		h := &e.Proposals[i]
		if h.Cluster != v.cfg.Cluster || h.Epoch != v.cfg.Epoch || h.Proposer != e.Culprit {
			return fmt.Errorf("proposal of replica %d in epoch %d of cluster %v", h.Proposer, h.Epoch, h.Cluster)
		}
		d := h.Header.Digest()
		if !v.verifyMember(e.Culprit, crypto.KindPrePrepare, d[:], h.Signature) {
			return fmt.Errorf("proposal: %w", crypto.ErrBadSignature)
		}
	}
	return nil
}

func (v *Verifier) checkTwoNewViews(e *Evidence) error {
	if err := e.hasParts(0, 2, 0, false, 0, false); err != nil {
		return err
	}
	view := e.NewViews[0].View
	if view == 0 || view != e.NewViews[1].View || v.cfg.Schedule.Primary(v.cfg.Epoch, view) != e.Culprit {
		return fmt.Errorf("NewViews of views %d and %d", view, e.NewViews[1].View)
	}
	a, b := e.NewViews[0].Digest(), e.NewViews[1].Digest()
	if compareDigests(a, b) >= 0 {
		return errOrderOfParts
	}
	if !v.verifyMember(e.Culprit, crypto.KindNewView, a[:], e.NewViews[0].Signature) ||
		!v.verifyMember(e.Culprit, crypto.KindNewView, b[:], e.NewViews[1].Signature) {
		return fmt.Errorf("NewView: %w", crypto.ErrBadSignature)
	}
	return nil
}

func (v *Verifier) checkConflictingVotes(e *Evidence) error {
	if err := e.hasParts(0, 0, 2, false, 0, true); err != nil {
		return err
	}
	a, b := &e.Votes[0], &e.Votes[1]
	if a.View != b.View {
		return fmt.Errorf("votes of views %d and %d", a.View, b.View)
	}
	if compareStatements(&a.Statement, &b.Statement) >= 0 {
		return errOrderOfParts
	}
	switch {
	case a.NewView != b.NewView || a.Height == b.Height:
		if len(e.Headers) > 0 {
			return fmt.Errorf("%d headers where none are needed", len(e.Headers))
		}
		if a.NewView == b.NewView && a.Block == b.Block {
			return errNoConflict // Prepare and Commit for one block
		}
	default:
		low, high := a, b
		if low.Height > high.Height {
			low, high = high, low
		}
		// Further apart they may be honest: see the unmute rule, PROTOCOL 1.6.
		if high.Height-low.Height > v.cfg.Limits.Window {
			return fmt.Errorf("votes at heights %d and %d, more than a window of %d apart", low.Height, high.Height, v.cfg.Limits.Window)
		}
		if err := v.checkOtherChain(low.Ref(), high.Ref(), e.Headers); err != nil {
			return err
		}
	}
	if err := v.checkEvidenceVote(e, a); err != nil {
		return err
	}
	return v.checkEvidenceVote(e, b)
}

func (v *Verifier) checkHiddenCommit(e *Evidence) error {
	if err := e.hasParts(0, 0, 1, true, 0, false); err != nil {
		return err
	}
	vote, claim := &e.Votes[0], e.Claim
	switch {
	case vote.Phase != Commit:
		return fmt.Errorf("vote of phase %v", vote.Phase)
	case claim.Signer != e.Culprit:
		return fmt.Errorf("claim of replica %d", claim.Signer)
	case claim.View <= vote.View:
		return fmt.Errorf("claim for view %d, Commit of view %d", claim.View, vote.View)
	case !claim.High.Less(vote.Rank()):
		return fmt.Errorf("claim of rank %v is not below the Commit of rank %v", claim.High, vote.Rank())
	case !v.verifyMember(e.Culprit, crypto.KindViewChange, claim.Claim.Append(nil), claim.Signature):
		return fmt.Errorf("claim: %w", crypto.ErrBadSignature)
	}
	return v.checkEvidenceVote(e, vote)
}

func (v *Verifier) checkUnjustifiedVote(e *Evidence) error {
	if err := e.hasParts(0, 1, 1, false, 0, true); err != nil {
		return err
	}
	vote, nv := &e.Votes[0], e.NewViews[0]
	if vote.View != nv.View || vote.NewView != nv.Digest() {
		return fmt.Errorf("vote of view %d is not bound to the NewView of view %d", vote.View, nv.View)
	}
	if v.checkNewViewContent(nv) != NoDrop {
		if len(e.Headers) > 0 {
			return fmt.Errorf("%d headers where none are needed", len(e.Headers))
		}
		return v.checkEvidenceVote(e, vote)
	}
	base, _ := Base(nv)
	if vote.Height <= base.Height {
		if len(e.Headers) > 0 {
			return fmt.Errorf("%d headers where none are needed", len(e.Headers))
		}
		if vote.Ref() == base {
			return errNoConflict
		}
		return v.checkEvidenceVote(e, vote)
	}
	if err := v.checkOtherChain(base, vote.Ref(), e.Headers); err != nil {
		return err
	}
	return v.checkEvidenceVote(e, vote)
}

func (v *Verifier) checkTwoCheckpoints(e *Evidence) error {
	if err := e.hasParts(0, 0, 0, false, 2, false); err != nil {
		return err
	}
	a, b := &e.Checkpoints[0], &e.Checkpoints[1]
	if a.Height != b.Height {
		return fmt.Errorf("checkpoints at heights %d and %d", a.Height, b.Height)
	}
	if bytes.Compare(a.CheckpointStatement.Append(nil), b.CheckpointStatement.Append(nil)) >= 0 {
		return errOrderOfParts
	}
	for i := range e.Checkpoints {
		c := &e.Checkpoints[i]
		if c.Signer != e.Culprit {
			return fmt.Errorf("checkpoint vote of replica %d", c.Signer)
		}
		share := crypto.Share{Signer: c.Signer, Signature: c.Signature}
		if err := v.cfg.Checkpoints.VerifyShare(v.context(crypto.KindCheckpoint), c.CheckpointStatement.Append(nil), share); err != nil {
			return err
		}
	}
	return nil
}

// checkEvidenceVote checks that the culprit signed the vote: with a share of its
// own, or as one of the signers of a certificate, see [joinedSignature].
func (v *Verifier) checkEvidenceVote(e *Evidence, vote *Vote) error {
	if vote.Signer != e.Culprit {
		return fmt.Errorf("vote of replica %d", vote.Signer)
	}
	ctx, msg := v.context(vote.Phase.Kind()), vote.Statement.Append(nil)
	err := v.cfg.Votes.VerifyShare(ctx, msg, crypto.Share{Signer: vote.Signer, Signature: vote.Signature})
	if err == nil {
		return nil
	}
	size := (v.cfg.Quorums.N() + 7) / 8
	if len(vote.Signature) <= size {
		return fmt.Errorf("vote: %w", err)
	}
	signers, proof := crypto.Bitmap(vote.Signature[:size]), vote.Signature[size:]
	if checkSigners(v.cfg.Quorums, signers) != NoDrop || !signers.Has(vote.Signer) ||
		v.cfg.Votes.VerifyAggregate(ctx, msg, signers, proof) != nil {
		return fmt.Errorf("vote: %w", err)
	}
	return nil
}

// joinedSignature is what stands for a member's signature in a proof when the
// scheme joins shares into one that cannot be taken apart again: the set of
// signers, then the aggregate. Given proofs of possession it binds each of them.
// (A list of shares never has this form: that of a quorum is too long for a vote.)
func joinedSignature(c *Certificate) []byte {
	return append(append(make([]byte, 0, len(c.Signers)+len(c.Proof)), c.Signers...), c.Proof...)
}

// checkOtherChain checks that the headers, from the height above low up to the
// block high, show that low is no ancestor of high.
func (v *Verifier) checkOtherChain(low, high BlockRef, headers []Header) error {
	if Height(len(headers)) != high.Height-low.Height {
		return fmt.Errorf("%d headers between heights %d and %d", len(headers), low.Height, high.Height)
	}
	want := high.Digest
	for i := len(headers) - 1; i >= 0; i-- {
		h := &headers[i]
		if d := h.Digest(); d != want || h.Height != low.Height+1+Height(i) {
			return fmt.Errorf("header %d is %d:%v, which is not on the way to %v", i, h.Height, d, high)
		}
		want = h.Parent
	}
	if want == low.Digest {
		return errNoConflict
	}
	return nil
}

// Errors of proofs that show nothing.
var (
	errOrderOfParts = fmt.Errorf("%w: the two parts are equal or not in order", crypto.ErrMalformed)
	errNoConflict   = fmt.Errorf("%w: no conflict", crypto.ErrMalformed)
)
