package receipttree

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/parley-bft/parley/crypto"
)

// Leaf is what one leaf says: in block Height, operation Index of a request had
// this result; or the request was turned down. The operation itself is bound by the
// request's digest and the index.
type Leaf struct {
	Height  uint64
	Request crypto.Digest // what the client signed
	Status  uint8         // statemachine.Status
	Index   uint32        // of the operation in its request; 0 if it did not run
	Code    uint32        // statemachine.ResultCode; 0 if it did not run
	Result  []byte        // the result's data; empty if it did not run. Nil and empty are the same
}

// domainLeaf is short, so that with a small result the hash function runs over two
// blocks and not over three.
const domainLeaf = crypto.Domain("parley/leaf")

const leafFixed = 8 + crypto.DigestSize + 1 + 4 + 4

// Digest is the digest that stands for the leaf in the tree.
func (l *Leaf) Digest() crypto.Digest {
	var buf [1 + len(domainLeaf) + leafFixed + 192]byte
	b := append(buf[:0], byte(len(domainLeaf)))
	b = append(b, domainLeaf...)
	b = binary.BigEndian.AppendUint64(b, l.Height)
	b = append(b, l.Request[:]...)
	b = append(b, l.Status)
	b = binary.BigEndian.AppendUint32(b, l.Index)
	b = binary.BigEndian.AppendUint32(b, l.Code)
	if len(b)+len(l.Result) > len(buf) {
		return crypto.Hash(domainLeaf, b[1+len(domainLeaf):], l.Result)
	}
	return sha256.Sum256(append(b, l.Result...))
}

const domainResult = crypto.Domain("parley/receipt-result")

// ResultDigest is the digest of a result's data. Nil and empty are the same.
func ResultDigest(data []byte) crypto.Digest {
	var buf [256]byte
	if 1+len(domainResult)+len(data) > len(buf) {
		return crypto.Hash(domainResult, data)
	}
	b := append(buf[:0], byte(len(domainResult)))
	b = append(b, domainResult...)
	return sha256.Sum256(append(b, data...))
}
