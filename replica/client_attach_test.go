package replica

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/statemachine"
)

type clientStream = grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage]

func streamBinding(t *testing.T, stream clientStream) []byte {
	p, ok := peer.FromContext(stream.Context())
	require.True(t, ok)
	binding, err := tlsid.Binding(p.AuthInfo.(credentials.TLSInfo).State)
	require.NoError(t, err)
	return binding
}

// attachment is one as the client makes it.
func (c *clientTestCluster) attachment(key *ed25519.PrivateKey, identity uint32, binding []byte) *api.Attachment {
	public := key.Public()
	return &api.Attachment{
		Identity: identity, Client: public[:],
		Signature: ed25519.NewSigner(key).Sign(c.roster.Context(crypto.KindAttach), binding),
	}
}

func TestSessionCarriesAttachedClients(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, nil)
	alice, bob, eve := clientTestKey(1), clientTestKey(2), clientTestKey(3)
	carrier := openSession(t, dialClientServer(t, c, s, clientTestKey(9)))
	own := openSession(t, dialClientServer(t, c, s, alice))
	binding := streamBinding(t, carrier)
	ra, rb, re := c.request(alice, 1), c.request(bob, 1), c.request(eve, 1)
	require.NoError(t, carrier.Send(&api.ClientMessage{
		Attach:   []*api.Attachment{c.attachment(alice, 7, binding), c.attachment(bob, 8, binding)},
		Requests: [][]byte{rb.Encode(), re.Encode()},
	}))
	var attached []*api.Attached
	var refusals []*api.Refusal
	for len(attached) < 2 || len(refusals) < 1 {
		m := next(t, carrier)
		attached, refusals = append(attached, m.Attached...), append(refusals, m.Refusals...)
	}
	require.Equal(t, []uint32{7, 8}, []uint32{attached[0].Identity, attached[1].Identity})
	require.Zero(t, attached[0].Reason)
	require.Equal(t, api.Reason_REASON_FOREIGN_CLIENT, refusals[0].Reason, "the third was not attached")
	require.Equal(t, rb.Digest(), (<-b.offered).Digest())

	// Everybody's replies at once: the session gets those of its own and no others.
	replies := []statemachine.Reply{executedReply(ra, 9), executedReply(rb, 9), executedReply(re, 9)}
	s.Deliver(1, 9, replies)
	heard := map[uint32]string{}
	for len(heard) < 2 {
		for _, r := range next(t, carrier).Replies {
			heard[r.Identity] = string(r.Request)
		}
	}
	da, db := ra.Digest(), rb.Digest()
	require.Equal(t, map[uint32]string{7: string(da[:]), 8: string(db[:])}, heard)
	m := next(t, own)
	require.Len(t, m.Replies, 1)
	require.Zero(t, m.Replies[0].Identity, "a connection of its own")

	// Detached, bob gets nothing here any more, and may ask nothing.
	require.NoError(t, carrier.Send(&api.ClientMessage{Detach: []uint32{8}}))
	require.NoError(t, carrier.Send(&api.ClientMessage{Requests: [][]byte{rb.Encode()}}))
	require.Equal(t, api.Reason_REASON_FOREIGN_CLIENT, next(t, carrier).Refusals[0].Reason)
	s.Deliver(1, 10, replies)
	m = next(t, carrier)
	require.Len(t, m.Replies, 1)
	require.Equal(t, uint32(7), m.Replies[0].Identity)
	require.NoError(t, carrier.CloseSend())
}

// A signature that was made for another connection, cluster or purpose, or by another key,
// attaches nobody.
func TestAttachmentsAreBoundToTheConnection(t *testing.T) {
	verifyNoLeaks(t)
	c := newClientTestCluster(t, nil)
	s := startClientServer(t, c, newFakeBackend(), nil)
	alice, thief := clientTestKey(1), clientTestKey(2)
	honest := openSession(t, dialClientServer(t, c, s, clientTestKey(8)))
	stolen := c.attachment(alice, 1, streamBinding(t, honest))
	other := newClientTestCluster(t, func(f *crypto.Cluster) { f.Name = "another" })
	for name, forge := range map[string]func(binding []byte) *api.Attachment{
		"another connection": func([]byte) *api.Attachment { return stolen },
		"another cluster":    func(binding []byte) *api.Attachment { return other.attachment(alice, 1, binding) },
		"another key": func(binding []byte) *api.Attachment {
			a := c.attachment(thief, 1, binding)
			public := alice.Public()
			a.Client = public[:]
			return a
		},
		"another purpose": func(binding []byte) *api.Attachment {
			a := c.attachment(alice, 1, binding)
			a.Signature = ed25519.NewSigner(alice).Sign(c.roster.Context(crypto.KindRequest), binding)
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			stream := openSession(t, dialClientServer(t, c, s, thief))
			require.NoError(t, stream.Send(&api.ClientMessage{Attach: []*api.Attachment{forge(streamBinding(t, stream))}}))
			_, err := stream.Recv()
			require.Equal(t, codes.PermissionDenied, status.Code(err))
		})
	}
	require.NoError(t, honest.Send(&api.ClientMessage{Attach: []*api.Attachment{stolen}}))
	require.Zero(t, next(t, honest).Attached[0].Reason, "here it is good")
	require.NoError(t, honest.CloseSend())
}

func TestMalformedAttachments(t *testing.T) {
	verifyNoLeaks(t)
	c := newClientTestCluster(t, nil)
	s := startClientServer(t, c, newFakeBackend(), nil)
	good := func(binding []byte) *api.Attachment { return c.attachment(clientTestKey(1), 1, binding) }
	for name, spoil := range map[string]func(m *api.ClientMessage){
		"identity 0":      func(m *api.ClientMessage) { m.Attach[0].Identity = 0 },
		"short key":       func(m *api.ClientMessage) { m.Attach[0].Client = m.Attach[0].Client[:31] },
		"short signature": func(m *api.ClientMessage) { m.Attach[0].Signature = m.Attach[0].Signature[:63] },
	} {
		t.Run(name, func(t *testing.T) {
			stream := openSession(t, dialClientServer(t, c, s, clientTestKey(9)))
			m := &api.ClientMessage{Attach: []*api.Attachment{good(streamBinding(t, stream))}}
			spoil(m)
			require.NoError(t, stream.Send(m))
			_, err := stream.Recv()
			require.Equal(t, codes.InvalidArgument, status.Code(err))
		})
	}
}

// Attached clients are bounded, for one session and for all, and a session that ends
// gives its room back.
func TestAttachmentBounds(t *testing.T) {
	limits := DefaultClientLimits()
	limits.IdentitiesPerSession, limits.MaxIdentities, limits.SessionEntries = 2, 3, 1
	router := newReplyRouter(1, limits, new(clientCounters))
	key := func(n byte) crypto.PublicKey { return clientTestKey(n).Public() }
	one, two := router.open(key(100), func() {}), router.open(key(101), func() {})
	require.True(t, router.attach(one, key(1), 1))
	require.False(t, router.attach(one, key(2), 1), "the name is used")
	require.True(t, router.attach(one, key(1), 1), "by itself, again")
	require.True(t, router.attach(one, key(2), 2))
	require.False(t, router.attach(one, key(3), 3), "no room in the session")
	require.True(t, router.attach(one, key(2), 4), "in place of itself")
	require.True(t, router.attach(two, key(2), 1), "the same client elsewhere")
	require.False(t, router.attach(two, key(5), 2), "no room at all")
	router.Deliver(1, 1, []statemachine.Reply{{Client: key(2)}, {Client: key(1)}})
	entries, _ := one.take(packBytes)
	require.Equal(t, []uint32{4, 1}, []uint32{entries[0].identity, entries[1].identity})
	entries, _ = two.take(packBytes)
	require.Len(t, entries, 1)
	router.forget(one)
	require.False(t, router.attach(one, key(7), 9), "it has ended")
	require.True(t, router.attach(two, key(5), 2))
	router.forget(two)
	require.Empty(t, router.sessions)
	require.Zero(t, router.attached)
}

// Whoever carries it, a client has no more sessions than it could have with connections
// of its own.
func TestAttachmentsOfOneClient(t *testing.T) {
	limits := DefaultClientLimits()
	limits.ConnectionsPerClient, limits.StreamsPerConnection = 1, 2
	router := newReplyRouter(1, limits, new(clientCounters))
	client := clientTestKey(1).Public()
	var sessions []*replySession
	for i := range byte(3) {
		sessions = append(sessions, router.open(clientTestKey(100+i).Public(), func() {}))
	}
	require.True(t, router.attach(sessions[0], client, 1))
	require.True(t, router.attach(sessions[1], client, 1))
	require.False(t, router.attach(sessions[2], client, 1))
	require.True(t, router.attach(sessions[1], client, 2), "in place of itself")
	router.forget(sessions[0])
	require.True(t, router.attach(sessions[2], client, 1))
}

// countingVerifier counts the signatures that it is asked about.
type countingVerifier struct {
	crypto.RequestVerifier
	count int
}

func (v *countingVerifier) VerifyBatch(items []crypto.Item) []bool {
	v.count += len(items)
	return v.RequestVerifier.VerifyBatch(items)
}

// Nothing is verified for an attachment that is made already or cannot be made, and a
// session has no more verified than it can have use for.
func TestAttachmentsAreVerifiedOnce(t *testing.T) {
	verifyNoLeaks(t)
	c := newClientTestCluster(t, nil)
	stream := openSession(t, dialClientServer(t, c, startClientServer(t, c, newFakeBackend(), nil), clientTestKey(9)))
	p, _ := peer.FromContext(stream.Context())
	state, binding := p.AuthInfo.(credentials.TLSInfo).State, streamBinding(t, stream)
	limits := DefaultClientLimits()
	limits.IdentitiesPerSession = 2
	verifier := &countingVerifier{RequestVerifier: ed25519.NewVerifier(1)}
	router := newReplyRouter(1, limits, new(clientCounters))
	service := &clientService{limits: limits, roster: c.roster, router: router, attachments: verifier, attaching: make(chan struct{}, 1)}
	session := router.open(clientTestKey(9).Public(), func() {})
	attach := func(list ...*api.Attachment) (reasons []api.Reason) {
		require.NoError(t, service.attachAll(session, state, list))
		entries, _ := session.take(packBytes)
		for _, e := range entries {
			reasons = append(reasons, e.reason)
		}
		return reasons
	}
	const ok, busy = api.Reason_REASON_UNSPECIFIED, api.Reason_REASON_BUSY
	one := c.attachment(clientTestKey(1), 1, binding)
	require.Equal(t, []api.Reason{ok, ok, busy}, attach(one, one, c.attachment(clientTestKey(2), 1, binding)))
	require.Equal(t, 1, verifier.count, "one name, one signature")
	require.Equal(t, []api.Reason{ok, busy}, attach(one, c.attachment(clientTestKey(2), 1, binding)))
	require.Equal(t, 1, verifier.count, "made already, or the name is used")
	require.Equal(t, []api.Reason{ok, busy}, []api.Reason{attach(c.attachment(clientTestKey(2), 2, binding))[0], attach(c.attachment(clientTestKey(3), 3, binding))[0]})
	require.Equal(t, 2, verifier.count, "no room")
	for i := range uint32(6) {
		require.Equal(t, []api.Reason{ok}, attach(c.attachment(clientTestKey(1), 10+i, binding)), "in place of itself")
	}
	err := service.attachAll(session, state, []*api.Attachment{c.attachment(clientTestKey(1), 20, binding)})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.Equal(t, 8, verifier.count)
	require.NoError(t, stream.CloseSend())
}
