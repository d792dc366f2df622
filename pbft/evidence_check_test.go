package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// proofs returns one valid proof of each offence, O3 and O5 in all variants.
func (k *kit) proofs() map[string]*Evidence {
	start := &k.startAt.Header
	x, y := k.chain(start, 0, 1, 6), k.chain(start, 0, 2, 6)
	highX := k.certificate(k.statement(Prepare, 0, nil, kitRef(&x[1])), ids(0, 1, 2)...)
	nvA := k.newView(2, nil, k.claimOf(0, 2, nil), k.claimOf(1, 2, nil), k.claimOf(2, 2, nil))
	nvB := k.newView(2, highX, k.claimOf(0, 2, nil), k.claimOf(1, 2, highX), k.claimOf(2, 2, nil))
	invalid := k.newView(2, nil, k.claimOf(0, 2, nil), k.claimOf(1, 2, highX), k.claimOf(2, 2, nil)) // hides the certificate
	unsigned := k.newView(2, nil, k.claimOf(0, 2, nil), k.claimOf(1, 2, nil), SignedClaim{Claim: nvA.Claims[2].Claim, Signer: 2})
	vote := func(p Phase, v View, nv *NewView, h *Header) *Vote {
		return k.vote(2, k.statement(p, v, nv, kitRef(h)))
	}
	checkpoint := func(state byte) *CheckpointVote {
		v := &CheckpointVote{CheckpointStatement: CheckpointStatement{Height: 4, State: Digest{state}}, Signer: 2}
		return k.sign(2, v).(*CheckpointVote)
	}
	lower := k.claimOf(2, 3, nil)
	return map[string]*Evidence{
		"two proposals":             ProveTwoProposals(k.propose(start, 1, 1), k.propose(start, 1, 2)),
		"two NewViews":              ProveTwoNewViews(k.primary(2), nvA, nvB),
		"votes: one height":         ProveConflictingVotes(vote(Prepare, 0, nil, &x[2]), vote(Prepare, 0, nil, &y[2]), nil),
		"votes: two phases":         ProveConflictingVotes(vote(Prepare, 0, nil, &x[2]), vote(Commit, 0, nil, &y[2]), nil),
		"votes: two heights":        ProveConflictingVotes(vote(Prepare, 0, nil, &x[4]), vote(Commit, 0, nil, &y[2]), x[3:5]),
		"votes: a window apart":     ProveConflictingVotes(vote(Prepare, 0, nil, &x[0]), vote(Prepare, 0, nil, &y[4]), y[1:5]),
		"votes: two NewViews":       ProveConflictingVotes(vote(Prepare, 2, nvA, &x[0]), vote(Prepare, 2, nvB, &x[5]), nil),
		"hidden commit":             ProveHiddenCommit(vote(Commit, 0, nil, &x[1]), &lower),
		"vote: invalid NewView":     ProveUnjustifiedVote(vote(Prepare, 2, invalid, &x[0]), invalid, nil),
		"vote: claim not signed":    ProveUnjustifiedVote(vote(Prepare, 2, unsigned, &x[0]), unsigned, nil),
		"vote: below the base":      ProveUnjustifiedVote(vote(Prepare, 2, nvB, &x[0]), nvB, nil),
		"vote: beside the base":     ProveUnjustifiedVote(vote(Commit, 2, nvB, &y[1]), nvB, nil),
		"vote: above another block": ProveUnjustifiedVote(vote(Prepare, 2, nvB, &y[4]), nvB, y[2:5]),
		"two checkpoints":           ProveTwoCheckpoints(checkpoint(1), checkpoint(2)),
	}
}

// names returns the keys in order, so that tests run the same way every time.
func names(proofs map[string]*Evidence) (out []string) {
	for _, n := range []string{"two proposals", "two NewViews", "votes: one height", "votes: two phases", "votes: two heights",
		"votes: a window apart", "votes: two NewViews", "hidden commit", "vote: invalid NewView", "vote: claim not signed",
		"vote: below the base", "vote: beside the base", "vote: above another block", "two checkpoints"} {
		if proofs[n] != nil {
			out = append(out, n)
		}
	}
	return out
}

func TestCheckEvidenceAcceptsProofs(t *testing.T) {
	k := newKitOf(4)
	proofs := k.proofs()
	require.Len(t, names(proofs), len(proofs), "a builder returned nil")
	for _, name := range names(proofs) {
		e := proofs[name]
		require.NoError(t, CheckEvidence(k.v, e), name)
		_, why := k.v.Verify(1, e)
		require.Equal(t, NoDrop, why, name)
		_, m, err := Decode(Encode(k.Epoch, e))
		require.NoError(t, err, name)
		require.NoError(t, CheckEvidence(k.v, m.(*Evidence)), name)
		// In another epoch or cluster it proves nothing.
		cfg := k.VerifierConfig
		cfg.Epoch = 5
		require.Error(t, CheckEvidence(NewVerifier(cfg), e), name)
	}
}

// Anything changed about a proof, and it is none: wrong culprit, broken
// signature, wrong order, a field too many or too few.
func TestCheckEvidenceRefusesAlterations(t *testing.T) {
	k := newKitOf(4)
	type edit struct {
		name string
		f    func(*Evidence)
	}
	for _, name := range names(k.proofs()) {
		edits := []edit{
			{"another culprit", func(e *Evidence) { e.Culprit = (e.Culprit + 1) % 4 }},
			{"a stranger", func(e *Evidence) { e.Culprit = 9 }},
			{"no offence", func(e *Evidence) { e.Offence = 0 }},
			{"unknown offence", func(e *Evidence) { e.Offence = 7 }},
			{"another offence", func(e *Evidence) { e.Offence = e.Offence%6 + 1 }},
			{"a header too many", func(e *Evidence) { e.Headers = append([]Header{k.startAt.Header}, e.Headers...) }},
			{"a proposal too many", func(e *Evidence) { e.Proposals = append(e.Proposals, SignedHeader{}) }},
			{"a NewView too many", func(e *Evidence) { e.NewViews = append(e.NewViews, &NewView{View: 2}) }},
			{"a vote too many", func(e *Evidence) { e.Votes = append(e.Votes, Vote{}) }},
			{"a checkpoint too many", func(e *Evidence) { e.Checkpoints = append(e.Checkpoints, CheckpointVote{}) }},
			{"another claim", func(e *Evidence) {
				if e.Claim == nil {
					e.Claim = &SignedClaim{}
				} else {
					e.Claim = nil
				}
			}},
		}
		e := k.proofs()[name]
		if len(e.Headers) > 0 {
			edits = append(edits,
				edit{"a header missing", func(e *Evidence) { e.Headers = e.Headers[1:] }},
				edit{"another header", func(e *Evidence) { e.Headers[0].Time++ }})
		}
		for i := range e.Votes {
			edits = append(edits,
				edit{"a vote not signed", func(e *Evidence) { e.Votes[i].Signature = nil }},
				edit{"signature of another vote", func(e *Evidence) { e.Votes[i].Signature = k.vote(2, Statement{Phase: Commit}).Signature }},
				edit{"a vote of another view", func(e *Evidence) {
					e.Votes[i] = *k.vote(2, func(s Statement) Statement { s.View += 9; return s }(e.Votes[i].Statement))
				}},
				edit{"a vote of somebody else", func(e *Evidence) { e.Votes[i] = *k.vote(1, e.Votes[i].Statement) }})
		}
		for i := range e.Proposals {
			edits = append(edits, edit{"proposal not signed", func(e *Evidence) { e.Proposals[i].Signature[0] ^= 1 }})
		}
		for i := range e.Checkpoints {
			edits = append(edits, edit{"checkpoint not signed", func(e *Evidence) { e.Checkpoints[i].Signature = []byte{1} }})
		}
		if e.Claim != nil {
			edits = append(edits, edit{"claim not signed", func(e *Evidence) { e.Claim.Stable++ }})
		}
		if len(e.NewViews) == 2 {
			edits = append(edits, edit{"NewView not signed", func(e *Evidence) { e.NewViews[1].Signature[0] ^= 1 }})
		}
		edits = append(edits, edit{"the pair swapped", func(e *Evidence) {
			switch {
			case len(e.Votes) == 2:
				e.Votes[0], e.Votes[1] = e.Votes[1], e.Votes[0]
			case len(e.Proposals) == 2:
				e.Proposals[0], e.Proposals[1] = e.Proposals[1], e.Proposals[0]
			case len(e.NewViews) == 2:
				e.NewViews[0], e.NewViews[1] = e.NewViews[1], e.NewViews[0]
			case len(e.Checkpoints) == 2:
				e.Checkpoints[0], e.Checkpoints[1] = e.Checkpoints[1], e.Checkpoints[0]
			default:
				e.Culprit = 9
			}
		}})
		for _, ed := range edits {
			e := k.proofs()[name]
			ed.f(e)
			require.Error(t, CheckEvidence(k.v, e), "%s: %s", name, ed.name)
		}
	}
}

// What honest replicas may sign is no proof, whoever puts it together.
func TestNoProofAgainstTheHonest(t *testing.T) {
	k := newKitOf(4)
	start := &k.startAt.Header
	x, y := k.chain(start, 0, 1, 8), k.chain(start, 0, 2, 8)
	high := k.certificate(k.statement(Prepare, 0, nil, kitRef(&x[1])), ids(0, 1, 2)...)
	nv := k.newView(2, high, k.claimOf(0, 2, nil), k.claimOf(1, 2, high), k.claimOf(2, 2, nil))
	vote := func(p Phase, v View, nv *NewView, h *Header) *Vote {
		return k.vote(2, k.statement(p, v, nv, kitRef(h)))
	}
	claim := func(view View, c *Certificate) *SignedClaim { s := k.claimOf(2, view, c); return &s }
	evidence := func(o Offence, votes []Vote, nvs []*NewView, headers []Header) *Evidence {
		return &Evidence{Offence: o, Culprit: 2, Votes: votes, NewViews: nvs, Headers: headers}
	}
	// Somebody else spoils the signature of a good NewView: it is not covered by
	// the digest that the voters are bound to.
	spoilt := *nv
	spoilt.Signature[0] ^= 1
	for _, c := range []struct {
		name string
		e    *Evidence
	}{
		{"Prepare and Commit for one block", evidence(ConflictingVotes, []Vote{*vote(Prepare, 0, nil, &x[1]), *vote(Commit, 0, nil, &x[1])}, nil, nil)},
		{"votes along one chain", evidence(ConflictingVotes, []Vote{*vote(Prepare, 0, nil, &x[1]), *vote(Prepare, 0, nil, &x[3])}, nil, x[2:4])},
		{"votes of two views", evidence(ConflictingVotes, []Vote{*vote(Prepare, 0, nil, &x[1]), *vote(Prepare, 2, nv, &y[1])}, nil, nil)},
		{"unmuted: more than a window apart", evidence(ConflictingVotes, []Vote{*vote(Prepare, 0, nil, &x[1]), *vote(Prepare, 0, nil, &y[6])}, nil, y[2:7])},
		{"without the headers", evidence(ConflictingVotes, []Vote{*vote(Prepare, 0, nil, &x[1]), *vote(Prepare, 0, nil, &y[3])}, nil, nil)},
		{"vote above the base", evidence(UnjustifiedVote, []Vote{*vote(Prepare, 2, nv, &x[4])}, []*NewView{nv}, x[2:5])},
		{"vote for the base", evidence(UnjustifiedVote, []Vote{*vote(Prepare, 2, nv, &x[1])}, []*NewView{nv}, nil)},
		{"the NewView's signature spoilt", evidence(UnjustifiedVote, []Vote{*vote(Prepare, 2, nv, &x[1])}, []*NewView{&spoilt}, nil)},
		{"bound to another NewView", evidence(UnjustifiedVote, []Vote{*vote(Prepare, 2, nv, &y[1])}, []*NewView{k.newView(2, nil, nv.Claims...)}, nil)},
		{"a Commit and a claim of its rank", &Evidence{Offence: HiddenCommit, Culprit: 2, Votes: []Vote{*vote(Commit, 0, nil, &x[1])}, Claim: claim(2, high)}},
		{"a Commit and a lower claim for its own view", &Evidence{Offence: HiddenCommit, Culprit: 2, Votes: []Vote{*vote(Commit, 2, nv, &x[1])}, Claim: claim(2, high)}},
		{"a Prepare and a lower claim", &Evidence{Offence: HiddenCommit, Culprit: 2, Votes: []Vote{*vote(Prepare, 0, nil, &x[3])}, Claim: claim(2, high)}},
	} {
		if len(c.e.Votes) == 2 && compareStatements(&c.e.Votes[0].Statement, &c.e.Votes[1].Statement) > 0 {
			c.e.Votes[0], c.e.Votes[1] = c.e.Votes[1], c.e.Votes[0]
		}
		err := CheckEvidence(k.v, c.e)
		require.Error(t, err, c.name)
		require.NotErrorIs(t, err, errOrderOfParts, c.name) // the case itself is what fails
	}
}

// Builders return nothing for what is no offence on the face of it.
func TestProveRefusesTheHarmless(t *testing.T) {
	k := newKitOf(4)
	start := &k.startAt.Header
	p, q := k.propose(start, 0, 1), k.propose(start, 4, 1)
	require.Nil(t, ProveTwoProposals(p, p))
	require.Nil(t, ProveTwoProposals(p, q), "two views")
	nv := k.newView(1, nil)
	require.Nil(t, ProveTwoNewViews(0, nv, nv))
	require.Nil(t, ProveTwoNewViews(0, nv, k.newView(5, nil)))
	st := k.statement(Prepare, 0, nil, p.Ref())
	require.Nil(t, ProveConflictingVotes(k.vote(1, st), k.vote(1, st), nil))
	require.Nil(t, ProveConflictingVotes(k.vote(1, st), k.vote(2, k.statement(Prepare, 0, nil, q.Ref())), nil))
	require.Nil(t, ProveConflictingVotes(k.vote(1, st), k.vote(1, k.statement(Commit, 0, nil, p.Ref())), nil))
	claim := k.claimOf(1, 2, nil)
	require.Nil(t, ProveHiddenCommit(k.vote(1, st), &claim), "a Prepare")
	require.Nil(t, ProveUnjustifiedVote(k.vote(1, st), nv, nil))
	c := &CheckpointVote{}
	require.Nil(t, ProveTwoCheckpoints(c, c))
}

// A signature that went into an aggregate that cannot be taken apart binds all its
// signers and nobody else.
func TestEvidenceFromJoinedSignatures(t *testing.T) {
	k := newKit(true, equalWeights(4)...)
	x, y := k.chain(&k.startAt.Header, 0, 1, 1), k.chain(&k.startAt.Header, 0, 2, 1)
	a := k.certificate(k.statement(Commit, 0, nil, kitRef(&x[0])), ids(0, 1, 2)...)
	b := k.certificate(k.statement(Commit, 0, nil, kitRef(&y[0])), ids(1, 2, 3)...)
	vote := func(c *Certificate, id ReplicaID) *Vote {
		return &Vote{Statement: c.Statement, Signer: id, Signature: joinedSignature(c)}
	}
	require.NoError(t, CheckEvidence(k.v, ProveConflictingVotes(vote(a, 1), vote(b, 1), nil)))
	require.NoError(t, CheckEvidence(k.v, ProveConflictingVotes(vote(a, 2), k.vote(2, b.Statement), nil)), "one of each form")
	require.Error(t, CheckEvidence(k.v, ProveConflictingVotes(vote(a, 0), vote(b, 0), nil)), "signed one only")
	few := k.certificate(a.Statement, ids(1, 2)...)
	require.Error(t, CheckEvidence(k.v, ProveConflictingVotes(vote(few, 1), vote(b, 1), nil)), "no quorum")
	_, m, err := Decode(Encode(1, ProveConflictingVotes(vote(a, 1), vote(b, 1), nil)))
	require.NoError(t, err)
	require.NoError(t, CheckEvidence(k.v, m.(*Evidence)))
}
