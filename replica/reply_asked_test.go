package replica

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// A session that wants no replies but those it asks for gets them, everything of a small
// block, and all that is no reply to many.
func TestRepliesWhereTheyAreAskedFor(t *testing.T) {
	limits := DefaultClientLimits()
	limits.SessionEntries = spareFrom + 8
	counters := new(clientCounters)
	router := newReplyRouter(1, limits, counters)
	k := clientTestKey(1).Public()
	s := router.open(k, func() { t.Error("cut") })
	replies := make([]statemachine.Reply, spareFrom)
	for i := range replies {
		replies[i] = statemachine.Reply{Client: k, Seq: uint64(i + 1), Request: pbft.Digest{byte(i + 1)}, Status: statemachine.Executed, Height: 5}
	}
	got := func() (seqs []uint64) {
		entries, _ := s.take(packBytes)
		for i := range entries {
			seqs = append(seqs, entries[i].reply.Seq)
		}
		return seqs
	}
	router.Deliver(1, 5, replies)
	require.Len(t, got(), spareFrom, "at first it wants all")

	s.asks(pbft.Digest{1})
	s.want(api.Replies_REPLIES_UNSPECIFIED)
	router.Deliver(1, 5, replies)
	require.Len(t, got(), spareFrom, "what was not said changes nothing")

	s.want(api.Replies_REPLIES_ASKED)
	router.Deliver(1, 5, replies)
	require.Empty(t, got())
	s.asks(pbft.Digest{3})
	s.want(api.Replies_REPLIES_ASKED) // what was asked for is not forgotten
	router.Deliver(1, 5, replies)
	require.Equal(t, []uint64{3}, got())
	router.Deliver(1, 6, replies)
	require.Empty(t, got(), "once")

	router.Deliver(1, 7, replies[:spareFrom-1])
	require.Len(t, got(), spareFrom-1, "of few all")
	router.answer(k, replies[1])
	require.Equal(t, []uint64{2}, got(), "from the cache")
	s.asks(pbft.Digest{4})
	router.refuse(k, pbft.Digest{4}, api.Reason_REASON_BUSY)
	require.Len(t, got(), 1)
	router.Deliver(1, 8, replies)
	require.Empty(t, got(), "a refusal was the answer")

	for i := range limits.SessionEntries + 1 {
		s.asks(pbft.Digest{0xff, byte(i)})
	}
	router.Deliver(1, 9, replies)
	require.Len(t, got(), spareFrom, "who asks for so much gets all")
	s.want(api.Replies_REPLIES_ASKED)
	s.want(api.Replies_REPLIES_ALL)
	router.Deliver(1, 10, replies)
	require.Len(t, got(), spareFrom)
}

// What is asked for over a session is answered there, whether it runs before or after.
func TestSessionAsks(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, nil)
	alice := clientTestKey(1)
	stream := openSession(t, dialClientServer(t, c, s, alice))
	ran, later := c.request(alice, 1), c.request(alice, 2)
	b.mu.Lock()
	b.executed[ran.Digest()] = executedReply(ran, 3)
	b.mu.Unlock()
	require.NoError(t, stream.Send(&api.ClientMessage{
		Replies: api.Replies_REPLIES_ASKED, Requests: [][]byte{ran.Encode(), later.Encode()},
	}))
	require.Equal(t, uint64(1), next(t, stream).Replies[0].Seq)
	require.Equal(t, later.Digest(), (<-b.offered).Digest())
	block := make([]statemachine.Reply, spareFrom)
	for i := range block {
		block[i] = statemachine.Reply{Client: alice.Public(), Seq: uint64(100 + i), Request: crypto.Hash("test", []byte{byte(i)})}
	}
	block[len(block)-1] = executedReply(later, 4)
	s.Deliver(1, 4, block)
	m := next(t, stream)
	require.Len(t, m.Replies, 1)
	require.Equal(t, uint64(2), m.Replies[0].Seq)
	require.NoError(t, stream.CloseSend())
}
