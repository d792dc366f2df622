package statemachine

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// PROTOCOL 4.2 (a): a flood of new keys evicts a session, and the old signed
// request is ordered again.
func TestTraceEvictedReplay(t *testing.T) {
	c := newChain(t, testLimits()) // 4 sessions
	pay := request(1, 1, 1, 50, "pay 10")
	require.Equal(t, Executed, c.status(10, pay))

	// While the request can still be replayed, the flood cannot push it out.
	for k := 2; k <= 4; k++ {
		require.Equal(t, Executed, c.status(10, request(k, 1, 1, 90, "flood")))
	}
	require.Equal(t, Busy, c.status(50, request(5, 1, 1, 90, "flood")), "no session is evictable at its deadline")
	require.Equal(t, Duplicate, c.status(50, pay))

	require.Equal(t, Executed, c.status(51, request(5, 1, 1, 90, "flood")), "client 1 makes room")
	require.Equal(t, 4, c.Sessions())
	require.Equal(t, Forgotten, c.status(52, pay), "it ran, and nobody may be told that it did not")
	require.Equal(t, Forgotten, c.status(200, pay))
	require.Equal(t, Expired, c.status(200, request(1, 2, 1, 95, "late")), "a later deadline cannot have run in the evicted session")
	require.Equal(t, []string{"0000:pay 10"}, c.app.ran[:1])
	for _, ran := range c.app.ran[1:] {
		require.NotContains(t, ran, "pay 10")
	}
}

// PROTOCOL 4.2 (b): several in flight, ordered in another order.
func TestTraceOutOfOrderSeq(t *testing.T) {
	c := newChain(t, testLimits())
	require.Equal(t, Executed, c.status(1, request(1, 6, 5, 50, "six")))
	require.Equal(t, Executed, c.status(2, request(1, 5, 5, 50, "five")))
	require.Equal(t, Duplicate, c.status(3, request(1, 6, 5, 50, "six")))
	require.Equal(t, Duplicate, c.status(3, request(1, 5, 5, 50, "five")))
	require.Equal(t, Forgotten, c.status(3, request(1, 4, 1, 50, "four")), "given up by low=5")
	require.Equal(t, []string{"0000:six", "0000:five"}, c.app.ran)
}

// PROTOCOL 4.2 (c): one number, two contents.
func TestTraceTwoContents(t *testing.T) {
	c := newChain(t, testLimits())
	a, b := request(1, 1, 1, 50, "a"), request(1, 1, 1, 50, "b")
	replies := c.run(1, a, b, a)
	require.Equal(t, []Status{Executed, Conflict, Duplicate}, []Status{replies[0].Status, replies[1].Status, replies[2].Status})
	require.Equal(t, replies[0].Results, replies[2].Results)
	require.Equal(t, replies[0].Digest(), replies[2].Digest())
	require.Nil(t, replies[1].Results)
	require.Equal(t, Conflict, c.status(60, b), "known to be another even after its deadline")
	require.Equal(t, Duplicate, c.status(60, a), "the answer does not expire with the request")
	_, known := c.Lookup(client(1), 1, b.Digest)
	require.False(t, known)
	_, known = c.Lookup(client(2), 1, a.Digest)
	require.False(t, known)
	got, known := c.Lookup(client(1), 1, a.Digest)
	require.True(t, known)
	require.Equal(t, replies[0].Digest(), got.Digest())
	require.Equal(t, -1, got.Leaf)
}

func TestDeadlines(t *testing.T) {
	c := newChain(t, testLimits()) // MaxLife 100 s
	require.Equal(t, Early, c.status(10, request(1, 1, 1, 111, "x")))
	require.Equal(t, Executed, c.status(10, request(1, 1, 1, 110, "x")), "not consumed by the refusal")
	require.Equal(t, Executed, c.status(20, request(1, 2, 1, 20, "at its deadline")))
	require.Equal(t, Expired, c.status(20, request(1, 3, 1, 19, "past it")))
	require.Equal(t, Executed, c.status(20, request(1, 3, 1, 60, "three")))
	forever := request(2, 1, 1, 0, "x")
	forever.Deadline = math.MaxUint64
	require.Equal(t, Early, c.status(20, forever))
}

func TestWindow(t *testing.T) {
	c := newChain(t, testLimits())
	require.Equal(t, Window, c.status(1, request(1, 65, 1, 50, "x")))
	require.Equal(t, 0, c.Sessions(), "a refusal makes no session")
	require.Equal(t, Executed, c.status(1, request(1, 64, 1, 50, "x")))
	require.Equal(t, Window, c.status(1, request(1, 65, 1, 50, "x")))
	require.Equal(t, Executed, c.status(1, request(1, 65, 2, 50, "x")), "low counts first: 1 is given up")
	require.Equal(t, Forgotten, c.status(1, request(1, 1, 1, 50, "x")))
	require.Equal(t, Executed, c.status(1, request(1, 1<<40, 1<<40, 50, "far")), "a client may leave numbers out")
	require.Equal(t, Forgotten, c.status(1, request(1, 1<<40-1, 1, 50, "x")))
}

// A client whose first request expired while the whole window above it ran must
// get on: the letter of R17 would stop it for ever.
func TestExpiredFirstRequestDoesNotStopTheClient(t *testing.T) {
	c := newChain(t, testLimits())
	for seq := uint64(2); seq <= 65; seq++ {
		require.Equal(t, Executed, c.status(1, request(1, seq, 2, 50, "x")), seq)
	}
	require.Equal(t, Executed, c.status(1, request(1, 66, 2, 50, "x")))
}

func TestNumbersAtTheEnd(t *testing.T) {
	c := newChain(t, testLimits())
	const last = math.MaxUint64
	require.Equal(t, Executed, c.status(1, request(1, last-1, last, 50, "x")), "low above seq counts as seq")
	require.Equal(t, Executed, c.status(1, request(1, last, last, 50, "y")))
	require.Equal(t, Duplicate, c.status(1, request(1, last, last, 50, "y")))
	require.Equal(t, Forgotten, c.status(1, request(1, 1, 1, 50, "x")), "this client has used up its numbers")
	require.Equal(t, Forgotten, c.status(1, request(1, 0, 0, 50, "zero")))
	require.Equal(t, Executed, c.status(1, request(2, 1, 1, 50, "x")), "nobody else is concerned")
	require.Equal(t, Forgotten, c.status(1, request(3, 0, 0, 50, "zero")))
}

// A client that never raises low keeps going, and gets its latest answers.
func TestAnswersOfAClientThatNeverRaisesLow(t *testing.T) {
	c := newChain(t, testLimits())
	for seq := uint64(1); seq <= 200; seq++ {
		require.Equal(t, Executed, c.status(1, request(1, seq, 0, 50, "x")))
	}
	for seq := uint64(1); seq <= 200; seq++ {
		want := Duplicate
		if seq <= 200-64 {
			want = Forgotten
		}
		require.Equal(t, want, c.status(1, request(1, seq, 0, 50, "x")), seq)
	}
}

func TestLowDropsAnswers(t *testing.T) {
	c := newChain(t, testLimits())
	for seq := uint64(1); seq <= 10; seq++ {
		c.run(1, request(1, seq, 1, 50, "x"))
	}
	c.run(1, request(1, 11, 8, 50, "x"))
	require.Equal(t, Forgotten, c.status(1, request(1, 7, 1, 50, "x")))
	require.Equal(t, Duplicate, c.status(1, request(1, 8, 1, 50, "x")))
}

// In one block: a request, and a later one of the client that gives its answer up.
func TestAnswerDroppedInTheBlockThatRanIt(t *testing.T) {
	c := newChain(t, testLimits())
	replies := c.run(1, request(1, 1, 1, 50, "a"), request(1, 2, 2, 50, "b"), request(1, 1, 1, 50, "a"))
	require.Equal(t, Executed, replies[0].Status)
	require.Len(t, replies[0].Results, 1)
	require.Equal(t, Forgotten, replies[2].Status)
	require.Equal(t, answerSize(replies[1].Results), c.table.cached)
}

func TestEvictionOrder(t *testing.T) {
	c := newChain(t, testLimits())
	// The deadline of client 2 is raised by a second request; 1 and 3 tie.
	c.run(1, request(3, 1, 1, 30, "x"), request(2, 1, 1, 20, "x"), request(1, 1, 1, 30, "x"), request(4, 1, 1, 60, "x"))
	c.run(1, request(2, 2, 1, 40, "x"))
	evicts := func(newcomer int) (gone []int) {
		before := make(map[int]bool)
		for k := 1; k < 20; k++ {
			before[k] = c.table.byKey[client(k)] != nil
		}
		require.Equal(t, Executed, c.status(41, request(newcomer, 1, 1, 100, "x")))
		for k := 1; k < 20; k++ {
			if before[k] && c.table.byKey[client(k)] == nil {
				gone = append(gone, k)
			}
		}
		return gone
	}
	require.Equal(t, []int{1}, evicts(11))
	require.Equal(t, []int{3}, evicts(12))
	require.Equal(t, []int{2}, evicts(13))
	require.Equal(t, Busy, c.status(41, request(14, 1, 1, 100, "x")))
}

// An evicted client goes on with its numbers.
func TestNumberingGoesOnAfterEviction(t *testing.T) {
	l := testLimits()
	l.MaxSessions = 1
	c := newChain(t, l)
	for seq := uint64(1); seq <= 100; seq++ {
		c.run(1, request(1, seq, seq, 10, "x"))
	}
	require.Equal(t, Executed, c.status(11, request(2, 1, 1, 11, "x")))
	require.Equal(t, Executed, c.status(12, request(1, 101, 101, 20, "x")))
}

func TestCacheIsBounded(t *testing.T) {
	l := testLimits()
	l.MaxResultBytes, l.MaxReplyBytes = 64, 64
	l.MaxCacheBytes = 5 * (EntryOverhead + resultOverhead + 8)
	c := newChain(t, l)
	for k := 1; k <= 4; k++ {
		c.run(1, request(k, 1, 1, 50, "x"), request(k, 2, 1, 50, "x"))
	}
	require.Equal(t, l.MaxCacheBytes, c.table.cached)
	for k := 1; k <= 4; k++ {
		for seq := uint64(1); seq <= 2; seq++ {
			want := Duplicate
			if (k-1)*2+int(seq) <= 3 {
				want = Forgotten
			}
			require.Equal(t, want, c.status(1, request(k, seq, 1, 50, "x")), fmt.Sprintf("client %d seq %d", k, seq))
		}
	}
}

func TestResultsAreBounded(t *testing.T) {
	c := newChain(t, testLimits())
	r := c.run(1, request(1, 1, 1, 50, "big", "x"))[0]
	require.Equal(t, CodeResultTooLarge, r.Results[0].Code)
	require.Empty(t, r.Results[0].Data)
	require.Equal(t, CodeOK, r.Results[1].Code)
}

func TestLimitsValidate(t *testing.T) {
	require.NoError(t, DefaultLimits().Validate())
	for name, change := range map[string]func(*Limits){
		"MaxInFlight":    func(l *Limits) { l.MaxInFlight = 65 },
		"MaxLife":        func(l *Limits) { l.MaxLife = time.Millisecond },
		"MaxSessions":    func(l *Limits) { l.MaxSessions = 0 },
		"MaxResultBytes": func(l *Limits) { l.MaxResultBytes = 1 << 30 },
		"MaxReplyBytes":  func(l *Limits) { l.MaxReplyBytes = 1 },
		"MaxCacheBytes":  func(l *Limits) { l.MaxCacheBytes = 1 },
	} {
		l := DefaultLimits()
		change(&l)
		require.ErrorIs(t, l.Validate(), ErrLimits)
		require.ErrorContains(t, l.Validate(), name)
		require.NotEqual(t, DefaultLimits().Digest(), l.Digest(), name)
	}
}
