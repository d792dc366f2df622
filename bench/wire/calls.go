package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A call is a frame of its number (8 bytes), its kind, and a body; the reply has the
// same number, a status instead of the kind, and a body.
const callHead = 9

// The kinds of calls.
const (
	KindPropose = 0
	KindLeader  = 1 // replies with the leader's replica number, 0 if that is unknown
)

const (
	statusOK  = 0
	statusBad = 1
)

// Replica is what a library's replica offers its clients.
type Replica interface {
	// Propose returns when the command was executed, with its result.
	Propose(command []byte) ([]byte, error)
	Leader() uint64
}

// ServeCalls serves clients until listening fails.
func ServeCalls(address string, r Replica) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveConnection(c, r)
	}
}

func serveConnection(c net.Conn, r Replica) {
	q := NewQueue()
	go func() { _ = q.Run(c); _ = c.Close() }()
	defer q.Close()
	_ = ReadFrames(c, func(b []byte) {
		if len(b) < callHead {
			return
		}
		if b[8] == KindLeader {
			q.Put(b[:8], []byte{statusOK}, binary.BigEndian.AppendUint64(nil, r.Leader()))
			return
		}
		go func() {
			result, err := r.Propose(b[callHead:])
			if err != nil {
				q.Put(b[:8], []byte{statusBad}, []byte(err.Error()))
				return
			}
			q.Put(b[:8], []byte{statusOK}, result)
		}()
	})
}

// CallClient is a connection to one replica. It is safe for concurrent use.
type CallClient struct {
	conn net.Conn
	out  *Queue
	next atomic.Uint64
	gone chan struct{}
	once sync.Once

	mu      sync.Mutex
	waiting map[uint64]chan []byte
}

// DialCalls connects to a replica.
func DialCalls(address string, patience time.Duration) (*CallClient, error) {
	conn, err := dialPatiently(address, patience)
	if err != nil {
		return nil, err
	}
	c := &CallClient{conn: conn, out: NewQueue(), gone: make(chan struct{}), waiting: make(map[uint64]chan []byte)}
	go func() { _ = c.out.Run(conn) }()
	go func() {
		_ = ReadFrames(conn, c.reply)
		c.Close()
	}()
	return c, nil
}

func (c *CallClient) reply(b []byte) {
	if len(b) < callHead {
		return
	}
	id := binary.BigEndian.Uint64(b)
	c.mu.Lock()
	ch := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if ch != nil {
		ch <- b[8:]
	}
}

// Close ends the connection, and the calls under way with net.ErrClosed.
func (c *CallClient) Close() {
	c.once.Do(func() {
		close(c.gone)
		c.out.Close()
		_ = c.conn.Close()
	})
}

// Do makes a call and returns the body of its reply.
func (c *CallClient) Do(ctx context.Context, kind byte, body []byte) ([]byte, error) {
	id := c.next.Add(1)
	ch := make(chan []byte, 1)
	c.mu.Lock()
	c.waiting[id] = ch
	c.mu.Unlock()
	c.out.Put(binary.BigEndian.AppendUint64(nil, id), []byte{kind}, body)
	var err error
	select {
	case b := <-ch:
		if b[0] != statusOK {
			return nil, errors.New(string(b[1:]))
		}
		return b[1:], nil
	case <-c.gone:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
	return nil, err
}

// AskLeader asks the replica who leads, 0 if it does not know.
func (c *CallClient) AskLeader(ctx context.Context) (uint64, error) {
	b, err := c.Do(ctx, KindLeader, nil)
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}
