package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// A replica that has the claims for the next view already enters a view and leaves it
// within one step. Its vote for the base goes out after that, and the judge, who looks
// between two steps, has never seen it hold the NewView.
func TestBaseOfAViewThatIsLeftAtOnce(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	claim := pbft.SignedClaim{}
	claim.View = 8
	n := &pbft.NewView{View: 8, Claims: []pbft.SignedClaim{claim}}
	const envelope = 1 + 8 // of a message, which a record does not have
	p := &process{member: s.replicas[0]}
	p.disk.image[pbft.RecordKey{Kind: pbft.RecordNewView, Height: 8}] = pbft.Encode(0, n)[envelope:]

	vote := func(ref pbft.BlockRef, newView pbft.Digest) *pbft.Vote {
		return &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, View: 8, Height: ref.Height, Block: ref.Digest, NewView: newView}}
	}
	base := s.start.Ref()
	above := pbft.BlockRef{Height: base.Height + 1, Digest: pbft.Digest{1}}
	require.False(t, s.judge.bases.isBase(p, vote(base, pbft.Digest{2})), "by a NewView that it does not have")
	require.True(t, s.judge.bases.isBase(p, vote(base, n.Digest())))
	require.False(t, s.judge.bases.isBase(p, vote(above, n.Digest())))
	require.NotEmpty(t, s.report.Violations, "the NewView is checked too: its claims are no quorum's")
}
