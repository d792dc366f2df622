package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// BadClient is a way for a client to misbehave.
type BadClient struct {
	// Name is what Options.BadClients call it.
	Name string
	// Catalogue are the entries of the fault catalogue that it plays.
	Catalogue string
	// Doc says in a line what it does.
	Doc string
	act func(*badClient)
}

// BadClients lists them in a fixed order.
func BadClients() []BadClient { return badClients }

func badClientNamed(name string) (BadClient, bool) {
	for _, b := range badClients {
		if b.Name == name {
			return b, true
		}
	}
	return BadClient{}, false
}

// badClient is one of them at work: it acts again and again until every honest
// client has had its last answer. It writes keys of its own only, so what honest
// clients see must stay linearizable.
type badClient struct {
	BadClient
	s     *Simulation
	rng   *rand.Rand
	id    int
	key   crypto.KeySigner
	seq   uint64
	deeds int
	// heard are requests of honest clients, off the wire.
	heard []*pbft.Request
}

// badClientKeys are the numbers of bad clients' keys among the symbolic world's,
// crowdKeys of those that they use once.
const (
	badClientKeys = 2_000_000
	crowdKeys     = 3_000_000
)

func newBadClient(s *Simulation, id int, name string) *badClient {
	kind, ok := badClientNamed(name)
	if !ok {
		panic("chaos: no bad client " + name)
	}
	return &badClient{
		BadClient: kind, s: s, id: id, key: s.sym.Client(badClientKeys + uint64(id)),
		rng: rand.New(rand.NewPCG(s.opts.Seed, 10_000+uint64(id))),
	}
}

// start has it act from now on.
func (b *badClient) start() {
	b.s.after(10*time.Millisecond+time.Duration(b.rng.ExpFloat64()*float64(b.s.opts.Think)), func() {
		if b.s.answered() {
			return
		}
		if u := b.s.clients[b.rng.IntN(len(b.s.clients))]; u.open != nil {
			b.heard = remember(b.heard, u.open.request, loreSize)
		}
		b.act(b)
		b.start()
	})
}

// operation is a write of a key of its own.
func (b *badClient) operation(value string) []byte {
	return Op{Kind: OpPut, Key: fmt.Sprintf("bad%d", b.id), New: value}.Encode()
}

// request makes and signs one with its own key.
func (b *badClient) request(seq, low uint64, life time.Duration, ops ...[]byte) *pbft.Request {
	return b.signed(pbft.NewRequest(b.key.Public(), seq, low, b.s.clock().Add(life), ops), b.key)
}

func (b *badClient) signed(r *pbft.Request, key crypto.KeySigner) *pbft.Request {
	d := r.Digest()
	sig, ok := crypto.SignatureOf(key.Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: b.s.cluster}, d[:]))
	if !ok {
		panic("chaos: a symbolic client's signature has a wrong size")
	}
	return r.WithSignature(sig)
}

// send sends a request to one replica.
func (b *badClient) send(to pbft.ReplicaID, r *pbft.Request) {
	b.deeds++
	b.s.network.request(to, r)
}

func (b *badClient) sendAll(r *pbft.Request) {
	for i := range b.s.replicas {
		b.send(pbft.ReplicaID(i), r)
	}
}

func (b *badClient) anybody() pbft.ReplicaID { return pbft.ReplicaID(b.rng.IntN(len(b.s.replicas))) }

// primary is whom a replica that is up takes for the primary.
func (b *badClient) primary() pbft.ReplicaID {
	var view pbft.View
	for _, m := range b.s.replicas {
		if m.up != nil && m.honest() {
			view = max(view, m.up.node.Core().View())
		}
	}
	return b.s.schedule.Primary(0, view)
}

// awaits tells whether this very request is an honest client's open one.
func (s *Simulation) awaits(r *pbft.Request) bool {
	for _, u := range s.clients {
		if u.open != nil && u.open.request == r {
			return true
		}
	}
	return false
}
