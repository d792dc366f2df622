package replica

import (
	"crypto/tls"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/tlsid"
)

// A session may carry clients beside the owner of its connection: each proves its
// key by a signature over the binding of this very connection, which nobody can
// repeat over another. What such a client may do here, and who gets its replies, is
// then the same as with a connection of its own.

// entriesPerCarried is how many more entries may wait for a session for each client
// that it carries.
const entriesPerCarried = 16

// proofsPerIdentity is how many signatures a session may have verified in its life for
// each client that it may carry: they are not all there is to do.
const proofsPerIdentity = 4

// attachAll adds clients to a session, as far as their signatures are good, they are
// admitted and there is room. An error ends the session.
func (s *clientService) attachAll(session *replySession, state tls.ConnectionState, list []*api.Attachment) error {
	if len(list) == 0 {
		return nil
	}
	binding, err := tlsid.Binding(state)
	if err != nil {
		return status.Error(codes.Internal, "the connection has no binding")
	}
	// A signature is dear: only those are verified that would be attached then.
	var items []crypto.Item
	clients, proofs := make([]crypto.PublicKey, len(list)), make([]int, len(list)) // of items, -1: none
	seen := make(map[uint32]bool, len(list))
	for i, a := range list {
		signature, ok := crypto.SignatureOf(a.Signature)
		if !ok || len(a.Client) != crypto.PublicKeySize || a.Identity == 0 {
			return status.Error(codes.InvalidArgument, "malformed attachment")
		}
		clients[i], proofs[i] = crypto.PublicKey(a.Client), -1
		if !seen[a.Identity] && s.router.mayAttach(session, clients[i], a.Identity) {
			proofs[i] = len(items)
			items = append(items, crypto.Item{Key: clients[i], Context: s.roster.Context(crypto.KindAttach), Message: binding, Signature: signature})
		}
		seen[a.Identity] = true
	}
	if session.proofs += len(items); session.proofs > proofsPerIdentity*s.limits.IdentitiesPerSession {
		return status.Error(codes.ResourceExhausted, "too many attachments on one session")
	}
	var good []bool
	if len(items) > 0 {
		s.attaching <- struct{}{}
		good = s.attachments.VerifyBatch(items)
		<-s.attaching
	}
	for i, a := range list {
		e := replyEntry{attached: true, identity: a.Identity}
		switch client, proof := clients[i], proofs[i]; {
		case proof < 0:
			if !s.router.isAttached(session, client, a.Identity) {
				e.reason = api.Reason_REASON_BUSY
			}
		case !good[proof]:
			return status.Errorf(codes.PermissionDenied, "the signature of client %s is not good", client.Hex())
		case !s.roster.Admits(client):
			e.reason = api.Reason_REASON_NOT_ADMITTED
		case !s.router.attach(session, client, a.Identity):
			e.reason = api.Reason_REASON_BUSY
		}
		session.put(e)
	}
	return nil
}

// isAttached tells whether a session carries a client by that very name: asked again,
// it need not prove itself again.
func (t *replyRouter) isAttached(s *replySession, client crypto.PublicKey, identity uint32) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	name, ok := s.names[client]
	return ok && name == identity
}

// mayAttach tells whether attach would do something.
func (t *replyRouter) mayAttach(s *replySession, client crypto.PublicKey, identity uint32) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.roomFor(s, client, identity)
}

// roomFor is mayAttach with the mutex held.
func (t *replyRouter) roomFor(s *replySession, client crypto.PublicKey, identity uint32) bool {
	if _, used := s.carried[identity]; used || s.forgotten || t.closed {
		return false
	}
	if _, moves := s.names[client]; moves {
		return true // its earlier name makes room
	}
	// What is delivered to a client goes over all its sessions: more than with connections
	// of its own it cannot have with those of others.
	return len(s.carried) < t.limits.IdentitiesPerSession && t.attached < t.limits.MaxIdentities &&
		len(t.sessions[client]) < t.limits.ConnectionsPerClient*t.limits.StreamsPerConnection
}

// attach adds a client to a session. It returns false if there is no room.
func (t *replyRouter) attach(s *replySession, client crypto.PublicKey, identity uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	earlier, moves := s.names[client]
	if moves && earlier == identity {
		return true
	}
	if !t.roomFor(s, client, identity) {
		return false
	}
	if moves {
		t.detachLocked(s, earlier)
	}
	if s.carried == nil {
		s.carried, s.names = make(map[uint32]crypto.PublicKey), make(map[crypto.PublicKey]uint32)
	}
	s.carried[identity], s.names[client] = client, identity
	t.sessions[client] = append(t.sessions[client], replyRoute{session: s, identity: identity})
	t.attached++
	s.permit(t.limits.SessionEntries + entriesPerCarried*len(s.carried))
	return true
}

// detach removes clients from a session.
func (t *replyRouter) detach(s *replySession, identities []uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, identity := range identities {
		t.detachLocked(s, identity)
	}
}

func (t *replyRouter) detachLocked(s *replySession, identity uint32) {
	client, ok := s.carried[identity]
	if !ok {
		return
	}
	delete(s.carried, identity)
	delete(s.names, client)
	t.unroute(client, s, identity)
	t.attached--
}

// carries implements ingressSource.
func (s *replySession) carries(client crypto.PublicKey) bool {
	s.router.mu.RLock()
	defer s.router.mu.RUnlock()
	_, ok := s.names[client]
	return ok
}

// permit sets how many entries may wait.
func (s *replySession) permit(entries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = max(s.entries, entries)
}
