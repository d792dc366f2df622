package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// sibling replays what an honest client has signed for another cluster, which it
// serves with the same key. Its signature is good, and it means something else.
func (b *badClient) sibling() {
	u := b.s.clients[b.rng.IntN(len(b.s.clients))]
	seq := max(u.seq, 1) + uint64(b.rng.IntN(3))
	r := pbft.NewRequest(u.key.Public(), seq, seq, b.s.clock().Add(time.Minute), [][]byte{b.operation(b.value())})
	d := r.Digest()
	elsewhere := crypto.Context{Kind: crypto.KindRequest, Cluster: crypto.Hash("chaos/sibling-cluster")}
	sig, ok := crypto.SignatureOf(u.key.Sign(elsewhere, d[:]))
	if !ok {
		panic("chaos: a symbolic client's signature has a wrong size")
	}
	b.sendAll(r.WithSignature(sig))
}
