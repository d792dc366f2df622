package replica

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/transport"
	peertcp "github.com/parley-bft/parley/transport/tcp"
)

// newPeerTransport links this replica with the other members.
func newPeerTransport(cfg *Config, self pbft.ReplicaID, handler transport.Handler) (transport.Transport, error) {
	ros := cfg.Roster
	cert, err := tlsid.Certificate(cfg.Keys.TLS)
	if err != nil {
		return nil, err
	}
	identify := func(state tls.ConnectionState) (crypto.ReplicaID, error) {
		key, err := tlsid.PeerKey(state)
		if err != nil {
			return 0, err
		}
		id, ok := ros.MemberByTLSKey(key)
		if !ok {
			return 0, fmt.Errorf("TLS key %s is no member's", key.Hex())
		}
		return id, nil
	}
	peers := make([]peertcp.Peer, 0, ros.N()-1)
	for i := range ros.N() {
		if id := pbft.ReplicaID(i); id != self {
			m := ros.Member(id)
			peers = append(peers, peertcp.Peer{ID: id, Address: m.PeerAddress, Key: m.TLSKey})
		}
	}
	listen := cfg.Listen
	if listen == "" {
		listen = ros.Member(self).PeerAddress
	}
	// The longest message is an answer to GetBlocks: blocks up to the first kept
	// certificate, at most two windows of them, of which all but the last window are
	// within the limit of an answer.
	p := &ros.Cluster.Parameters
	longest := int(p.Window+2)*(int(p.MaxBlockBytes)+4096) + 4<<20
	return peertcp.New(peertcp.Config{
		Membership: peertcp.Membership{
			Epoch: ros.Cluster.Epoch, ConfigDigest: ros.Cluster.Digest(), Self: self, Peers: peers,
		},
		Cluster: ros.ID, Build: cfg.Build,
		Listen: listen, Listener: cfg.PeerListener,
		ServerTLS: tlsid.LinkServerConfig(cert, func(key crypto.PublicKey) error {
			if _, ok := ros.MemberByTLSKey(key); !ok {
				return fmt.Errorf("TLS key %s is no member's", key.Hex())
			}
			return nil
		}),
		ClientTLS:  func(peer crypto.ReplicaID) *tls.Config { return tlsid.LinkClientConfig(cert, ros.Member(peer).TLSKey) },
		Identify:   identify,
		MaxMessage: max(16<<20, longest),
		Control:    peertcp.Limits{Bytes: max(16<<20, longest)},
		Bulk:       peertcp.Limits{Bytes: max(64<<20, 2*longest)},
		Logger:     cfg.Logger.With("part", "transport"),
	}, handler)
}

// Connected implements transport.Observer: little is to be done, the next status
// tells the peer where this replica is.
func (s *Server) Connected(peer crypto.ReplicaID) {
	s.logger.Info("peer is connected", "peer", peer)
	s.post(func(n *Node) { n.SetLink(peer, true) })
}

// Disconnected implements transport.Observer.
func (s *Server) Disconnected(peer crypto.ReplicaID) {
	s.logger.Warn("peer is disconnected", "peer", peer)
	s.post(func(n *Node) { n.SetLink(peer, false) })
}

// progressTimeout is T0 in ticks: some round trips to the quorum-th nearest
// replica by weight, never less than the configured base. Neither the farthest nor
// the mean: a traitor makes its round trip as long as it likes (PROTOCOL 3.4 d).
func (s *Server) progressTimeout() int {
	type near struct {
		rtt    time.Duration
		weight uint64
	}
	weights := s.cfg.Roster.Weights()
	all := []near{{0, weights[s.self]}}
	for _, p := range s.transport.Peers() {
		if p.Connected && p.RTT > 0 && int(p.ID) < len(weights) {
			all = append(all, near{p.RTT, weights[p.ID]})
		}
	}
	slices.SortFunc(all, func(a, b near) int { return int(a.rtt - b.rtt) })
	quorum, sum := s.node.cfg.Core.Quorums.QuorumWeight(), uint64(0)
	for _, n := range all {
		if sum += n.weight; sum >= quorum {
			ticks := int(n.rtt * time.Duration(s.cfg.ProgressRTTs) / s.cfg.Tick)
			return min(max(ticks, s.cfg.Timeouts.Progress), 100*s.cfg.Timeouts.Progress)
		}
	}
	return 0
}
