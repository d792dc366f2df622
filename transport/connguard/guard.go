package connguard

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// Config says what a [Guard] lets in. All fields are needed, except where said.
type Config[Owner comparable] struct {
	// TLS is narrowed as by [Narrow].
	TLS *tls.Config
	// Protocol is what both ends must speak by ALPN, "h2" if it is empty.
	Protocol string
	// Identify names the owner of a connection during the handshake; an error refuses
	// it. It must be safe for concurrent use.
	Identify func(tls.ConnectionState) (Owner, error)
	// MaxHandshakes bounds connections that have not authenticated, and a quarter of it
	// those of one source.
	MaxHandshakes int
	// PerOwner bounds the authenticated connections of one owner. MaxConnections bounds
	// those of all: when they are as many, only who has one already gets another. 0: no
	// bound.
	PerOwner       int
	MaxConnections int
	// AcceptRate is how many connections of one source are accepted in a second,
	// AcceptBurst how many at once.
	AcceptRate  int
	AcceptBurst int
	// Refused hears of every connection that was not let in, or gave way before it had
	// authenticated. It must not block. Optional.
	Refused func(remote net.Addr, why Reason, err error)
}

// Guard is described at the top of the package. It is safe for concurrent use.
type Guard[Owner comparable] struct {
	cfg   Config[Owner]
	tls   *tls.Config
	inner credentials.TransportCredentials // for gRPC
	rates *buckets

	mu      sync.Mutex
	closed  bool
	waiting []*Conn[Owner] // not authenticated, oldest first
	owners  map[Owner][]*Conn[Owner]
	count   int // of owners' connections
	counts  Counts
}

// Conn is a connection that the guard watches; closing it also frees its place.
type Conn[Owner comparable] struct {
	net.Conn
	guard  *Guard[Owner]
	source string
	owner  Owner
	known  bool // owner is set; under the guard's lock
}

// Close closes the connection.
func (c *Conn[Owner]) Close() error {
	c.guard.forget(c)
	return c.Conn.Close()
}

// New returns a guard.
func New[Owner comparable](cfg Config[Owner]) *Guard[Owner] {
	identify := cfg.Identify
	narrow := Narrow(cfg.TLS, cmp.Or(cfg.Protocol, "h2"), func(s tls.ConnectionState) error {
		_, err := identify(s)
		return err
	})
	return &Guard[Owner]{
		cfg:    cfg,
		tls:    narrow,
		inner:  credentials.NewTLS(narrow),
		rates:  newBuckets(cfg.AcceptRate, cfg.AcceptBurst),
		owners: make(map[Owner][]*Conn[Owner]),
	}
}

// Listen returns l with its connections under the guard. Closing it closes l.
func (g *Guard[Owner]) Listen(l net.Listener) net.Listener { return listener[Owner]{l, g} }

type listener[Owner comparable] struct {
	net.Listener
	guard *Guard[Owner]
}

// Accept returns the next connection that is not closed at once.
func (l listener[Owner]) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.guard.admit(raw); c != nil {
			return c, nil
		}
	}
}

// Errors about connections that were refused.
var (
	errRate    = errors.New("too many connections from its address within a short time")
	errCrowded = errors.New("too many connections that have not authenticated: the oldest gave way")
	errFull    = errors.New("too many connections")
	errClosed  = errors.New("the connection was closed during its handshake")
)

func (g *Guard[Owner]) refuse(remote net.Addr, why Reason, err error) {
	g.mu.Lock()
	g.counts[why]++
	g.mu.Unlock()
	if g.cfg.Refused != nil {
		g.cfg.Refused(remote, why, err)
	}
}

// admit starts to watch a new connection, or closes it and returns nil.
func (g *Guard[Owner]) admit(raw net.Conn) net.Conn {
	c := &Conn[Owner]{Conn: raw, guard: g, source: sourceOf(raw.RemoteAddr())}
	if !g.rates.take(c.source, time.Now()) {
		_ = raw.Close()
		g.refuse(raw.RemoteAddr(), Rate, errRate)
		return nil
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		_ = raw.Close()
		return nil
	}
	g.waiting = append(g.waiting, c)
	victim := g.crowdedOut(c.source)
	g.mu.Unlock()
	if victim != nil {
		g.refuse(victim.RemoteAddr(), Crowded, errCrowded)
		_ = victim.Close()
	}
	return c
}

// crowdedOut returns who must give way now that a connection from source has come.
func (g *Guard[Owner]) crowdedOut(source string) *Conn[Owner] {
	same, oldest := 0, (*Conn[Owner])(nil)
	for _, w := range g.waiting {
		if w.source == source {
			if same++; oldest == nil {
				oldest = w
			}
		}
	}
	switch {
	case same > max(1, g.cfg.MaxHandshakes/4):
		return oldest
	case len(g.waiting) > g.cfg.MaxHandshakes:
		return g.waiting[0]
	}
	return nil
}

// without removes c from list and tells whether it was there.
func without[Owner comparable](list []*Conn[Owner], c *Conn[Owner]) ([]*Conn[Owner], bool) {
	for i, x := range list {
		if x == c {
			return append(list[:i], list[i+1:]...), true
		}
	}
	return list, false
}

func (g *Guard[Owner]) forget(c *Conn[Owner]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.known {
		g.waiting, _ = without(g.waiting, c)
		return
	}
	list, there := without(g.owners[c.owner], c)
	if !there {
		return // forgotten already
	}
	g.count--
	if len(list) == 0 {
		delete(g.owners, c.owner)
	} else {
		g.owners[c.owner] = list
	}
}

// authenticated moves c to the connections of its owner.
func (g *Guard[Owner]) authenticated(c *Conn[Owner], owner Owner) (Reason, error) {
	g.mu.Lock()
	var there bool
	if g.waiting, there = without(g.waiting, c); !there {
		g.mu.Unlock()
		return Handshake, errClosed
	}
	own := g.owners[owner]
	if g.cfg.MaxConnections > 0 && g.count >= g.cfg.MaxConnections && len(own) == 0 {
		g.mu.Unlock()
		return Full, errFull
	}
	// The one that gives way is forgotten at once: another that authenticates before it is
	// closed must not choose the same one.
	var victim *Conn[Owner]
	if len(own) >= g.cfg.PerOwner {
		victim, own = own[0], own[1:]
		g.count--
		g.counts[Superseded]++
	}
	c.known, c.owner = true, owner
	g.owners[owner] = append(own, c)
	g.count++
	g.mu.Unlock()
	if victim != nil {
		_ = victim.Close()
	}
	return 0, nil
}

// Close ends every connection, and every one that is still to come.
func (g *Guard[Owner]) Close() {
	g.mu.Lock()
	g.closed = true
	all := append([]*Conn[Owner](nil), g.waiting...)
	for _, list := range g.owners {
		all = append(all, list...)
	}
	g.mu.Unlock()
	closeAll(all)
}

// Cut ends the connections of one owner.
func (g *Guard[Owner]) Cut(owner Owner) {
	g.mu.Lock()
	all := append([]*Conn[Owner](nil), g.owners[owner]...)
	g.mu.Unlock()
	closeAll(all)
}

func closeAll[Owner comparable](all []*Conn[Owner]) {
	for _, c := range all {
		_ = c.Close()
	}
}

// Stats is what a guard sees now and has counted since it was made.
type Stats struct {
	Waiting       int    // connections that have not authenticated
	Authenticated int    // connections that have
	Counts        Counts // closed by the guard, by reason
}

// Stats returns a snapshot.
func (g *Guard[Owner]) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{Waiting: len(g.waiting), Authenticated: g.count, Counts: g.counts}
}

// Connections returns how many authenticated connections an owner has.
func (g *Guard[Owner]) Connections(owner Owner) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.owners[owner])
}

// foreign is the error about a connection that did not come through Listen.
func foreign(raw net.Conn) error {
	return fmt.Errorf("connection of type %T did not come through the guard", raw)
}
