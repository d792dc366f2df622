// Package receipttree is the Merkle tree of execution results. At each checkpoint
// the replicas sign its root over everything executed since the checkpoint
// before; a receipt is one leaf, its path and the checkpoint's certificate, and
// anybody who has the cluster's keys can check it without the cluster.
//
// The tree is that of RFC 6962: leaves and nodes are hashed under different
// domains, and a tree of n leaves splits at the largest power of two below n, so
// no leaf is ever duplicated. The number of leaves is bound into the root.
package receipttree

import (
	"encoding/binary"

	"github.com/parley-bft/parley/crypto"
)

const (
	domainOp     = crypto.Domain("parley/receipt-op")
	domainResult = crypto.Domain("parley/receipt-result")
	domainLeaf   = crypto.Domain("parley/receipt-leaf")
	domainNode   = crypto.Domain("parley/receipt-node")
	domainRoot   = crypto.Domain("parley/receipt-root")
)

// Leaf is what one leaf says: in block Height, operation Index of a request had
// this result; or the request was turned down.
type Leaf struct {
	Height  uint64
	Request crypto.Digest // what the client signed
	Status  uint8         // statemachine.Status
	Index   uint32        // of the operation in its request; 0 if it did not run
	Op      crypto.Digest // OpDigest of the operation; zero if it did not run
	Code    uint32        // statemachine.ResultCode; 0 if it did not run
	Result  crypto.Digest // ResultDigest of the result's data; zero if it did not run
}

// Digest is the digest that stands for the leaf in the tree.
func (l *Leaf) Digest() crypto.Digest {
	var buf [1 + len(domainLeaf) + 8 + 32 + 1 + 4 + 32 + 4 + 32]byte
	b := append(buf[:0], byte(len(domainLeaf)))
	b = append(b, domainLeaf...)
	b = binary.BigEndian.AppendUint64(b, l.Height)
	b = append(b, l.Request[:]...)
	b = append(b, l.Status)
	b = binary.BigEndian.AppendUint32(b, l.Index)
	b = append(b, l.Op[:]...)
	b = binary.BigEndian.AppendUint32(b, l.Code)
	b = append(b, l.Result[:]...)
	return sum(b)
}

// OpDigest is the digest of an operation's bytes.
func OpDigest(op []byte) crypto.Digest { return dataDigest(domainOp, op) }

// ResultDigest is the digest of a result's data. Nil and empty are the same.
func ResultDigest(data []byte) crypto.Digest { return dataDigest(domainResult, data) }
