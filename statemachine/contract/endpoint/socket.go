package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
	"github.com/gorilla/websocket"
)

// sockets are the WebSockets that are open. Their frames are read here and not by package
// rpc, because a batch is looked at before its calls are answered (see batch), and because
// whoever is at the other end of one that ends is to learn why.
type sockets struct {
	cfg      *Config
	rpc      *rpc.Server
	upgrader websocket.Upgrader

	mu   sync.Mutex
	open map[string]*socket // by name
	last uint64             // number that a name was made of
}

func newSockets(cfg *Config, r *rpc.Server) *sockets {
	return &sockets{
		cfg: cfg, rpc: r, open: make(map[string]*socket),
		upgrader: websocket.Upgrader{
			ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: new(sync.Pool),
			CheckOrigin: func(*http.Request) bool { return true }, // guard looks at origins, for all
		},
	}
}

// socket is one of them, as package rpc wants a stream of JSON: each write is a message.
type socket struct {
	conn *websocket.Conn
	name string
	cfg  *Config
	rest []byte // of the frame that is being read
	ends sync.Once

	mu    sync.Mutex
	noted []*batch // of which not every transaction has been asked for, oldest first
	size  int      // of these
}

const (
	// pingEvery is how long a connection is silent before the other end is asked whether it
	// is there, and pongWithin how long it may take to say so.
	pingEvery  = 30 * time.Second
	pongWithin = 30 * time.Second
)

// serve serves a WebSocket until it ends, or the state is another one: what was told over
// it may have been wrong, and blocks may come that were told already or are left out.
// Whoever is at the other end learns that, and begins anew, here or at another replica.
func (s *sockets) serve(interrupted <-chan struct{}, w http.ResponseWriter, r *http.Request) {
	conn, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // which has been answered
	}
	c := s.enter(conn, r.RemoteAddr)
	defer s.leave(c)
	done := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() { c.attend(interrupted, done) })
	s.rpc.ServeCodec(rpc.NewCodec(c), 0) // until the connection ends
	close(done)
	beside.Wait()
}

func (s *sockets) enter(conn *websocket.Conn, from string) *socket {
	c := &socket{conn: conn, cfg: s.cfg}
	conn.SetReadLimit(int64(s.cfg.MaxBodyBytes))
	c.heard()
	conn.SetPongHandler(func(string) error { c.heard(); return nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	c.name = fmt.Sprintf("socket %d of %s", s.last, from)
	s.open[c.name] = c
	return c
}

func (s *sockets) leave(c *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c.name)
}

// stop ends all of them beside each other: package rpc would close one after the other, and wait
// for each whose other end does not read.
func (s *sockets) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range s.open {
		all.Go(func() { c.close(websocket.CloseGoingAway, "this endpoint stops: ask another replica, or again later") })
	}
	all.Wait()
}

// of returns the socket that a call came over, or nil. The address of the other end is the
// one thing that package rpc tells a call of its connection, so it is the socket's name.
func (s *sockets) of(ctx context.Context) *socket {
	name := rpc.PeerInfoFromContext(ctx).RemoteAddr
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[name]
}

// attend asks now and then whether the other end is there, and ends the connection when
// the state becomes another one.
func (c *socket) attend(interrupted, done <-chan struct{}) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case <-interrupted:
			c.end(cutReason)
			return
		case <-ping.C:
			_ = c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(cutPatience))
		case <-done:
			return
		}
	}
}

// heard notes that the other end is there. Only who reads calls it.
func (c *socket) heard() { _ = c.conn.SetReadDeadline(time.Now().Add(pingEvery + pongWithin)) }

// broken takes the place of a frame that is no JSON: the end of one could complete the
// beginning of another, and nobody would learn that something was wrong.
var broken = []byte("?")

// Read returns the frames, one after the other.
func (c *socket) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		_, frame, err := c.conn.ReadMessage()
		if err != nil {
			return 0, io.EOF // whatever it is, nothing comes any more
		}
		c.heard()
		if !json.Valid(frame) {
			frame = broken
		}
		c.note(frame)
		c.rest = frame
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write sends a message.
func (c *socket) Write(message []byte) (int, error) {
	if err := c.conn.WriteMessage(websocket.TextMessage, message); err != nil {
		return 0, err
	}
	return len(message), nil
}

// SetWriteDeadline is for the next message.
func (c *socket) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

// RemoteAddr is the socket's name.
func (c *socket) RemoteAddr() string { return c.name }

// Close ends the connection as usual.
func (c *socket) Close() error {
	c.close(websocket.CloseNormalClosure, "")
	return nil
}

const (
	// cutReason is why all that goes on ends when the state is another one.
	cutReason = "the state of this replica has been found wrong, or was replaced: ask another replica, or again later"
	// cutPatience is how long the other end may take to take up a reason.
	cutPatience = time.Second
	// maxReason is the room for a reason in a frame of control, beside a code.
	maxReason = 123
)

// end tells the other end why nothing more comes, and to try again, here or elsewhere.
func (c *socket) end(reason string) {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason-3], "") + "..."
	}
	c.close(websocket.CloseTryAgainLater, reason)
}

// close comes between two messages. One that is being written to somebody who does not
// read is not waited for.
func (c *socket) close(code int, reason string) {
	c.ends.Do(func() {
		_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(cutPatience))
		_ = c.conn.Close()
	})
}
