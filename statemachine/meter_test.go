package statemachine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

func tight() Limits {
	l := DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1<<10, 1<<11
	return l
}

// An operation has what every one needs; the rest comes out of the block's, until that is
// used up.
func TestMeter(t *testing.T) {
	l := tight()
	require.NoError(t, l.Validate())
	m := l.meter()
	op := &Op{Data: make([]byte, 80)}
	next := func() { // another client's
		op.Client[0]++
		m.begin(op)
	}
	const free = freeWork + 80/freeWorkBytes
	require.Equal(t, CodeOK, m.Take(1<<50), "nobody's")
	for range 100 {
		m.begin(op)
		require.Equal(t, CodeOK, m.Take(free))
		m.end()
	}
	next()
	require.Equal(t, CodeTooMuchWork, m.Take(1<<10+1))
	next()
	require.Equal(t, CodeOK, m.Take(1<<10))
	require.Equal(t, CodeTooMuchWork, m.Take(1))
	next()
	require.Equal(t, CodeOK, m.Take(1000))
	require.False(t, m.Exhausted())
	next()
	require.Equal(t, CodeBlockWorked, m.Take(1000), "of all clients")
	next()
	require.Equal(t, CodeOK, m.Take(free+2<<10-(1<<10-free)-(1000-free)))
	require.True(t, m.Exhausted())
	next()
	require.Equal(t, CodeOK, m.Take(free))
	require.Equal(t, CodeBlockWorked, m.Take(1))
	next()
	m.CountsItself()
	require.Equal(t, CodeOK, m.Read(1<<30))
	next()
	require.Equal(t, CodeTooMuchWork, m.Read(1<<30))
	require.Contains(t, CodeBlockWorked.String(), "submit it again")
	require.Contains(t, CodeTooMuchWork.String(), "ask for less")
	var none *Meter
	none.begin(op)
	none.CountsItself()
	none.Charge(1)
	require.Equal(t, CodeOK, none.Take(1<<50))
	require.Equal(t, CodeOK, none.Read(1<<30))
	require.False(t, none.Exhausted())
	require.NotEqual(t, DefaultLimits().Digest(), l.Digest())
	for _, edit := range []func(*Limits){func(l *Limits) { l.MaxOpWork = 1 }, func(l *Limits) { l.MaxBlockWork = l.MaxOpWork - 1 }} {
		bad := l
		edit(&bad)
		require.ErrorIs(t, bad.Validate(), ErrLimits)
	}
}

// One client has its share of a block's work, and others theirs; what is refused counts.
func TestMeterOfClients(t *testing.T) {
	l := tight()
	l.MaxBlockWork = 8 << 10 // a quarter is 2048
	m := l.meter()
	greedy, modest := &Op{Client: crypto.PublicKey{1}}, &Op{Client: crypto.PublicKey{2}}
	var got []ResultCode
	for range 100 {
		m.begin(greedy)
		got = append(got, m.Take(1000))
		m.end()
	}
	require.Equal(t, []ResultCode{CodeOK, CodeOK, CodeBlockWorked}, got[:3])
	require.NotContains(t, got[2:], CodeOK)
	m.begin(greedy)
	require.True(t, m.Exhausted())
	require.Equal(t, CodeOK, m.Take(freeWork))
	for range 2 {
		m.begin(modest)
		require.False(t, m.Exhausted())
		require.Equal(t, CodeOK, m.Take(1000))
	}
	m.begin(modest)
	m.Charge(100)
	require.True(t, m.Exhausted())
}

// toiling reads as much as its operations say.
type toiling struct{ ledger }

func (a *toiling) Apply(b Block) []Result {
	return PerOp(b, func(op Op) Result {
		var n int64
		if _, err := fmt.Sscan(string(op.Data), &n); err != nil {
			return Reject(CodeMalformed, nil)
		}
		return Result{Code: b.Meter().Take(n)}
	}, nil)
}

// The executor gives each block a meter of its own, and each client and operation its part of it.
func TestBlocksAreMetered(t *testing.T) {
	c := newChain(t, tight())
	c.Executor = NewExecutor(new(toiling), tight())
	for seq := range uint64(2) {
		var codes []ResultCode
		for _, r := range c.run(10, request(1, seq+1, 1, 50, "1000", "1000", "1"), request(2, seq+1, 1, 50, "1", "2000"),
			request(3, seq+1, 1, 50, "1000"), request(4, seq+1, 1, 50, "1", "200")) {
			for _, res := range r.Results {
				codes = append(codes, res.Code)
			}
		}
		require.Equal(t, []ResultCode{CodeOK, CodeBlockWorked, CodeOK, CodeOK, CodeTooMuchWork, CodeOK, CodeOK, CodeBlockWorked}, codes)
	}
}
