package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
)

// Transport is one connection to every replica, which any number of Clients share:
// see "Many clients in one process" in the package's notes. It is safe for
// concurrent use.
type Transport struct {
	cfg     TransportConfig
	key     crypto.PublicKey
	quorums *pbft.QuorumSystem
	lines   []*line
	favour  favourites
	cancels context.CancelFunc
	running sync.WaitGroup

	closing  sync.Once
	closeErr error
	carried  atomic.Int32 // clients

	mu      sync.Mutex
	closed  bool
	clients map[crypto.PublicKey]uint32 // what each is called on the lines
	last    uint32                      // the latest of those names
}

// TransportConfig says to which cluster a Transport leads. Roster is needed; every
// other field that is zero gets the default of the same field of [Config].
type TransportConfig struct {
	Roster *roster.Roster
	// Key authenticates the connections. By default it is a new one, which only a
	// cluster that serves anybody accepts; else it must be a key that the cluster
	// lists, such as that of one of the clients.
	Key        *ed25519.PrivateKey
	BackoffMin time.Duration
	BackoffMax time.Duration
	Dial       func(ctx context.Context, address string) (net.Conn, error)
	Logger     *slog.Logger
}

// NewTransport begins to connect, and does not wait for it: [Dial] does.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	if cfg.Roster == nil {
		return nil, configError("Roster", nil, "load the cluster file with roster.Load")
	}
	if err := checkAddresses(cfg.Roster); err != nil {
		return nil, err
	}
	if cfg.Key == nil {
		key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
		cfg.Key = key
	}
	if public := cfg.Key.Public(); !cfg.Roster.Admits(public) {
		return nil, fmt.Errorf("%w: the cluster file does not list the transport's key %s: set Key to that of a client that it lists", ErrNotAdmitted, public.Hex())
	}
	orDefault(&cfg.BackoffMin, 50*time.Millisecond)
	orDefault(&cfg.BackoffMax, max(5*time.Second, cfg.BackoffMin))
	orDefaultDial(&cfg.Dial)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	certificate, err := tlsid.Certificate(cfg.Key)
	if err != nil {
		return nil, err
	}
	quorums, err := pbft.NewQuorumSystem(cfg.Roster.Weights())
	if err != nil {
		return nil, err
	}
	t := &Transport{cfg: cfg, key: cfg.Key.Public(), quorums: quorums, clients: make(map[crypto.PublicKey]uint32)}
	t.favour = newFavourites(quorums, t.key)
	ctx, cancel := context.WithCancel(context.Background())
	t.cancels = cancel
	for id := range cfg.Roster.N() {
		l, err := newLine(t, pbft.ReplicaID(id), certificate)
		if err != nil {
			_ = t.Close()
			return nil, err
		}
		t.lines = append(t.lines, l)
	}
	for _, l := range t.lines {
		t.running.Go(func() { l.run(ctx) })
	}
	return t, nil
}

// Close ends the connections and waits for every goroutine. Close the Clients
// first: what is left of them reaches no replica any more. It may be called more than
// once.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancels()
	t.running.Wait()
	t.closing.Do(func() {
		var errs []error
		for _, l := range t.lines {
			errs = append(errs, l.conn.Close())
		}
		t.closeErr = errors.Join(errs...)
	})
	return t.closeErr
}

// add gives a client its links.
func (t *Transport) add(c *Client) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := c.signer.Public()
	if t.closed {
		return fmt.Errorf("%w: the transport is closed", ErrClosed)
	}
	if _, ok := t.clients[key]; ok {
		return configError("Key", key.Hex(), "another Client on this transport uses it: give each a key of its own")
	}
	name := uint32(0) // the connection's own key need not be attached
	if key != t.key {
		t.last++
		name = t.last
	}
	t.clients[key] = name
	t.carried.Store(int32(len(t.clients)))
	for _, l := range t.lines {
		c.links = append(c.links, &link{client: c, line: l, id: l.id, name: l.name, identity: name})
	}
	for _, k := range c.links {
		k.line.add(k)
	}
	return nil
}

// remove takes them away.
func (t *Transport) remove(c *Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.clients, c.signer.Public())
	t.carried.Store(int32(len(t.clients)))
	for _, k := range c.links {
		k.line.remove(k)
	}
}
