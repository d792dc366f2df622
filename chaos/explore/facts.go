package explore

import (
	"encoding/binary"
	"math/bits"

	"github.com/parley-bft/parley/pbft"
)

// A fact is something that a replica can have sent, without who sent it: replicas that
// can be exchanged send the same facts. Proposals, votes (as the certificate that
// enough of them make) and NewViews are also what arrives, under the same number.
type fact struct {
	kind      factKind
	view      pbft.View
	block     *block         // proposed
	statement pbft.Statement // voted
	claim     *claim         // claimed
	newView   *newView       // opened
}

type factKind uint8

const (
	proposed factKind = iota
	voted
	opened
	claimed
	suspected
)

// block is a block that somebody made.
type block struct {
	proposal *pbft.PrePrepare
	name     string
	index    uint   // in bit masks
	parent   *block // nil: the start block
	fact     int    // proposed
}

// extends tells whether b is a or a descendant of a; nil is the start block.
func (b *block) extends(a *block) bool {
	for a != nil && b != nil && b.proposal.Height > a.proposal.Height {
		b = b.parent
	}
	return a == nil || a == b
}

func onOneChain(a, b *block) bool { return a.extends(b) || b.extends(a) }

// claim is a claim for a view: of a certificate, of none, or of one that does not
// exist.
type claim struct {
	view        pbft.View
	certificate *pbft.Certificate
	forged      bool
	fact        int
}

func (c *claim) rank() pbft.Rank {
	if c.certificate == nil {
		return pbft.Rank{}
	}
	return c.certificate.Rank()
}

// newView is a NewView in normal form.
type newView struct {
	message *pbft.NewView
	variant int
	fact    int
}

// set is a set of small numbers. Sets are never changed once others can see them.
type set []uint64

func (s set) has(i int) bool { return i/64 < len(s) && s[i/64]&(1<<(i%64)) != 0 }

// add changes s.
func (s *set) add(i int) {
	for len(*s) <= i/64 {
		*s = append(*s, 0)
	}
	(*s)[i/64] |= 1 << (i % 64)
}

func (s set) word(i int) uint64 {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func (s set) each(f func(int)) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			f(64*i + bits.TrailingZeros64(w))
		}
	}
}

// key is the same for equal sets.
func (s set) key(b []byte) []byte {
	n := len(s)
	for n > 0 && s[n-1] == 0 {
		n--
	}
	for _, w := range s[:n] {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}
