package replica

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
)

// Answers about the feed are large, and each checkpoint makes one for all who wait. So that
// they are not all in memory at once, whoever answers a call waits for its turn:
//
//  1. A few answers are made at once, and none is begun while those that are made and have
//     not left take more than a number of bytes. Who waits has read nothing yet.
//  2. An answer counts with its bytes from when it is encoded until the last of them has been
//     given to the connection, or the connection or the call has ended. gRPC says so by giving
//     the memory back, but for an answer to a call that its client ends while the answer is on
//     its way to the queue: see answerStats.
//  3. A client that does not take its answer holds up others, so after a while its connection
//     is closed, as that of a session is that is not read.
//  4. No client has the room alone, or a few of them. One that has unread bytes comes after all
//     that have none, and begins nothing while they are more than its share, or while another
//     answer to it is being made. One that lost its connection comes after the others for as
//     long again, and finds half of the room only.

// answerShares is how many shares the room for answers has: one is as much as a client may have
// unread when the next answer to it is begun.
const answerShares = 32

// answerTurns are the turns of all calls.
type answerTurns struct {
	most     int // that are made at once
	limit    int // of the bytes of those that are made: beyond, none is begun
	patience time.Duration

	mu      sync.Mutex
	making  int
	bytes   int
	clients map[crypto.PublicKey]*answerShare // with answers, or without patience
	waiting []*answerWait                     // in the order in which they came
}

// answerShare is what one client has of the turns.
type answerShare struct {
	making int
	bytes  int
	slow   int // answers that it did not take in time, for as long again
}

type answerWait struct {
	client crypto.PublicKey
	turn   chan struct{} // closed when it is its turn
}

// next is which of those who wait has its turn, -1 if nobody may begin now. mu is held.
func (t *answerTurns) next() int {
	if t.making >= t.most || t.bytes >= t.limit {
		return -1
	}
	share, first := max(1, t.limit/answerShares), -1
	for i, w := range t.waiting {
		c := t.clients[w.client]
		if c == nil {
			return i
		}
		if first < 0 && c.making == 0 && c.bytes < share && (c.slow == 0 || t.bytes < t.limit/2) {
			first = i
		}
	}
	return first
}

// pass lets those begin for whom there is room. mu is held.
func (t *answerTurns) pass() {
	for i := t.next(); i >= 0; i = t.next() {
		w := t.waiting[i]
		t.waiting = slices.Delete(t.waiting, i, i+1)
		t.change(w.client, answerShare{making: 1})
		close(w.turn)
	}
}

// change adds to what a client has. mu is held.
func (t *answerTurns) change(client crypto.PublicKey, by answerShare) {
	t.making += by.making
	t.bytes += by.bytes
	c := t.clients[client]
	if c == nil {
		c = new(answerShare)
		if t.clients == nil {
			t.clients = make(map[crypto.PublicKey]*answerShare)
		}
		t.clients[client] = c
	}
	c.making += by.making
	c.bytes += by.bytes
	c.slow += by.slow
	if *c == (answerShare{}) {
		delete(t.clients, client)
	}
}

// enter waits for a turn, and returns false if none came in time.
func (t *answerTurns) enter(ctx context.Context, client crypto.PublicKey) bool {
	w := &answerWait{client, make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.pass()
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	select {
	case <-w.turn:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return false
	}
	return true // it came at the same moment
}

// now changes what a client has, and lets those begin for whom there is room then.
func (t *answerTurns) now(client crypto.PublicKey, by answerShare) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(client, by)
	t.pass()
}

// slow notes for a while that a client did not take an answer in time.
func (t *answerTurns) slow(client crypto.PublicKey) {
	t.now(client, answerShare{slow: 1})
	time.AfterFunc(4*t.patience, func() { t.now(client, answerShare{slow: -1}) })
}

// unread is how many bytes a client has not taken yet.
func (t *answerTurns) unread(client crypto.PublicKey) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[client]; c != nil {
		return c.bytes
	}
	return 0
}

// answerTurn is that of one call. A nil one waits for nothing.
type answerTurn struct {
	turns  *answerTurns
	client crypto.PublicKey
	conn   io.Closer
	slow   func() // counts a client that does not take its answer
	mine   bool
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
	if t.mine = t.turns.enter(ctx, t.client); t.mine {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	if n := t.turns.unread(t.client); n > 0 {
		return status.Errorf(codes.ResourceExhausted, "%d bytes of answers to you are unread; read them and try again", n)
	}
	return status.Error(codes.ResourceExhausted, "too many answers are on their way; try again")
}

// end gives the turn back: there is no answer, or not yet.
func (t *answerTurn) end() {
	if t != nil && t.mine {
		t.mine = false
		t.turns.now(t.client, answerShare{making: -1})
	}
}

// turned is an answer with the turn in which it was made.
type turned struct {
	proto.Message
	turn    *answerTurn
	leaving *leaving // from when it is encoded, nil if it is short
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
	a.leaving = a.turn.leaving(len(b))
	return mem.BufferSlice{mem.NewBuffer(&b, a.leaving)}, nil
}

// answerStats is told by gRPC what it sends. It finds the answers of which gRPC does not say that
// it is done with them:
//
//  1. The answer is encoded and counts. gRPC sees that the call goes on, and writes the headers.
//  2. The client ends the call. Its stream is closed, its context canceled, and what its queue
//     holds is dropped and given back.
//  3. Only then gRPC queues the answer. The loop that writes finds no such stream, and forgets it.
//
// So an answer whose call is canceled by when it is queued is gone. If the call is canceled later,
// step 2 finds the answer in the queue. (A call whose deadline has passed proves nothing: its stream
// stays until the client ends it.)
type answerStats struct{}

// HandleRPC implements stats.Handler.
func (answerStats) HandleRPC(ctx context.Context, s stats.RPCStats) {
	out, ok := s.(*stats.OutPayload)
	if !ok || !errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	if a, ok := out.Payload.(*turned); ok && a.leaving != nil {
		a.leaving.Put(nil)
	}
}

// TagRPC implements stats.Handler.
func (answerStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (answerStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (answerStats) HandleConn(context.Context, stats.ConnStats) {}

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
	by := answerShare{bytes: bytes}
	if t.mine {
		t.mine, by.making = false, -1
	}
	t.turns.now(t.client, by)
	l.timer = time.AfterFunc(4*t.turns.patience, l.late)
	return l
}

// late ends the connection of a client that does not take the answer.
func (l *leaving) late() {
	// gRPC forgets what waits in a connection that is gone, so that may be why.
	t := l.turn
	t.slow()
	t.turns.slow(t.client)
	_ = t.conn.Close()
	l.left()
}

// left gives the bytes back.
func (l *leaving) left() {
	l.once.Do(func() { l.turn.turns.now(l.turn.client, answerShare{bytes: -l.bytes}) })
}

// Get implements mem.BufferPool; it is not called.
func (l *leaving) Get(length int) *[]byte { b := make([]byte, length); return &b }

// Put implements mem.BufferPool.
func (l *leaving) Put(*[]byte) {
	l.timer.Stop()
	l.left()
}
