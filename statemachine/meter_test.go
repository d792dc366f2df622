package statemachine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
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
	const free = freeWork + 80/freeWorkBytes
	require.Equal(t, CodeOK, m.Take(1<<50), "nobody's")
	for range 100 {
		m.begin(op)
		require.Equal(t, CodeOK, m.Take(free))
		m.end()
	}
	m.begin(op)
	require.Equal(t, CodeTooMuchWork, m.Take(1<<10+1))
	m.begin(op)
	require.Equal(t, CodeOK, m.Take(1<<10))
	require.Equal(t, CodeTooMuchWork, m.Take(1))
	m.begin(op)
	require.Equal(t, CodeOK, m.Take(1000))
	require.False(t, m.Exhausted())
	m.begin(op)
	require.Equal(t, CodeBlockWorked, m.Take(1000))
	require.True(t, m.Exhausted())
	m.begin(op)
	require.Equal(t, CodeOK, m.Take(free))
	require.Equal(t, CodeBlockWorked, m.Take(1))
	m.begin(op)
	m.CountsItself()
	require.Equal(t, CodeOK, m.Read(1<<30))
	m.begin(op)
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

// The executor gives each block a meter of its own, and each operation its part of it.
func TestBlocksAreMetered(t *testing.T) {
	c := newChain(t, tight())
	c.Executor = NewExecutor(new(toiling), tight())
	for seq := range uint64(2) {
		var codes []ResultCode
		for _, r := range c.run(10, request(1, seq+1, 1, 50, "1000", "1000", "1", "200"), request(2, seq+1, 1, 50, "1", "2000")) {
			for _, res := range r.Results {
				codes = append(codes, res.Code)
			}
		}
		require.Equal(t, []ResultCode{CodeOK, CodeOK, CodeOK, CodeBlockWorked, CodeOK, CodeTooMuchWork}, codes)
	}
}
