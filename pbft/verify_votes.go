package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// CheckVote checks everything about a vote but its signature, and that it comes
// from its signer: nobody else has a reason to send it, and a vote that enters a
// [Tally] unverified (see [crypto.Scheme].Lazy) must not take another's place.
func (v *Verifier) CheckVote(from ReplicaID, vote *Vote) Drop {
	if !v.cfg.Quorums.Contains(vote.Signer) {
		return DropNotMember
	}
	if vote.Signer != from {
		return DropSignature
	}
	return checkStatement(v.cfg.Start, &vote.Statement)
}

// VerifyVotes checks the votes' signatures, as one batch if the scheme can do
// that, and returns for each [NoDrop] or the reason. The host may leave it out and
// give the votes to the [Tally] after [Verifier.CheckVote]: [Verifier.Aggregate]
// checks those that a certificate is made of.
func (v *Verifier) VerifyVotes(votes []*Vote) []Drop {
	if len(votes) == 1 {
		vote := votes[0]
		share := crypto.Share{Signer: vote.Signer, Signature: vote.Signature}
		return []Drop{dropOfShare(v.cfg.Votes.VerifyShare(v.context(vote.Phase.Kind()), vote.Statement.Append(nil), share))}
	}
	checks := make([]crypto.ShareCheck, len(votes))
	for i, vote := range votes {
		checks[i] = crypto.ShareCheck{
			Context: v.context(vote.Phase.Kind()),
			Message: vote.Statement.Append(nil),
			Share:   crypto.Share{Signer: vote.Signer, Signature: vote.Signature},
		}
	}
	return dropsOf(v.cfg.Votes.VerifyShares(checks))
}

// CheckCheckpointVote is [Verifier.CheckVote] for checkpoint votes.
func (v *Verifier) CheckCheckpointVote(from ReplicaID, vote *CheckpointVote) Drop {
	switch {
	case !v.cfg.Quorums.Contains(vote.Signer):
		return DropNotMember
	case vote.Signer != from:
		return DropSignature
	case vote.Height <= v.cfg.Start.Height:
		return DropHeight
	}
	return NoDrop
}

// VerifyCheckpointVotes is [Verifier.VerifyVotes] for checkpoint votes.
func (v *Verifier) VerifyCheckpointVotes(votes []*CheckpointVote) []Drop {
	checks := make([]crypto.ShareCheck, len(votes))
	for i, vote := range votes {
		checks[i] = crypto.ShareCheck{
			Context: v.context(crypto.KindCheckpoint),
			Message: vote.CheckpointStatement.Append(nil),
			Share:   crypto.Share{Signer: vote.Signer, Signature: vote.Signature},
		}
	}
	return dropsOf(v.cfg.Checkpoints.VerifyShares(checks))
}

func dropsOf(errs []error) []Drop {
	drops := make([]Drop, len(errs))
	for i, err := range errs {
		drops[i] = dropOfShare(err)
	}
	return drops
}

func dropOfShare(err error) Drop {
	why := dropOf(err)
	if why == DropMalformed {
		return DropSignature // a share that is not even well formed
	}
	return why
}

// CheckCertificate verifies a certificate completely: its statement can exist,
// its signers are a quorum, and they signed.
func (v *Verifier) CheckCertificate(c *Certificate) error {
	return dropAsError("certificate", v.verifyCertificate(c))
}

func (v *Verifier) verifyCertificate(c *Certificate) Drop {
	if why := checkCertificateShape(v.cfg.Quorums, v.cfg.Start, c); why != NoDrop {
		return why
	}
	return v.prove(v.cfg.Votes, c.Phase.Kind(), c.Statement.Append(nil), c.Signers, c.Proof)
}

// CheckCheckpoint verifies a checkpoint certificate completely.
func (v *Verifier) CheckCheckpoint(c *CheckpointCertificate) error {
	return dropAsError("checkpoint certificate", v.verifyCheckpoint(c))
}

func (v *Verifier) verifyCheckpoint(c *CheckpointCertificate) Drop {
	if c.Height <= v.cfg.Start.Height {
		return DropHeight
	}
	if why := checkSigners(v.cfg.Quorums, c.Signers); why != NoDrop {
		return why
	}
	return v.prove(v.cfg.Checkpoints, crypto.KindCheckpoint, c.CheckpointStatement.Append(nil), c.Signers, c.Proof)
}

// CheckBundle verifies a bundle completely: both certificates and the headers
// that link their blocks.
func (v *Verifier) CheckBundle(b *Bundle) error { return dropAsError("bundle", v.verifyBundle(b)) }

func (v *Verifier) verifyBundle(b *Bundle) Drop {
	if b.Header.Cluster != v.cfg.Cluster {
		return DropCluster
	}
	if b.Header.Epoch != v.cfg.Epoch {
		return DropEpoch
	}
	if b.CheckLinks() != nil {
		return DropMalformed
	}
	if why := v.verifyCheckpoint(b.Checkpoint); why != NoDrop {
		return why
	}
	return v.verifyCertificate(b.Commit)
}

const domainProven = crypto.Domain("parley/proven")

// proofKeyBuffer holds what proofKey hashes unless the aggregate is a list of many
// signatures.
const proofKeyBuffer = 768

// proofKey covers everything that the validity of a proof depends on.
func (v *Verifier) proofKey(k crypto.Kind, statement []byte, signers crypto.Bitmap, proof []byte) Digest {
	var buf [proofKeyBuffer]byte
	b := v.context(k).AppendMessage(buf[:0], statement)
	b = canon.AppendBytes(b, signers)
	return crypto.Hash(domainProven, canon.AppendBytes(b, proof))
}

func (v *Verifier) remember(key Digest) {
	if v.cfg.Proven != nil {
		v.cfg.Proven.Add(key)
	}
}

// prove checks an aggregate unless it was checked before.
func (v *Verifier) prove(s crypto.Scheme, k crypto.Kind, statement []byte, signers crypto.Bitmap, proof []byte) Drop {
	var key Digest
	if v.cfg.Proven != nil {
		if key = v.proofKey(k, statement, signers, proof); v.cfg.Proven.Has(key) {
			return NoDrop
		}
	}
	if err := s.VerifyAggregate(v.context(k), statement, signers, proof); err != nil {
		return dropOf(fmt.Errorf("aggregate: %w", err))
	}
	v.remember(key)
	return NoDrop
}

// Aggregate makes the certificate of a [Pending] whose shares may not have been
// verified: it verifies the aggregate where that is cheaper, else the shares of all
// others. If it fails because of bad shares, culprits names their signers: give
// them to [Tally.Reject].
func (v *Verifier) Aggregate(p *Pending) (c *Certificate, culprits []ReplicaID) {
	msg := p.Statement.Append(nil)
	proof, culprits := v.aggregate(v.cfg.Votes, p.Statement.Phase.Kind(), msg, p.Signers, p.Shares)
	if culprits != nil {
		return nil, culprits
	}
	return &Certificate{Statement: p.Statement, Signers: p.Signers, Proof: proof}, nil
}

// AggregateCheckpoint is [Verifier.Aggregate] for checkpoints.
func (v *Verifier) AggregateCheckpoint(p *CheckpointPending) (c *CheckpointCertificate, culprits []ReplicaID) {
	msg := p.Statement.Append(nil)
	proof, culprits := v.aggregate(v.cfg.Checkpoints, crypto.KindCheckpoint, msg, p.Signers, p.Shares)
	if culprits != nil {
		return nil, culprits
	}
	return &CheckpointCertificate{CheckpointStatement: p.Statement, Signers: p.Signers, Proof: proof}, nil
}

// aggregate returns a proof, or who is to blame that there is none: somebody
// always is, since the shares come from a tally in order.
func (v *Verifier) aggregate(s crypto.Scheme, k crypto.Kind, msg []byte, signers crypto.Bitmap, shares []crypto.Share) ([]byte, []ReplicaID) {
	ctx := v.context(k)
	if !s.Lazy() {
		if culprits := v.badShares(s, ctx, msg, shares); culprits != nil {
			return nil, culprits
		}
	}
	proof, err := s.Aggregate(shares)
	if err == nil && s.Lazy() {
		err = s.VerifyAggregate(ctx, msg, signers, proof)
	}
	if err == nil {
		v.remember(v.proofKey(k, msg, signers, proof))
		return proof, nil
	}
	culprits := crypto.FindCulprits(s, ctx, msg, shares)
	if len(culprits) == 0 {
		panic(fmt.Sprintf("pbft: scheme %s: every share verifies, the aggregate does not: %v", s.Name(), err))
	}
	return nil, culprits
}

// badShares verifies shares one by one, or as a batch, but for this replica's own:
// nobody else gets a vote of this replica into its tally ([Verifier.CheckVote]).
func (v *Verifier) badShares(s crypto.Scheme, ctx crypto.Context, msg []byte, shares []crypto.Share) (culprits []ReplicaID) {
	checks := make([]crypto.ShareCheck, 0, len(shares))
	for _, share := range shares {
		if share.Signer != v.cfg.Self {
			checks = append(checks, crypto.ShareCheck{Context: ctx, Message: msg, Share: share})
		}
	}
	for i, err := range s.VerifyShares(checks) {
		if err != nil {
			culprits = append(culprits, checks[i].Share.Signer)
		}
	}
	return culprits
}
