package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// frame accuses others (A1, T03): with statements that contradict each other only
// almost, with its own offences under another's name, with signatures of one thing
// on another.
type frame struct {
	honest
	ticks int
}

func newFrame(p *Puppet) Adversary { return &frame{honest: honest{p}} }

func (a *frame) Tick() {
	if a.ticks++; a.ticks%5 != 0 {
		return
	}
	if e := a.accusation(); e != nil {
		a.did("false accusation")
		a.Broadcast(e)
	}
}

func (a *frame) accusation() *pbft.Evidence {
	l, r := &a.Coalition.lore, a.Rand
	victim := pbft.ReplicaID(r.IntN(a.Core.Quorums.N()))
	var votes []*pbft.Vote
	for _, v := range l.votes {
		if v.Signer == victim {
			votes = append(votes, v)
		}
	}
	var headers []pbft.Header
	for _, b := range l.blocks {
		headers = append(headers, b.Header)
	}
	switch r.IntN(5) {
	case 0: // two votes of it, whatever they say
		if len(votes) > 1 {
			return conflicting(votes[0], votes[len(votes)-1], headers)
		}
	case 1: // one of them changed
		if len(votes) > 0 {
			x := *votes[0]
			x.Block = crypto.Hash("chaos/framed", x.Block[:])
			return conflicting(votes[0], &x, headers)
		}
	case 2: // a vote and a claim
		for _, v := range l.views {
			if c := l.claims[v][victim]; c != nil && len(votes) > 0 {
				return &pbft.Evidence{Offence: pbft.HiddenCommit, Culprit: victim, Votes: []pbft.Vote{*votes[len(votes)-1]}, Claim: &c.SignedClaim}
			}
		}
	case 3: // two proposals, perhaps its own, under another's name
		if len(l.blocks) > 1 {
			e := &pbft.Evidence{Offence: pbft.TwoProposals, Culprit: victim}
			for _, p := range []*pbft.PrePrepare{l.blocks[0], l.blocks[len(l.blocks)-1]} {
				e.Proposals = append(e.Proposals, pbft.SignedHeader{Header: p.Header, Signature: p.Signature})
			}
			return e
		}
	default:
		if len(l.newViews) > 0 && len(votes) > 0 {
			n := l.newViews[r.IntN(len(l.newViews))]
			return &pbft.Evidence{Offence: pbft.UnjustifiedVote, Culprit: victim, Votes: []pbft.Vote{*votes[0]}, NewViews: []*pbft.NewView{n}, Headers: headers}
		}
	}
	return nil
}

// conflicting is an accusation of two votes, whether they conflict or not.
func conflicting(a, b *pbft.Vote, headers []pbft.Header) *pbft.Evidence {
	return &pbft.Evidence{Offence: pbft.ConflictingVotes, Culprit: a.Signer, Votes: []pbft.Vote{*a, *b}, Headers: headers}
}
