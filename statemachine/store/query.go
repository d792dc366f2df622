package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/statemachine/store/proof"
)

// What begins the queries that a [Machine] answers itself. A handler's own queries must
// not begin with it.
var (
	ownMagic   = []byte("\xffparley/store/")
	proofMagic = append(ownMagic[:len(ownMagic):len(ownMagic)], "proof\x01"...)
	feedMagic  = append(ownMagic[:len(ownMagic):len(ownMagic)], "feed\x01"...)
)

// IsStoreQuery tells whether a query is one that a [Machine] answers itself.
func IsStoreQuery(q []byte) bool { return bytes.HasPrefix(q, ownMagic) }

// IsFeedQuery tells whether a query is a [LinksQuery] or a [PiecesQuery].
func IsFeedQuery(q []byte) bool { return bytes.HasPrefix(q, feedMagic) }

// ErrQuery is wrapped by the errors for queries that are malformed.
var ErrQuery = errors.New("store query")

// ProofQuery returns the query for the proof of what the state after the block of a
// height maps key to, which [proof.Decode] reads. Replicas take digests at checkpoints,
// so the height is that of one, not so long ago that it is pruned.
func ProofQuery(height uint64, key []byte) []byte {
	b := append([]byte(nil), proofMagic...)
	return append(binary.BigEndian.AppendUint64(b, height), key...)
}

// prove answers a proof query; q is what follows the magic.
func (m *Machine) prove(q []byte) ([]byte, error) {
	if len(q) < 8+1 || len(q) > 8+MaxKeyBytes {
		return nil, fmt.Errorf("%w: a height and a key of 1 to %d bytes are wanted, there are %d bytes", ErrQuery, MaxKeyBytes, len(q))
	}
	v, err := m.store.At(binary.BigEndian.Uint64(q))
	if err != nil {
		return nil, err
	}
	var p *proof.Proof
	if failed := Catch(func() { p, err = v.Prove(q[8:]) }); failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	return p.Encode(), nil
}
