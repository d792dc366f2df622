package replica

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// handClock is a clock that a test sets.
type handClock struct{ at time.Time }

func (c *handClock) now() time.Time { return c.at }

func (c *handClock) pass(d time.Duration) { c.at = c.at.Add(d) }

const (
	passes   = api.Reason_REASON_UNSPECIFIED
	overFull = api.Reason_REASON_CLIENT_BUSY
)

func unchecked() bool { return false }

// A client that has all its room is refused unchecked until there is some again.
func TestOverdrawn(t *testing.T) {
	clock := &handClock{time.Unix(1000, 0)}
	o := newOverdrawn(clock.now)
	flood, honest := crypto.PublicKey{1}, crypto.PublicKey{2}
	require.Equal(t, passes, o.refuses(flood, unchecked))
	for _, drop := range []pbft.Drop{pbft.DropDuplicate, pbft.DropExpired, pbft.DropDisplaced, pbft.DropBound, pbft.DropSignature} {
		o.note(flood, drop)
		require.Equal(t, passes, o.refuses(flood, unchecked), drop)
	}
	o.note(flood, pbft.DropClientFull)
	for range 1000 {
		require.Equal(t, overFull, o.refuses(flood, unchecked))
		require.Equal(t, passes, o.refuses(honest, unchecked))
	}
	require.Equal(t, passes, o.refuses(flood, func() bool { return true }), "it may be in the pool")

	// As many pass as were answered, whoever else was.
	replies := []statemachine.Reply{{Client: flood}, {Client: honest}, {Client: flood}}
	o.answered(replies)
	require.Equal(t, passes, o.refuses(flood, unchecked))
	require.Equal(t, passes, o.refuses(flood, unchecked))
	require.Equal(t, overFull, o.refuses(flood, unchecked))

	// One with every pause.
	clock.pass(probePause - 1)
	require.Equal(t, overFull, o.refuses(flood, unchecked))
	clock.pass(1)
	require.Equal(t, passes, o.refuses(flood, unchecked))
	require.Equal(t, overFull, o.refuses(flood, unchecked))

	// What was free is not, when the pool says so.
	o.answered(replies)
	o.note(flood, pbft.DropPoolFull)
	require.Equal(t, api.Reason_REASON_BUSY, o.refuses(flood, unchecked))

	clock.pass(overdrawnFor)
	for range 100 {
		require.Equal(t, passes, o.refuses(flood, unchecked))
	}
	require.Zero(t, o.count.Load())
}

// Keys may cost nothing, so few are remembered, and those who flood now.
func TestOverdrawnIsBounded(t *testing.T) {
	clock := &handClock{time.Unix(1000, 0)}
	o := newOverdrawn(clock.now)
	key := func(i int) crypto.PublicKey { return crypto.PublicKey{byte(i), byte(i >> 8), byte(i >> 16)} }
	for i := range 2 * maxOverdrawn {
		o.note(key(i), pbft.DropClientFull)
	}
	require.Len(t, o.clients, maxOverdrawn)
	require.Equal(t, passes, o.refuses(key(maxOverdrawn), unchecked))
	clock.pass(overdrawnFor)
	o.note(key(0), pbft.DropClientFull)
	o.note(key(maxOverdrawn), pbft.DropClientFull)
	require.Len(t, o.clients, 2)
	require.EqualValues(t, 2, o.count.Load())
	require.Equal(t, overFull, o.refuses(key(maxOverdrawn), unchecked))
}

// A flood is refused before its signatures are checked, over the session that it came
// through and no other. Junk in somebody's name makes nobody be refused.
func TestFloodsAreRefusedUnchecked(t *testing.T) {
	c := newClientTestCluster(t, nil)
	clock := &handClock{time.Unix(1000, 0)}
	b := newFakeBackend()
	g, rec := newTestIngress(t, c, b, smallIngress())
	g.over = newOverdrawn(clock.now)
	flood, honest := clientTestKey(1), clientTestKey(2)
	through := &fakeSource{carried: map[crypto.PublicKey]bool{honest.Public(): true}}

	// Signatures that are not good, in the name of an honest client, by whoever carries it.
	for i := range 50 {
		junk := c.request(honest, uint64(i)+1).WithSignature(crypto.Signature{1})
		require.Zero(t, g.accept(flood.Public(), through, [][]byte{junk.Encode()}))
	}
	g.start()
	defer g.close()
	for range 50 {
		<-rec.changed
	}
	require.Equal(t, 50, rec.count[api.Reason_REASON_BAD_SIGNATURE])
	require.Empty(t, through.refused)
	require.Zero(t, g.over.count.Load())

	g.over.note(flood.Public(), pbft.DropClientFull)
	var all [][]byte
	for i := range 20 {
		all = append(all, c.request(flood, uint64(i)+1).Encode())
	}
	require.Equal(t, 20, g.accept(flood.Public(), through, all))
	require.Len(t, through.refused, 20)
	require.Zero(t, g.counters.verified.Load())
	require.EqualValues(t, 20, g.counters.unchecked[overFull].Load())
	require.EqualValues(t, 20, g.counters.refused[overFull].Load())

	// The others' pass, also over the same session, and what is on record is answered.
	require.Zero(t, g.accept(flood.Public(), through, [][]byte{c.request(honest, 100).Encode()}))
	require.Equal(t, honest.Public(), (<-b.offered).Client)
	ran := c.request(flood, 50)
	b.executed[ran.Digest()] = executedReply(ran, 7)
	require.Zero(t, g.accept(flood.Public(), through, [][]byte{ran.Encode()}))
	require.Len(t, rec.answers, 1)

	// One answer is one more request.
	g.over.answered([]statemachine.Reply{{Client: flood.Public()}})
	require.Equal(t, 1, g.accept(flood.Public(), through, all[:2]))
	require.Equal(t, uint64(1), (<-b.offered).Seq)
}

// fakeSource is a session that carries some clients.
type fakeSource struct {
	carried map[crypto.PublicKey]bool
	refused []api.Reason
}

func (s *fakeSource) carries(client crypto.PublicKey) bool { return s.carried[client] }
func (s *fakeSource) asks(pbft.Digest)                     {}
func (s *fakeSource) refuse(_ crypto.PublicKey, _ pbft.Digest, why api.Reason) {
	s.refused = append(s.refused, why)
}

// A session whose own client floods is read more slowly, and one that carries others is
// not: these would pay for it.
func TestFloodsAreReadSlowly(t *testing.T) {
	s := &clientService{router: newReplyRouter(1, DefaultClientLimits(), new(clientCounters))}
	var paused []time.Duration
	s.pause = func(_ context.Context, d time.Duration) { paused = append(paused, d) }
	own := s.router.open(crypto.PublicKey{1}, func() {})
	s.slowDown(t.Context(), own, 0)
	require.Empty(t, paused)
	s.slowDown(t.Context(), own, 10)
	s.slowDown(t.Context(), own, 1<<20)
	require.Equal(t, []time.Duration{10 * refusalPause, longestRefusalPause}, paused)
	require.EqualValues(t, 2, s.router.counters.slowed.Load())
	require.True(t, s.router.attach(own, crypto.PublicKey{2}, 1))
	s.slowDown(t.Context(), own, 10)
	require.Len(t, paused, 2)
}
