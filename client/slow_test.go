package client

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/answers"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// slowTest is a client of four replicas, without connections and with a clock of its own.
type slowTest struct {
	*Client
	now time.Time
}

func newSlowTest(t *testing.T) *slowTest {
	q, err := pbft.NewQuorumSystem([]uint64{1, 1, 1, 1})
	require.NoError(t, err)
	s := &slowTest{now: time.Unix(1000, 0)}
	tr := &Transport{favour: newFavourites(q, crypto.PublicKey{})}
	s.Client = &Client{
		cfg:     Config{Now: func() time.Time { return s.now }, Retry: time.Second, MaxRetry: time.Minute},
		quorums: q, epoch: 1, transport: tr, kick: make(chan struct{}, 1),
		requests: make(map[pbft.Digest]*pending), primary: newPrimaryGuess(q), packing: newPacking(time.Minute),
	}
	for id := range pbft.ReplicaID(4) {
		l := &line{transport: tr, id: id, up: true, ready: make(chan struct{}, 1), clients: make(map[uint32]*link)}
		tr.lines = append(tr.lines, l)
		s.links = append(s.links, &link{client: s.Client, line: l, id: id, up: true})
	}
	tr.choose() // 0, the primary, and 1
	return s
}

// sent returns a request after its first attempt, to replica 0.
func (s *slowTest) sent() *pending {
	p := &pending{
		request: new(pbft.Request), digest: pbft.Digest{1}, numbered: true, live: 1, attempts: 1, sent: s.now,
		said: answers.New(4), refused: make([]api.Reason, 4),
	}
	s.requests[p.digest] = p
	return p
}

func (s *slowTest) says(id pbft.ReplicaID, p *pending) {
	s.hear(id, &heard{request: p, message: &api.Reply{Epoch: 1}, reply: statemachine.Reply{Status: statemachine.Executed}, key: crypto.Digest{7}})
}

// A favourite that is slower and slower does not make the client more and more patient.
func TestPatienceIsForTheFirstReply(t *testing.T) {
	s := newSlowTest(t)
	for i := range 10 {
		p := s.sent()
		s.now = s.now.Add(10 * time.Millisecond)
		s.says(0, p)
		s.now = s.now.Add(time.Duration(i) * time.Second)
		s.says(1, p)
		require.Empty(t, s.requests)
	}
	require.Equal(t, 10*time.Millisecond, s.patience.usual)
}

// When the pause after the first attempt ends before replies are looked for, it is those
// who said nothing that lose their places.
func TestSlowFavouriteIsBlamedNotThePrimary(t *testing.T) {
	s := newSlowTest(t)
	require.True(t, s.transport.favour.chosen.Has(1))
	p := s.sent()
	s.says(0, p)
	require.True(t, s.attempt(p, s.now))
	require.True(t, s.transport.favour.chosen.Has(0))
	require.False(t, s.transport.favour.chosen.Has(1))
	require.False(t, s.primary.suspect[0])

	s = newSlowTest(t)
	require.True(t, s.attempt(s.sent(), s.now))
	require.True(t, s.transport.favour.chosen.Has(1), "nobody said anything: it is not for want of replies")
	require.True(t, s.primary.suspect[0])
}
