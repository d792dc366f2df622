package replica

import (
	"sync"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// digestSet remembers digests in two generations: when the younger is full the
// older is forgotten. So it holds the last limit digests at least, twice as many
// at most, and costs a lock and a look-up. It is safe for concurrent use.
type digestSet struct {
	shards [16]digestShard
}

type digestShard struct {
	mu         sync.Mutex
	young, old map[pbft.Digest]struct{}
	limit      int
}

func newDigestSet(limit int) *digestSet {
	s := new(digestSet)
	for i := range s.shards {
		s.shards[i].limit = max(1, limit/len(s.shards))
		s.shards[i].young = make(map[pbft.Digest]struct{})
	}
	return s
}

func (s *digestSet) shard(d pbft.Digest) *digestShard { return &s.shards[d[0]%16] }

// Has implements pbft.ProofCache.
func (s *digestSet) Has(d pbft.Digest) bool {
	h := s.shard(d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.young[d]; ok {
		return true
	}
	_, ok := h.old[d]
	return ok
}

// Add implements pbft.ProofCache.
func (s *digestSet) Add(d pbft.Digest) {
	h := s.shard(d)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.young[d] = struct{}{}
	if len(h.young) >= h.limit {
		h.old, h.young = h.young, h.old
		if clear(h.young); h.young == nil {
			h.young = make(map[pbft.Digest]struct{}, h.limit)
		}
	}
}

// knownRequests remembers which requests' signatures were verified. The key covers
// the signature: another signature of the same request is another key.
type knownRequests struct{ set *digestSet }

const domainKnown = crypto.Domain("parley/known-request")

func knownKey(request pbft.Digest, sig crypto.Signature) pbft.Digest {
	return crypto.Hash(domainKnown, request[:], sig[:])
}

// Known implements pbft.KnownRequests.
func (k knownRequests) Known(request pbft.Digest, sig crypto.Signature) bool {
	return k.set.Has(knownKey(request, sig))
}

func (k knownRequests) add(r *pbft.Request) { k.set.Add(knownKey(r.Digest(), r.Signature)) }

// admitting is a verifier of client signatures for which a client that the
// cluster does not admit has no valid ones. The list is part of the epoch's
// configuration, so all replicas refuse the same blocks.
type admitting struct {
	inner  crypto.RequestVerifier
	admits func(crypto.PublicKey) bool
}

// Verify implements crypto.RequestVerifier.
func (a admitting) Verify(key crypto.PublicKey, c crypto.Context, msg []byte, sig crypto.Signature) bool {
	return (c.Kind != crypto.KindRequest || a.admits(key)) && a.inner.Verify(key, c, msg, sig)
}

// VerifyBatch implements crypto.RequestVerifier.
func (a admitting) VerifyBatch(items []crypto.Item) []bool {
	good := a.inner.VerifyBatch(items)
	for i := range items {
		if items[i].Context.Kind == crypto.KindRequest && !a.admits(items[i].Key) {
			good[i] = false
		}
	}
	return good
}
