package crypto

import (
	"fmt"
	"math/bits"
	"strings"
)

// MaxReplicas is the largest number of members of a cluster.
const MaxReplicas = 256

// Bitmap is a set of replicas: bit i%8 of byte i/8 stands for replica i. It has
// exactly (n+7)/8 bytes and no bit at n or above, so that a set has one encoding
// (a malleable bitmap would give one certificate two encodings).
type Bitmap []byte

// NewBitmap returns an empty set for a cluster of n members.
func NewBitmap(n int) Bitmap { return make(Bitmap, (n+7)/8) }

// Set adds id. It panics when id is not below the bitmap's capacity.
func (b Bitmap) Set(id ReplicaID) { b[id/8] |= 1 << (id % 8) }

// Has tells whether id is in the set; an id beyond the capacity is not.
func (b Bitmap) Has(id ReplicaID) bool {
	return int(id/8) < len(b) && b[id/8]&(1<<(id%8)) != 0
}

// Count returns the number of members in the set.
func (b Bitmap) Count() int {
	n := 0
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// Each calls f for every member in ascending order.
func (b Bitmap) Each(f func(ReplicaID)) {
	for i, x := range b {
		for ; x != 0; x &= x - 1 {
			f(ReplicaID(i*8 + bits.TrailingZeros8(x)))
		}
	}
}

// IDs returns the members in ascending order.
func (b Bitmap) IDs() []ReplicaID {
	ids := make([]ReplicaID, 0, b.Count())
	b.Each(func(id ReplicaID) { ids = append(ids, id) })
	return ids
}

// Clone returns a copy.
func (b Bitmap) Clone() Bitmap { return append(Bitmap(nil), b...) }

// Check returns an error wrapping [ErrMalformed] unless b is the one valid
// encoding of a set within a cluster of n members.
func (b Bitmap) Check(n int) error {
	if len(b) != (n+7)/8 {
		return fmt.Errorf("%w: bitmap of %d bytes, want %d for %d members", ErrMalformed, len(b), (n+7)/8, n)
	}
	if n%8 != 0 && b[len(b)-1]>>(n%8) != 0 {
		return fmt.Errorf("%w: bitmap names a replica at or above %d", ErrMalformed, n)
	}
	return nil
}

// String lists the members, as in {0,2,3}.
func (b Bitmap) String() string {
	var s strings.Builder
	s.WriteByte('{')
	first := true
	b.Each(func(id ReplicaID) {
		if !first {
			s.WriteByte(',')
		}
		first = false
		fmt.Fprintf(&s, "%d", id)
	})
	s.WriteByte('}')
	return s.String()
}
