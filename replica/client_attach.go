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
	items := make([]crypto.Item, len(list))
	for i, a := range list {
		signature, ok := crypto.SignatureOf(a.Signature)
		if !ok || len(a.Client) != crypto.PublicKeySize || a.Identity == 0 {
			return status.Error(codes.InvalidArgument, "malformed attachment")
		}
		items[i] = crypto.Item{Key: crypto.PublicKey(a.Client), Context: s.roster.Context(crypto.KindAttach), Message: binding, Signature: signature}
	}
	s.attaching <- struct{}{}
	good := s.attachments.VerifyBatch(items)
	<-s.attaching
	for i, a := range list {
		switch client := items[i].Key; {
		case !good[i]:
			return status.Errorf(codes.PermissionDenied, "the signature of client %s is not good", client.Hex())
		case !s.roster.Admits(client):
			session.put(replyEntry{attached: true, identity: a.Identity, reason: api.Reason_REASON_NOT_ADMITTED})
		case !s.router.attach(session, client, a.Identity):
			session.put(replyEntry{attached: true, identity: a.Identity, reason: api.Reason_REASON_BUSY})
		default:
			session.put(replyEntry{attached: true, identity: a.Identity})
		}
	}
	return nil
}

// attach adds a client to a session. It returns false if there is no room.
func (t *replyRouter) attach(s *replySession, client crypto.PublicKey, identity uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, used := s.carried[identity]; used || s.forgotten || t.closed {
		return false
	}
	if earlier, ok := s.names[client]; ok {
		t.detachLocked(s, earlier)
	}
	if len(s.carried) >= t.limits.IdentitiesPerSession || t.attached >= t.limits.MaxIdentities {
		return false
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
