package chaos

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// After a fork the stores name culprits; if what names them is gone from the stores,
// the judge knows that nobody was allowed to discard it.
func TestJudgeFindsHistoryThatIsGone(t *testing.T) {
	for _, kind := range []pbft.RecordKind{pbft.RecordBlock, pbft.RecordNewView} {
		found := 0
		for seed := uint64(9); seed < 200 && found == 0; seed++ {
			s, err := NewSimulation(BoundOptions(seed, equalWeights(4), Forking))
			require.NoError(t, err)
			r := s.Run()
			require.NoError(t, r.Err())
			if len(r.Forks) == 0 || r.Forks[0].Gone {
				continue
			}
			f := r.Forks[0]
			for _, id := range []pbft.ReplicaID{f.A, f.B} {
				erase(t, s.replicas[id], kind)
			}
			s.report.Forks = nil
			s.judge.account()
			if len(r.Violations) > 0 {
				require.ErrorContains(t, r.Err(), "what they have not pruned does not name anybody")
				found++
			}
		}
		require.Positive(t, found, "kind %d", kind)
	}
}

// erase takes all records of some kinds from a replica's log.
func erase(t *testing.T, m *member, kinds ...pbft.RecordKind) {
	t.Helper()
	var gone []pbft.Record
	for _, kind := range kinds {
		for k := range m.disk.image {
			if k.Kind == kind {
				gone = append(gone, pbft.Record{Key: k, Delete: true})
			}
		}
	}
	require.NoError(t, m.disk.Write(gone, true))
}

// forked runs until a cluster of six has a fork that is named, and returns two honest
// replicas that agree with each other and one that disagrees with them.
func forked(t *testing.T) (s *Simulation, a, same, other *member) {
	t.Helper()
	for seed := uint64(10); seed < 60; seed += 2 { // in these all play the fork
		o := BoundOptions(seed, equalWeights(6), OverBound)
		o.Storm, o.Bound = time.Second, time.Second
		s, err := NewSimulation(o)
		require.NoError(t, err)
		r := s.Run()
		require.NoError(t, r.Err())
		for _, f := range r.Forks {
			if f.Gone {
				continue
			}
			a, other := s.replicas[f.A], s.replicas[f.B]
			for _, same := range s.replicas {
				if same.honest() && same != a && !forkOf(r, a, same) && forkOf(r, same, other) {
					return s, a, same, other
				}
			}
		}
	}
	require.Fail(t, "no run forks")
	return nil, nil, nil, nil
}

func forkOf(r *Report, a, b *member) bool {
	return slices.ContainsFunc(r.Forks, func(f Fork) bool { return f.A == a.id && f.B == b.id || f.A == b.id && f.B == a.id })
}

// judgeAgain has the judge look at the stores once more.
func judgeAgain(s *Simulation) *Report {
	s.report.Forks = nil
	s.judge.account()
	return &s.report
}

// A replica on one side of a fork hears of a CommitQC of the other, whose blocks and
// NewView it must refuse. That makes no fork of it and of those who have committed the
// same as it.
func TestHearingOfTheOtherSideIsNoFork(t *testing.T) {
	s, a, same, other := forked(t)
	h := newStoredHistory(s.start)
	require.NoError(t, h.read(other))
	value := pbft.Encode(0, h.committed)[1+8:] // without kind and epoch it is the record's value
	require.NoError(t, a.disk.Write([]pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordHigh}, Value: value}}, true))
	mine := newStoredHistory(s.start)
	require.NoError(t, mine.read(a))
	require.True(t, mine.answersFor(mine.committed))
	require.False(t, mine.answersFor(h.committed), "%v has committed up to %v", h.committed, mine.tip)

	r := judgeAgain(s)
	require.NoError(t, r.Err())
	require.False(t, forkOf(r, a, same), "%v", r.Forks)
	require.True(t, forkOf(r, a, other), "%v", r.Forks)
	require.True(t, forkOf(r, same, other), "%v", r.Forks)
}

// That two replicas have committed different blocks shows without their certificates.
func TestForkShowsWithoutCertificates(t *testing.T) {
	s, a, _, _ := forked(t)
	erase(t, a, pbft.RecordHigh, pbft.RecordCommitted, pbft.RecordCommit, pbft.RecordStable, pbft.RecordSnapshot)
	require.ErrorContains(t, judgeAgain(s).Err(), "no two of their CommitQCs contradict each other")
}

// After a state transfer the headers between the checkpoint and the block that its
// CommitQC is for are in the bundle only.
func TestHistoryHasTheLinksOfBundles(t *testing.T) {
	s, err := NewSimulation(BoundOptions(1, equalWeights(4), AtBound))
	require.NoError(t, err)
	header := pbft.Header{Height: 8, Parent: s.start.Digest()}
	link := pbft.Header{Height: 9, Parent: header.Digest()}
	b := &pbft.Bundle{
		Checkpoint: &pbft.CheckpointCertificate{CheckpointStatement: pbft.CheckpointStatement{Height: 8, Block: header.Digest()}},
		Header:     header, Links: []pbft.Header{link},
		Commit: &pbft.Certificate{Statement: pbft.Statement{Phase: pbft.Commit, Height: 9, Block: link.Digest()}},
	}
	m := s.replicas[0]
	require.NoError(t, m.disk.Write([]pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordSnapshot}, Value: pbft.Encode(0, b)[1+8:]}}, true))
	h := newStoredHistory(s.start)
	require.NoError(t, h.read(m))
	require.NotNil(t, h.Header(header.Digest()))
	require.NotNil(t, h.Header(link.Digest()))
}
