package statemachine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// talker answers with as many bytes as an operation has, times a thousand; what it had
// together in memory is noted.
type talker struct {
	*ledger
	perOp bool
	most  int
}

func (a *talker) Apply(b Block) []Result {
	say := func(op Op) Result { return OK(make([]byte, 1000*len(op.Data))) }
	var rs []Result
	if a.perOp {
		rs = PerOp(b, say, nil)
	} else {
		for _, op := range b.Ops {
			rs = append(rs, say(op))
		}
	}
	together := 0
	for _, r := range rs {
		together += len(r.Data)
	}
	a.most = max(a.most, together)
	return rs
}

// A block of short operations with long results is not in memory with all of these, and
// what is dropped is the same whoever drops it.
func TestResultsOfABlockAreBounded(t *testing.T) {
	limits := testLimits()
	limits.MaxSessions, limits.MaxResultBytes, limits.MaxReplyBytes, limits.MaxCacheBytes = 100, 8_000, 20_000, 50_000
	long := strings.Split(strings.Repeat("12345 ", 99)+"12345", " ") // a hundred of 5000 bytes
	requests := []Request{request(1, 1, 1, 50, append([]string{"123456789", "1"}, long...)...)}
	for c := range 20 {
		requests = append(requests, request(2+c, 1, 1, 50, "123456", "1"))
	}
	run := func(perOp bool) (*talker, []Reply) {
		a := &talker{ledger: new(ledger), perOp: perOp}
		x, err := NewExecutor(a, limits).Execute(RequestBlock{Height: 1, Time: second, Requests: requests})
		require.NoError(t, err)
		return a, x.Replies
	}
	a, replies := run(true)
	require.LessOrEqual(t, a.most, int(limits.MaxCacheBytes)+1000*len(requests))
	of := func(r Reply) (lengths []int) {
		for _, res := range r.Results {
			if res.Code == CodeResultTooLarge {
				lengths = append(lengths, -1)
			} else {
				lengths = append(lengths, len(res.Data))
			}
		}
		return lengths
	}
	// The first is over the bound of one, three are what the request may have beside the
	// second; all else in it is dropped.
	require.Equal(t, []int{-1, 1000, 5000, 5000, 5000, -1}, of(replies[0])[:6])
	require.Len(t, replies[0].Results, 102)
	for i, r := range replies[1:] {
		want := []int{6000, 1000} // small ones are always there
		if i >= 5 {
			want[0] = -1
		}
		require.Equal(t, want, of(r), "request %d", i)
	}
	careless, same := run(false)
	require.Equal(t, replies, same)
	require.Greater(t, careless.most, 500_000)

	// The next block has room again.
	e := NewExecutor(&talker{ledger: new(ledger), perOp: true}, limits)
	for height := range 3 {
		x, err := e.Execute(RequestBlock{Height: uint64(height) + 1, Time: second, Requests: []Request{
			request(1, uint64(height)+1, 1, 50, "123456", "123456", "123456"),
			request(2, uint64(height)+1, 1, 50, "123456", "123456", "123456"),
			request(3, uint64(height)+1, 1, 50, "123456", "123456", "123456"),
		}})
		require.NoError(t, err)
		for i, want := range [][]int{{6000, 6000, 6000}, {6000, 6000, 6000}, {6000, 6000, -1}} {
			require.Equal(t, want, of(x.Replies[i]))
		}
	}
}
