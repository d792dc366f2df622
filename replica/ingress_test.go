package replica

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// recorder is an ingressSink that remembers.
type recorder struct {
	mu      sync.Mutex
	answers []statemachine.Reply
	reasons map[pbft.Digest]api.Reason
	count   map[api.Reason]int
	changed chan struct{}
}

func newRecorder() *recorder {
	return &recorder{reasons: make(map[pbft.Digest]api.Reason), count: make(map[api.Reason]int), changed: make(chan struct{}, 1<<16)}
}

func (r *recorder) answer(_ crypto.PublicKey, reply statemachine.Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, reply)
	r.changed <- struct{}{}
}

func (r *recorder) refuse(_ crypto.PublicKey, d pbft.Digest, why api.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reasons[d] = why
	r.count[why]++
	r.changed <- struct{}{}
}

func (r *recorder) reason(d pbft.Digest) api.Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reasons[d]
}

func smallIngress() ingressLimits {
	return ingressLimits{Workers: 1, Batch: 8, ClientRequests: 100, ClientBytes: 1 << 20, TotalRequests: 1000, TotalBytes: 4 << 20}
}

func newTestIngress(t *testing.T, c *clientTestCluster, b backend, limits ingressLimits) (*ingress, *recorder) {
	rec := newRecorder()
	g := newIngress(limits, c.roster, ed25519.NewVerifier(64), b, rec, new(clientCounters))
	t.Cleanup(g.close)
	return g, rec
}

// A client that fills its queue delays another's request by one turn at most,
// and by bytes, not by requests.
func TestIngressIsFair(t *testing.T) {
	c := newClientTestCluster(t, nil)
	g, rec := newTestIngress(t, c, newFakeBackend(), smallIngress())
	flood, honest := clientTestKey(1), clientTestKey(2)
	for i := range 100 {
		g.accept(flood.Public(), nil, [][]byte{c.request(flood, uint64(i+1), make([]byte, 6000)).Encode()})
	}
	g.accept(honest.Public(), nil, [][]byte{c.request(honest, 1).Encode()})
	require.Empty(t, rec.count)
	batch := g.take()
	require.Less(t, len(batch), 9)
	position := -1
	for i, r := range batch {
		if r.Client == honest.Public() {
			position = i
		}
	}
	require.GreaterOrEqual(t, position, 0, "the honest client is in the first batch")
	require.LessOrEqual(t, position, 3, "after one turn of the other")
	// And the flood comes through whole, in its order.
	seq := uint64(0)
	for total := len(batch); ; {
		for _, r := range batch {
			if r.Client == flood.Public() {
				seq++
				require.Equal(t, seq, r.Seq)
			}
		}
		if total == 101 {
			break
		}
		batch = g.take()
		total += len(batch)
	}
	requests, bytes, clients := g.load()
	require.Zero(t, requests+bytes+clients)
}

func TestIngressTakesRequestsLargerThanATurn(t *testing.T) {
	c := newClientTestCluster(t, nil)
	g, _ := newTestIngress(t, c, newFakeBackend(), smallIngress())
	k := clientTestKey(1)
	g.accept(k.Public(), nil, [][]byte{c.request(k, 1, make([]byte, 200<<10)).Encode()})
	require.Len(t, g.take(), 1)
}

func TestIngressBounds(t *testing.T) {
	c := newClientTestCluster(t, nil)
	limits := smallIngress()
	limits.ClientRequests, limits.TotalRequests = 10, 25
	g, rec := newTestIngress(t, c, newFakeBackend(), limits)
	for client := range byte(3) {
		k := clientTestKey(client)
		for i := range 12 {
			g.accept(k.Public(), nil, [][]byte{c.request(k, uint64(i+1)).Encode()})
		}
	}
	// Two full queues of 10; the third client took 5 free places and then pushed
	// the longest queues down to its own length.
	require.Equal(t, 12-10, rec.clientBusyOf(c, 0))
	require.Equal(t, 12-10, rec.clientBusyOf(c, 1))
	require.Zero(t, rec.clientBusyOf(c, 2), "it never had as many as it may")
	requests, _, clients := g.load()
	require.Equal(t, 25, requests)
	require.Equal(t, 3, clients)
	lengths := make(map[crypto.PublicKey]int)
	for range 25 {
		for _, r := range g.takeAll() {
			lengths[r.Client]++
		}
	}
	for client := range byte(3) {
		n := lengths[clientTestKey(client).Public()]
		require.InDelta(t, 8, n, 1, "client %d: when all is full, all have about the same", client)
	}
}

// clientBusyOf counts refusals for its own fullness that one client got.
func (r *recorder) clientBusyOf(c *clientTestCluster, client byte) int {
	n := 0
	for i := range 12 {
		if r.reason(c.request(clientTestKey(client), uint64(i+1)).Digest()) == api.Reason_REASON_CLIENT_BUSY {
			n++
		}
	}
	return n
}

// takeAll takes a batch if there is one.
func (g *ingress) takeAll() []*pbft.Request {
	if n, _, _ := g.load(); n == 0 {
		return nil
	}
	return g.take()
}

func TestIngressBytesBound(t *testing.T) {
	c := newClientTestCluster(t, nil)
	limits := smallIngress()
	limits.ClientBytes, limits.TotalBytes = 300<<10, 500<<10
	g, rec := newTestIngress(t, c, newFakeBackend(), limits)
	a, b := clientTestKey(1), clientTestKey(2)
	for i := range 4 {
		g.accept(a.Public(), nil, [][]byte{c.request(a, uint64(i+1), make([]byte, 100<<10)).Encode()})
	}
	require.Equal(t, 2, rec.count[api.Reason_REASON_CLIENT_BUSY])
	for i := range 3 {
		g.accept(b.Public(), nil, [][]byte{c.request(b, uint64(i+1), make([]byte, 70<<10)).Encode()})
	}
	_, bytes, _ := g.load()
	require.LessOrEqual(t, bytes, 500<<10)
}

func TestIngressRefuses(t *testing.T) {
	listed := clientTestKey(1)
	c := newClientTestCluster(t, func(f *crypto.Cluster) {
		f.Clients = crypto.Clients{Admission: crypto.AdmitList, Keys: []crypto.PublicKey{listed.Public()}}
		f.Parameters.MaxOperationBytes, f.Parameters.MaxRequestOperations = 100, 3
	})
	b := newFakeBackend()
	g, rec := newTestIngress(t, c, b, smallIngress())
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	g.start()
	defer g.close()
	good := c.request(listed, 1)
	forged := *c.request(listed, 2)
	bad := forged.WithSignature(crypto.Signature{1})
	unlisted := clientTestKey(2)
	tooLarge := c.request(listed, 3, make([]byte, 60), make([]byte, 41))
	tooMany := c.request(listed, 4, nil, nil, nil, nil)
	g.accept(listed.Public(), nil, [][]byte{
		{}, make([]byte, 200), good.Encode()[:100], append(good.Encode()[:len(good.Encode()):len(good.Encode())], 0),
		bad.Encode(), tooLarge.Encode(), tooMany.Encode(),
		c.request(unlisted, 1).Encode(), // of another client
		make([]byte, 2<<20),
		good.Encode(),
	})
	g.accept(unlisted.Public(), nil, [][]byte{c.request(unlisted, 2).Encode()})
	require.Equal(t, good.Digest(), (<-b.offered).Digest())
	for range 10 {
		<-rec.changed
	}
	require.Equal(t, api.Reason_REASON_BAD_SIGNATURE, rec.reason(bad.Digest()))
	require.Equal(t, api.Reason_REASON_TOO_LARGE, rec.reason(tooLarge.Digest()))
	require.Equal(t, api.Reason_REASON_TOO_LARGE, rec.reason(tooMany.Digest()))
	require.Equal(t, api.Reason_REASON_FOREIGN_CLIENT, rec.reason(c.request(unlisted, 1).Digest()))
	require.Equal(t, api.Reason_REASON_NOT_ADMITTED, rec.reason(c.request(unlisted, 2).Digest()))
	require.Equal(t, 4, rec.count[api.Reason_REASON_MALFORMED])
	require.Empty(t, b.offered, "only the good one was offered")
}

// What ran already is answered from the record, without a signature check and
// without being ordered again, and to its owner only.
func TestIngressAnswersFromRecord(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := newFakeBackend()
	g, rec := newTestIngress(t, c, b, smallIngress())
	owner, thief := clientTestKey(1), clientTestKey(2)
	r := c.request(owner, 5)
	b.executed[r.Digest()] = executedReply(r, 17, []byte("secret"))
	g.accept(thief.Public(), nil, [][]byte{r.Encode()})
	require.Empty(t, rec.answers)
	require.Equal(t, api.Reason_REASON_FOREIGN_CLIENT, rec.reason(r.Digest()))
	g.accept(owner.Public(), nil, [][]byte{r.Encode()})
	require.Len(t, rec.answers, 1)
	require.Equal(t, uint64(17), rec.answers[0].Height)
	n, _, _ := g.load()
	require.Zero(t, n)
}

// A signature is checked once: what is repeated is offered again without that. Another
// signature of the same request is something else.
func TestIngressKnowsWhatItChecked(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := newFakeBackend()
	g, rec := newTestIngress(t, c, b, smallIngress())
	k := clientTestKey(1)
	known := c.request(k, 1).WithSignature(crypto.Signature{1}) // would not be found good
	other := c.request(k, 1).WithSignature(crypto.Signature{2})
	b.known = map[string]bool{string(known.Encode()): true}
	g.start()
	defer g.close()
	g.accept(k.Public(), nil, [][]byte{other.Encode(), known.Encode(), c.request(k, 2).Encode()})
	require.Equal(t, known.Signature, (<-b.offered).Signature)
	require.Equal(t, uint64(2), (<-b.offered).Seq)
	<-rec.changed
	require.Equal(t, api.Reason_REASON_BAD_SIGNATURE, rec.reason(other.Digest()))
	require.Empty(t, b.offered)
	require.Equal(t, uint64(1), g.counters.known.Load())
	require.Equal(t, uint64(1), g.counters.verified.Load())
}

func FuzzIngress(f *testing.F) {
	c := newClientTestCluster(f, nil)
	k := clientTestKey(1)
	f.Add(c.request(k, 1).Encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		g, rec := newTestIngress(t, c, newFakeBackend(), smallIngress())
		g.accept(k.Public(), nil, [][]byte{encoded})
		n, _, _ := g.load()
		require.Equal(t, 1, n+len(rec.changed), "queued or refused, nothing else")
	})
}
