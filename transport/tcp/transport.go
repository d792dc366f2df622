package peertcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/connguard"
	"github.com/parley-bft/parley/transport/internal/frame"
)

const (
	// connectionsPerPeer is the present one and the one that replaces it.
	connectionsPerPeer = 2
)

// Transport links one replica with its peers. It implements
// [transport.Transport].
type Transport struct {
	cfg       Config // with defaults; its Membership is only the first one
	handler   transport.Handler
	observer  transport.Observer // nil if the handler is none
	instance  uint64
	listener  net.Listener
	guard     *connguard.Guard[crypto.ReplicaID]
	ctx       context.Context
	cancel    context.CancelCauseFunc
	wg        sync.WaitGroup
	strangers [refusals]quiet
	failing   quiet // to accept

	members atomic.Pointer[members]
	change  sync.Mutex // serialises Reconfigure and Close

	unknown atomic.Uint64
	closed  atomic.Uint64 // messages sent after Close
	refused [refusals]atomic.Uint64

	closeOnce sync.Once
	closeErr  error
}

// members is one membership and the peers in it. It is replaced, never changed.
type members struct {
	greeting frame.Greeting
	peers    map[crypto.ReplicaID]*peer
}

// New binds the listening address, starts to accept and to dial, and returns.
// Whether peers can be reached shows in [Transport.Peers]. An error wraps
// [ErrConfig] or that of the operating system.
func New(cfg Config, handler transport.Handler) (*Transport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if handler == nil {
		return nil, configError("handler", "missing")
	}
	cfg = cfg.withDefaults()
	listener := cfg.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, listenError(cfg.Listen, err)
		}
	}
	t := &Transport{cfg: cfg, handler: handler, instance: rand.Uint64(), listener: listener}
	t.observer, _ = handler.(transport.Observer)
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.members.Store(&members{peers: map[crypto.ReplicaID]*peer{}})
	t.guard = connguard.New(connguard.Config[crypto.ReplicaID]{
		TLS: cfg.ServerTLS, Protocol: tlsid.LinkALPN, Identify: t.identify, MaxHandshakes: cfg.MaxHandshakes, PerOwner: connectionsPerPeer,
		AcceptRate: cfg.AcceptRate, AcceptBurst: cfg.AcceptBurst,
		Refused: func(remote net.Addr, why connguard.Reason, err error) { t.refuse(remote, refusal(why), err) },
	})
	if err := t.Reconfigure(cfg.Membership); err != nil {
		listener.Close()
		return nil, err
	}
	t.wg.Go(t.accept)
	return t, nil
}

func listenError(address string, err error) error {
	remedy := "check that the address is one of this machine"
	if errors.Is(err, syscall.EADDRINUSE) {
		remedy = "another process listens there: stop it, or choose another port"
	}
	return fmt.Errorf("transport: Listen: cannot listen on %q for replicas: %w; %s", address, err, remedy)
}

// Addr is the address that is listened on, with the port that the system chose
// if the configuration left it open.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

func (t *Transport) peer(id crypto.ReplicaID) *peer { return t.members.Load().peers[id] }

// identify names the peer behind a TLS connection.
func (t *Transport) identify(s tls.ConnectionState) (crypto.ReplicaID, error) {
	if s.Version != tls.VersionTLS13 {
		return 0, fmt.Errorf("%s where TLS 1.3 is required", tls.VersionName(s.Version))
	}
	if len(s.PeerCertificates) == 0 {
		return 0, errors.New("no certificate was shown")
	}
	id, err := t.cfg.Identify(s)
	if err != nil {
		return 0, err
	}
	if t.peer(id) == nil {
		return 0, fmt.Errorf("the key is that of replica %d, which is not a peer", id)
	}
	return id, nil
}

// Send queues a message for a peer, see [transport.Transport].
func (t *Transport) Send(to crypto.ReplicaID, p transport.Priority, message []byte) {
	if p >= transport.Priorities {
		panic(fmt.Sprintf("transport: priority %d does not exist", p))
	}
	peer := t.peer(to)
	switch {
	case peer == nil && t.ctx.Err() != nil:
		t.closed.Add(1)
	case peer == nil:
		t.unknown.Add(1)
	case len(message) > t.cfg.MaxMessage:
		peer.queue.Drop(transport.DropTooLarge)
	default:
		peer.queue.Push(p, message)
	}
}

// Reconfigure changes the membership, at the start of an epoch. Links to peers
// that stay the same (id, address, key) go on; others end, and new ones begin.
// [Config.Identify] and [Config.ClientTLS] must know the new members before it is
// called.
func (t *Transport) Reconfigure(m Membership) error {
	if err := m.validate(); err != nil {
		return err
	}
	t.change.Lock()
	defer t.change.Unlock()
	if t.ctx.Err() != nil {
		return errClosed
	}
	cfg := t.cfg
	cfg.Membership = m
	old, next := t.members.Load(), &members{greeting: cfg.greeting(t.instance), peers: map[crypto.ReplicaID]*peer{}}
	var fresh []*peer
	for _, member := range m.Peers {
		p := old.peers[member.ID]
		if p == nil || p.Peer != member {
			p = newPeer(t, member)
			fresh = append(fresh, p)
		}
		next.peers[member.ID] = p
	}
	t.members.Store(next)
	for id, p := range old.peers {
		if next.peers[id] != p {
			p.cancel(errRemoved)
			t.guard.Cut(id)
		}
	}
	for _, p := range fresh {
		t.wg.Go(p.run)
	}
	return nil
}

// Peers returns the state of every link, see [transport.Transport].
func (t *Transport) Peers() []transport.PeerStatus {
	m := t.members.Load()
	all := make([]transport.PeerStatus, 0, len(m.peers))
	for _, p := range m.peers {
		all = append(all, p.status())
	}
	slices.SortFunc(all, func(a, b transport.PeerStatus) int { return int(a.ID) - int(b.ID) })
	return all
}

// Close ends everything, see [transport.Transport].
func (t *Transport) Close() error {
	t.closeOnce.Do(func() {
		t.change.Lock()
		t.cancel(errClosed)
		t.change.Unlock()
		t.closeErr = t.listener.Close()
		t.guard.Close()
		t.wg.Wait()
	})
	return t.closeErr
}
