package outbound_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

var wide = outbound.Limits{Messages: 1000, Bytes: 16 << 20}

const size = outbound.MinFrame

func drain(q *outbound.Queue) (control, bulk []string) {
	for {
		pieces := q.Take(nil, size)
		if len(pieces) == 0 {
			return control, bulk
		}
		for _, p := range pieces {
			switch {
			case !p.Last():
			case p.Priority == transport.Control:
				control = append(control, string(p.Message))
			default:
				bulk = append(bulk, string(p.Message))
			}
		}
	}
}

func push(q *outbound.Queue, p transport.Priority, messages ...string) {
	for _, m := range messages {
		q.Push(p, []byte(m))
	}
}

func dropped(q *outbound.Queue, r transport.DropReason) uint64 {
	_, d := q.Status()
	return d[r]
}

func TestFullQueueDropsOldestControlAndNewestBulk(t *testing.T) {
	for name, l := range map[string]outbound.Limits{
		"by count": {Messages: 3, Bytes: 1000},
		"by bytes": {Messages: 1000, Bytes: 3},
	} {
		t.Run(name, func(t *testing.T) {
			q := outbound.New(l, l)
			push(q, transport.Control, "1", "2", "3", "4", "5")
			push(q, transport.Bulk, "1", "2", "3", "4", "5")
			require.EqualValues(t, 4, dropped(q, transport.DropQueueFull))
			control, bulk := drain(q)
			require.Equal(t, []string{"3", "4", "5"}, control)
			require.Equal(t, []string{"1", "2", "3"}, bulk)
		})
	}
}

func TestControlThatIsPartlySentIsNotDropped(t *testing.T) {
	q := outbound.New(outbound.Limits{Messages: 3, Bytes: 1 << 20}, wide)
	long := string(bytes.Repeat([]byte("l"), 3*size))
	push(q, transport.Control, long, "1", "2")
	pieces := q.Take(nil, size)
	require.Len(t, pieces, 1)
	require.False(t, pieces[0].Last())
	push(q, transport.Control, "3", "4")
	control, _ := drain(q)
	require.Equal(t, []string{long, "3", "4"}, control)
	require.EqualValues(t, 2, dropped(q, transport.DropQueueFull))
}

func TestNoRoomBesideAPartlySentMessage(t *testing.T) {
	q := outbound.New(outbound.Limits{Messages: 1, Bytes: 1 << 20}, wide)
	long := string(bytes.Repeat([]byte("l"), 3*size))
	push(q, transport.Control, long)
	q.Take(nil, size)
	push(q, transport.Control, "late")
	control, _ := drain(q)
	require.Equal(t, []string{long}, control)
	require.EqualValues(t, 1, dropped(q, transport.DropQueueFull))
}

func TestControlGoesFirst(t *testing.T) {
	q := outbound.New(wide, wide)
	push(q, transport.Bulk, "block")
	push(q, transport.Control, "vote")
	pieces := q.Take(nil, size)
	require.Len(t, pieces, 2)
	require.Equal(t, transport.Control, pieces[0].Priority)
}

func TestBulkMovesOnHoweverBusyControlIs(t *testing.T) {
	q := outbound.New(wide, wide)
	block := make([]byte, 10*size)
	q.Push(transport.Bulk, block)
	vote := make([]byte, 200)
	frames := 0
	for done := false; !done; frames++ {
		for range 100 { // more than a frame holds
			q.Push(transport.Control, vote)
		}
		total, bulk := 0, 0
		for _, p := range q.Take(nil, size) {
			total += p.Size() + outbound.PieceOverhead
			if p.Priority == transport.Bulk {
				bulk += p.Size()
				done = p.Last()
			}
		}
		require.Positive(t, bulk)
		require.LessOrEqual(t, total, size+size/4)
	}
	require.LessOrEqual(t, frames, 50)
}

func TestRewindStartsOver(t *testing.T) {
	q := outbound.New(wide, wide)
	q.Push(transport.Bulk, make([]byte, 2*size))
	require.Equal(t, 0, q.Take(nil, size)[0].Offset)
	require.NotZero(t, q.Take(nil, size)[0].Offset)
	q.Push(transport.Bulk, make([]byte, 2*size))
	q.Take(nil, size)
	q.Rewind()
	require.Equal(t, 0, q.Take(nil, size)[0].Offset)
}

func TestShutDropsUntilOpen(t *testing.T) {
	q := outbound.New(wide, wide)
	push(q, transport.Control, "1", "2")
	push(q, transport.Bulk, "3")
	q.Shut(transport.DropUnreachable)
	push(q, transport.Control, "4")
	require.Empty(t, q.Take(nil, size))
	require.EqualValues(t, 4, dropped(q, transport.DropUnreachable))
	q.Open()
	push(q, transport.Control, "5")
	control, _ := drain(q)
	require.Equal(t, []string{"5"}, control)
}

func TestRefusedMessages(t *testing.T) {
	q := outbound.New(outbound.Limits{Messages: 9, Bytes: 3}, wide)
	push(q, transport.Control, "")
	push(q, transport.Control, "long")
	q.Drop(transport.DropTooLarge)
	require.EqualValues(t, 1, dropped(q, transport.DropEmpty))
	require.EqualValues(t, 2, dropped(q, transport.DropTooLarge))
}

func TestReadySignalsAPush(t *testing.T) {
	q := outbound.New(wide, wide)
	require.Empty(t, q.Ready())
	push(q, transport.Bulk, "1", "2")
	require.Len(t, q.Ready(), 1)
}

// What waits is counted right and stays within the limits, and every message is
// sent, dropped or waiting.
func TestAccounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := outbound.Limits{
			Messages: rapid.IntRange(1, 20).Draw(t, "messages"),
			Bytes:    rapid.IntRange(1, 4*size).Draw(t, "bytes"),
		}
		q := outbound.New(limits, limits)
		pushed, sent := uint64(0), uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				p := transport.Priority(rapid.IntRange(0, 1).Draw(t, "priority"))
				n := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 3*size)).Draw(t, "length")
				q.Push(p, make([]byte, n))
				pushed++
			},
			"take": func(*rapid.T) {
				for _, p := range q.Take(nil, size) {
					if p.Last() {
						sent++
					}
				}
			},
			"rewind": func(*rapid.T) { q.Rewind() },
			"shut":   func(*rapid.T) { q.Shut(transport.DropUnreachable); q.Open() },
			"": func(t *rapid.T) {
				queued, dropped := q.Status()
				waiting := uint64(0)
				for _, l := range queued {
					if l.Messages > uint64(limits.Messages) || l.Bytes > uint64(limits.Bytes) {
						t.Fatalf("%+v waits, limits %+v", l, limits)
					}
					waiting += l.Messages
				}
				if pushed != sent+waiting+dropped.Total() {
					t.Fatalf("%d pushed, %d sent, %d waiting, %d dropped", pushed, sent, waiting, dropped.Total())
				}
			},
		})
	})
}

func BenchmarkPushTake(b *testing.B) {
	q := outbound.New(wide, wide)
	vote := make([]byte, 200)
	var pieces []outbound.Piece
	b.ReportAllocs()
	for b.Loop() {
		q.Push(transport.Control, vote)
		pieces = q.Take(pieces[:0], 64<<10)
	}
}
