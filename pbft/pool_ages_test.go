package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What starts a client's clock anew, and what does not.
func TestPoolClock(t *testing.T) {
	const age = 100
	executed := map[Digest]bool{}
	fresh := func() *pool {
		p := newPool(1<<20, 64, func(r *Request) bool { return !executed[r.Digest()] })
		return &p
	}
	suspects := func(p *pool, now uint64) bool {
		p.older(now, age/2)
		since, ok := p.oldest()
		return ok && now >= since+age
	}
	t.Run("backlog", func(t *testing.T) {
		p := fresh()
		for i := range uint64(64) {
			p.add(poolRequest(1, i+1, 8), 1)
		}
		for now := uint64(1); now < 64*20; now += 20 {
			require.False(t, suspects(p, now), "the client is served every 20 ticks")
			cut, _, _ := p.peek(1<<20, 1, 0)
			p.propose(cut)
			p.remove(cut)
		}
	})
	t.Run("censored amid a flood", func(t *testing.T) {
		p := fresh()
		p.add(poolRequest(2, 1, 8), 1)
		for now := uint64(1); now <= age; now++ {
			require.False(t, suspects(p, now))
			r := poolRequest(1, now, 8)
			p.add(r, now)
			p.propose([]*Request{r})
			p.remove([]*Request{r})
		}
		require.True(t, suspects(p, age+1))
	})
	t.Run("the first of a queue is passed over", func(t *testing.T) {
		p := fresh()
		p.add(poolRequest(1, 1, 8), 1)
		var others []*Request
		for i := range uint64(3) {
			others = append(others, poolRequest(1, i+2, 8))
			p.add(others[i], 1)
		}
		now := uint64(1)
		for _, r := range others {
			now += age - 1
			require.False(t, suspects(p, now), "served")
			p.propose([]*Request{r})
			p.remove([]*Request{r})
		}
		require.False(t, suspects(p, now+age-1))
		require.True(t, suspects(p, now+age), "after its other requests, j+1 ages at the most")
	})
	t.Run("served with what is not known here", func(t *testing.T) {
		p := fresh()
		p.add(poolRequest(1, 1, 8), 1)
		other := poolRequest(1, 2, 8)
		p.now = age
		p.propose([]*Request{other})
		require.False(t, suspects(p, age+1))
		// Once it has run it counts no more, however often it is proposed.
		executed[other.Digest()] = true
		for now := uint64(age + 1); now < 2*age; now++ {
			require.False(t, suspects(p, now))
			p.propose([]*Request{other})
			p.remove([]*Request{other})
		}
		require.True(t, suspects(p, 2*age))
	})
	t.Run("another client is served", func(t *testing.T) {
		p := fresh()
		p.add(poolRequest(1, 1, 8), 1)
		p.now = age
		p.propose([]*Request{poolRequest(2, 1, 8)})
		require.True(t, suspects(p, age+1))
	})
	t.Run("proposed and never committed", func(t *testing.T) {
		p := fresh()
		r := poolRequest(1, 1, 8)
		p.add(r, 1)
		require.False(t, suspects(p, age))
		p.propose([]*Request{r})
		require.True(t, suspects(p, age+1))
		p.reset(age + 1)
		require.False(t, suspects(p, 2*age))
		require.True(t, suspects(p, 2*age+1))
	})
	t.Run("a new view", func(t *testing.T) {
		p := fresh()
		p.add(poolRequest(1, 1, 8), 1)
		p.reset(age)
		require.False(t, suspects(p, 2*age-1))
		require.True(t, suspects(p, 2*age))
	})
	t.Run("late", func(t *testing.T) {
		p := fresh()
		r := poolRequest(1, 1, 8)
		p.add(NewRequest(r.Client, 1, 1, 5, r.Ops), 1)
		p.add(poolRequest(1, 2, 9), 50)
		p.now = 60
		p.sift(6, p.admissible)
		require.False(t, suspects(p, 159))
		require.True(t, suspects(p, 160))
	})
}

// Everything is relayed at the age, and again when as much time has passed, but of
// one client no more than its part; what cannot run any more is forgotten.
func TestPoolRelays(t *testing.T) {
	const age = 50
	executed := map[Digest]bool{}
	p := newPool(8<<20, 1000, func(r *Request) bool { return !executed[r.Digest()] })
	var dead *Request
	for i := range uint64(100) {
		p.add(poolRequest(1, i+1, 10_000), 1)
	}
	for i := range uint64(5) {
		dead = poolRequest(2+i, 1, 8)
		p.add(dead, 2)
	}
	executed[dead.Digest()] = true
	p.add(poolRequest(9, 1, 2*maxRelayedPerClient), 2)
	for round := range uint64(3) {
		now := 1 + age*(round+1)
		require.Nil(t, p.older(now-1, age))
		flood := p.older(now, age)
		require.Len(t, flood, maxRelayedPerClient/flood[0].Size())
		others := p.older(now+1, age)
		require.Len(t, others, 5)
		require.Equal(t, byte(9), others[4].Client[0], "one is always relayed, however large")
		require.Nil(t, p.older(now+2, age))
		p.check(t)
		require.NotContains(t, p.byDigest, dead.Digest())
	}
	p.reset(1000)
	require.Nil(t, p.older(999+age, age))
	require.NotEmpty(t, p.older(1000+age, age))
}
