package replica

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/client/api"
)

// Answers about the feed are large, and each checkpoint makes one for all who wait. So that
// they are not all in memory at once, whoever answers a call waits for its turn:
//
//  1. A few answers are made at once, and none is begun while those that are made and have
//     not left take more than a number of bytes. Who waits has read nothing yet.
//  2. An answer counts with its bytes from when it is encoded until the last of them has been
//     given to the connection, or the connection or the call has ended.
//  3. A client that does not take its answer holds up others, so after a while its connection
//     is closed, as that of a session is that is not read.

// answerTurns are the turns of all calls.
type answerTurns struct {
	most     int // that are made at once
	limit    int // of the bytes of those that are made: beyond, none is begun
	patience time.Duration

	mu      sync.Mutex
	making  int
	bytes   int
	waiting []chan struct{} // first come, first served; closed when it is its turn
}

// open tells whether an answer may be begun. mu is held.
func (t *answerTurns) open() bool { return t.making < t.most && t.bytes < t.limit }

// pass lets those begin for whom there is room. mu is held.
func (t *answerTurns) pass() {
	for len(t.waiting) > 0 && t.open() {
		t.making++
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
	}
}

// enter waits for a turn, and returns false if none came in time.
func (t *answerTurns) enter(ctx context.Context) bool {
	t.mu.Lock()
	if len(t.waiting) == 0 && t.open() {
		t.making++
		t.mu.Unlock()
		return true
	}
	mine := make(chan struct{})
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, mine); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return false
	}
	return true // it came at the same moment
}

// made ends so many turns, and counts bytes of an answer that is made.
func (t *answerTurns) made(turns, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.making -= turns
	t.bytes += bytes
	t.pass()
}

// answerTurn is that of one call. A nil one waits for nothing.
type answerTurn struct {
	turns *answerTurns
	conn  io.Closer
	slow  func() // counts a client that does not take its answer
	mine  bool
}

type turnKey struct{}

// turnOf is the turn of the call with that context.
func turnOf(ctx context.Context) *answerTurn {
	t, _ := ctx.Value(turnKey{}).(*answerTurn)
	return t
}

// begin waits until an answer may be made. The error is one for the client.
func (t *answerTurn) begin(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if t.mine = t.turns.enter(ctx); t.mine {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.ResourceExhausted, "too many answers are on their way; try again")
}

// end gives the turn back: there is no answer, or not yet.
func (t *answerTurn) end() {
	if t != nil && t.mine {
		t.mine = false
		t.turns.made(1, 0)
	}
}

// turned is an answer with the turn in which it was made.
type turned struct {
	proto.Message
	turn *answerTurn
}

// answerCodec encodes answers of all kinds, and counts those that are made in turns.
type answerCodec struct{ encoding.CodecV2 }

func newAnswerCodec() encoding.CodecV2 { return answerCodec{api.Codec()} }

// Marshal implements encoding.CodecV2.
func (c answerCodec) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(*turned)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	defer a.turn.end()
	b, err := proto.Marshal(a.Message)
	if err != nil {
		return nil, err
	}
	if mem.IsBelowBufferPoolingThreshold(cap(b)) { // gRPC does not say when it is done with it
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return mem.BufferSlice{mem.NewBuffer(&b, a.turn.leaving(len(b)))}, nil
}

// leaving is an answer that is made and has not left. gRPC takes it for the pool that the
// answer's memory goes back to, so Put is called when it is done with that.
type leaving struct {
	turn  *answerTurn
	bytes int
	once  sync.Once
	timer *time.Timer
}

// leaving counts an answer until it has left.
func (t *answerTurn) leaving(bytes int) *leaving {
	l := &leaving{turn: t, bytes: bytes}
	turns := 0
	if t.mine {
		t.mine, turns = false, 1
	}
	t.turns.made(turns, bytes)
	l.timer = time.AfterFunc(4*t.turns.patience, func() {
		// gRPC forgets what waits in a connection that is gone, so that may be why.
		t.slow()
		_ = t.conn.Close()
		l.left()
	})
	return l
}

// left gives the bytes back.
func (l *leaving) left() { l.once.Do(func() { l.turn.turns.made(0, -l.bytes) }) }

// Get implements mem.BufferPool; it is not called.
func (l *leaving) Get(length int) *[]byte { b := make([]byte, length); return &b }

// Put implements mem.BufferPool.
func (l *leaving) Put(*[]byte) {
	l.timer.Stop()
	l.left()
}
