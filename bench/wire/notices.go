package wire

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// NoticeServer is the replica's side: commands come in, and every connection is told
// the numbers of all commands that were executed.
type NoticeServer struct {
	mu    sync.Mutex
	conns map[*Queue]struct{}
}

// Listen serves clients in the background. onCommand is called on the goroutine of
// the connection.
func (s *NoticeServer) Listen(address string, onCommand func([]byte)) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.conns = make(map[*Queue]struct{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			q := NewQueue()
			s.mu.Lock()
			s.conns[q] = struct{}{}
			s.mu.Unlock()
			go func() { _ = q.Run(c); _ = c.Close() }()
			go func() {
				_ = ReadFrames(c, onCommand)
				s.mu.Lock()
				delete(s.conns, q)
				s.mu.Unlock()
				q.Close()
			}()
		}
	}()
	return nil
}

// Executed tells all clients that commands of these numbers were executed.
func (s *NoticeServer) Executed(ids []uint64) {
	frame := make([]byte, 0, 8*len(ids))
	for _, id := range ids {
		frame = binary.BigEndian.AppendUint64(frame, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for q := range s.conns {
		q.Put(frame)
	}
}

// NoticeClient sends commands to replicas and waits until enough of them have
// executed each.
type NoticeClient struct {
	need  int
	all   bool
	retry time.Duration
	queue []*Queue
	conns []net.Conn
	stop  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	waiting map[uint64]*notice
}

type notice struct {
	command []byte
	sent    time.Time
	said    uint64 // bits of the replicas that have executed it
	count   int
	done    chan struct{}
}

// NoticeConfig says how a client uses the replicas.
type NoticeConfig struct {
	Addresses []string
	Need      int           // replicas that must have executed a command
	All       bool          // send to all; else to one, by the command's number
	Retry     time.Duration // after which a command goes to all replicas
	Patience  time.Duration // for the connections
}

// DialNotices connects to all replicas.
func DialNotices(cfg NoticeConfig) (*NoticeClient, error) {
	c := &NoticeClient{need: cfg.Need, all: cfg.All, retry: cfg.Retry, waiting: make(map[uint64]*notice), stop: make(chan struct{})}
	for i, address := range cfg.Addresses {
		conn, err := dialPatiently(address, cfg.Patience)
		if err != nil {
			c.Close()
			return nil, err
		}
		q := NewQueue()
		c.queue, c.conns = append(c.queue, q), append(c.conns, conn)
		go func() { _ = q.Run(conn); q.Close() }()
		go func() {
			_ = ReadFrames(conn, func(b []byte) { c.executed(b, i) })
			q.Close()
		}()
	}
	go c.repeat()
	return c, nil
}

func dialPatiently(address string, patience time.Duration) (net.Conn, error) {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil || time.Now().After(end) {
			return conn, err
		}
	}
}

// executed takes a replica's notice.
func (c *NoticeClient) executed(ids []byte, replica int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(ids) >= 8; ids = ids[8:] {
		id := binary.BigEndian.Uint64(ids)
		n := c.waiting[id]
		if n == nil || n.said&(1<<replica) != 0 {
			continue
		}
		n.said |= 1 << replica
		if n.count++; n.count == c.need {
			delete(c.waiting, id)
			close(n.done)
		}
	}
}

// Do sends a command, whose number nobody else uses, and waits.
func (c *NoticeClient) Do(ctx context.Context, command []byte) error {
	id, _ := ID(command)
	n := &notice{command: command, sent: time.Now(), done: make(chan struct{})}
	c.mu.Lock()
	c.waiting[id] = n
	c.mu.Unlock()
	if c.all {
		c.broadcast(command)
	} else {
		c.queue[id%uint64(len(c.queue))].Put(command)
	}
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		return ctx.Err()
	}
}

func (c *NoticeClient) broadcast(command []byte) {
	for _, q := range c.queue {
		q.Put(command)
	}
}

// repeat sends what waits for too long to everybody.
func (c *NoticeClient) repeat() {
	ticker := time.NewTicker(c.retry / 4)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		c.mu.Lock()
		for _, n := range c.waiting {
			if now.Sub(n.sent) > c.retry {
				n.sent = now
				c.broadcast(n.command)
			}
		}
		c.mu.Unlock()
	}
}

// Close ends the connections.
func (c *NoticeClient) Close() {
	c.once.Do(func() {
		close(c.stop)
		for _, q := range c.queue {
			q.Close()
		}
		for _, conn := range c.conns {
			_ = conn.Close()
		}
	})
}
