package replica

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// turnTest is the turns with some clients, of whom a holds what it has not read.
func turnTest(most int, patience time.Duration) (turns *answerTurns, a, b crypto.PublicKey) {
	return &answerTurns{most: most, limit: 64 << 10, patience: patience}, crypto.PublicKey{1}, crypto.PublicKey{2}
}

// unmarked lets the turns be without anything of a client.
func (t *answerTurns) unmarked() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.clients) == 0
}

// A client that does not read does not fill the room for the answers to all, however many calls
// it has.
func TestAnswersToOneClientDoNotTakeTheRoom(t *testing.T) {
	c := newClientTestCluster(t, nil)
	const calls, room = 8, 4 // calls that are not read would fill the room twice
	s := startClientServer(t, c, longAnswers(), func(l *ClientLimits) {
		l.WatchBytes, l.CallTimeout, l.ConnectionsPerClient = room*feed.PieceBytes, time.Hour, calls
	})
	turns := &s.service.answers
	for range calls {
		unread(t, c, s, 1)
	}
	turns.eventually(t, func(making, waiting, bytes int) bool {
		return making == 0 && waiting == calls-1 && bytes > feed.PieceBytes && bytes < 2*feed.PieceBytes
	})
	p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(2)))
	for range 3 {
		_, err := p.Changes(testContext(t), new(api.ChangesRequest))
		require.NoError(t, err)
	}
}

// A client begins no answer while more than its share is unread, or another is being made, and
// is told so. Others do.
func TestAnswersHaveShares(t *testing.T) {
	turns, a, b := turnTest(math.MaxInt, time.Millisecond)
	ctx := context.Background()
	first, second, other := &answerTurn{turns: turns, client: a}, &answerTurn{turns: turns, client: a}, &answerTurn{turns: turns, client: b}
	require.NoError(t, first.begin(ctx))
	require.Equal(t, codes.ResourceExhausted, status.Code(second.begin(ctx)), "one is being made")
	first.end()
	turns.now(a, answerShare{bytes: turns.limit/answerShares - 1})
	require.NoError(t, second.begin(ctx), "nobody else waits, and there is room in its share")
	second.end()
	turns.now(a, answerShare{bytes: 1})
	err := second.begin(ctx)
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.ErrorContains(t, err, "2048 bytes of answers to you are unread")
	require.NoError(t, other.begin(ctx))
	other.end()
	turns.now(a, answerShare{bytes: -turns.limit / answerShares})
	require.NoError(t, second.begin(ctx))
	second.end()
	require.True(t, idle(turns.state()))
	require.True(t, turns.unmarked())
}

// order has clients wait one after the other, and is the order in which they have their turns.
func (t *answerTurns) order(test *testing.T, clients ...crypto.PublicKey) (order []crypto.PublicKey) {
	turn := make(chan crypto.PublicKey, len(clients))
	for i, client := range clients {
		go func() {
			if t.enter(context.Background(), client) {
				turn <- client
			}
		}()
		t.eventually(test, func(_, waiting, _ int) bool { return waiting == i+1 })
	}
	busy := crypto.PublicKey{0xff}
	for range clients {
		t.now(busy, answerShare{making: -1})
		busy = <-turn
		order = append(order, busy)
	}
	t.now(busy, answerShare{making: -1})
	return order
}

// Who has unread bytes comes after all who have none, who come in their order.
func TestAnswersToThoseWhoReadComeFirst(t *testing.T) {
	turns, a, b := turnTest(1, time.Hour)
	c := crypto.PublicKey{3}
	require.True(t, turns.enter(context.Background(), crypto.PublicKey{0xff}))
	turns.now(a, answerShare{bytes: 1})
	require.Equal(t, []crypto.PublicKey{b, c, a}, turns.order(t, a, b, c))
	turns.now(a, answerShare{bytes: -1})
	require.True(t, turns.unmarked())
}

// Who lost its connection and comes back comes after the others for a while, and leaves them half
// of the room.
func TestAnswersToTheSlowComeLast(t *testing.T) {
	turns, a, b := turnTest(1, time.Hour)
	require.True(t, turns.enter(context.Background(), crypto.PublicKey{0xff}))
	turns.now(a, answerShare{slow: 1})
	require.Equal(t, []crypto.PublicKey{b, a}, turns.order(t, a, b))

	others := crypto.PublicKey{4}
	turns.now(others, answerShare{bytes: turns.limit / 2})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.False(t, turns.enter(gone, a))
	require.True(t, turns.enter(context.Background(), b))
	turns.now(b, answerShare{making: -1})
	turns.now(others, answerShare{bytes: -1})
	require.True(t, turns.enter(context.Background(), a))
	turns.now(a, answerShare{making: -1, slow: -1})
	turns.now(others, answerShare{bytes: 1 - turns.limit/2})
	require.True(t, turns.unmarked())
}

type closing func()

func (c closing) Close() error { c(); return nil }

// What an unread answer costs its client: the connection, and patience for a while.
func TestUnreadAnswersCostPatience(t *testing.T) {
	turns, a, _ := turnTest(1, time.Hour)
	ended, counted := 0, 0
	turn := &answerTurn{turns: turns, client: a, conn: closing(func() { ended++ }), slow: func() { counted++ }}
	require.NoError(t, turn.begin(context.Background()))
	l := turn.leaving(10)
	require.Equal(t, 10, turns.unread(a))
	require.True(t, l.timer.Stop())
	l.late()
	require.Equal(t, []int{1, 1}, []int{ended, counted})
	require.True(t, idle(turns.state()))
	require.Equal(t, answerShare{slow: 1}, *turns.clients[a])

	turns, a, _ = turnTest(1, time.Millisecond)
	turns.slow(a)
	require.Eventually(t, turns.unmarked, 20*time.Second, time.Millisecond)
}
