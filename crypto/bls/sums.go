package bls

import (
	"sync"

	GG "github.com/cloudflare/circl/ecc/bls12381"

	"github.com/parley-bft/parley/crypto"
)

// maxSums bounds the sums of keys kept, about 300 bytes each. A cluster uses few
// sets of signers at a time; who sends certificates with many different sets
// costs us additions (3.5 us a key), not memory.
const maxSums = 256

// sums caches the sum of the keys of each set of signers.
type sums struct {
	keys []*GG.G2

	mu    sync.Mutex
	young map[string]*GG.G2
	old   map[string]*GG.G2 // what was young before; forgotten next
}

func newSums(keys []*GG.G2) *sums {
	return &sums{keys: keys, young: make(map[string]*GG.G2)}
}

// of returns the sum of the keys of signers, which the caller must not change.
func (s *sums) of(signers crypto.Bitmap) *GG.G2 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sum, ok := s.young[string(signers)]; ok {
		return sum
	}
	sum, ok := s.old[string(signers)]
	if !ok {
		sum = new(GG.G2)
		sum.SetIdentity()
		signers.Each(func(id crypto.ReplicaID) { sum.Add(sum, s.keys[id]) })
	}
	if len(s.young) >= maxSums/2 {
		s.old, s.young = s.young, make(map[string]*GG.G2)
	}
	s.young[string(signers)] = sum
	return sum
}
