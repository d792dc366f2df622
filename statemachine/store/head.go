package store

import (
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// head is the record that says what the database holds. It is written with every flush,
// in the same batch as all the rest.
type head struct {
	begun        bool
	incomplete   bool // see Store.Sync
	last, oldest uint64
	version      uint64
	seals        []seal
	snapshots    []uint64
}

const (
	headFormat = 1
	maxSeals   = 1 << 24
)

func (h *head) encode() []byte {
	b := canon.AppendUint32(nil, headFormat)
	b = canon.AppendBool(b, h.begun)
	b = canon.AppendBool(b, h.incomplete)
	b = canon.AppendUint64(b, h.last)
	b = canon.AppendUint64(b, h.oldest)
	b = canon.AppendUint64(b, h.version)
	b = canon.AppendUint32(b, uint32(len(h.seals)))
	for i := range h.seals {
		b = canon.AppendUint64(b, h.seals[i].height)
		b = canon.AppendUint64(b, h.seals[i].version)
		b = appendChild(b, h.seals[i].root)
	}
	b = canon.AppendUint32(b, uint32(len(h.snapshots)))
	for _, height := range h.snapshots {
		b = canon.AppendUint64(b, height)
	}
	return b
}

func decodeHead(b []byte) (h head, err error) {
	r := canon.NewReader(b)
	if f := r.Uint32(); r.Err() == nil && f != headFormat {
		return h, fmt.Errorf("%w: %d, this program reads %d: use the version that wrote it, or discard the state, which is then made anew", ErrFormat, f, headFormat)
	}
	h.begun, h.incomplete = r.Bool(), r.Bool()
	h.last, h.oldest, h.version = r.Uint64(), r.Uint64(), r.Uint64()
	for n := r.Count(maxSeals, 17); n > 0; n-- {
		h.seals = append(h.seals, seal{r.Uint64(), r.Uint64(), readChild(r)})
	}
	for n := r.Count(maxSeals, 8); n > 0; n-- {
		h.snapshots = append(h.snapshots, r.Uint64())
	}
	if err := r.Close(); err != nil {
		return h, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return h, nil
}

const (
	childNone  = 0
	childLeaf  = 1
	childInner = 2
)

func appendChild(b []byte, c *child) []byte {
	switch {
	case c == nil:
		return append(b, childNone)
	case c.leaf:
		b = canon.AppendString(append(b, childLeaf), c.name)
		return append(b, c.digest[:]...)
	}
	b = append(b, childInner, c.digit)
	b = canon.AppendUint64(b, c.version)
	b = append(b, c.place[:]...)
	return append(b, c.digest[:]...)
}

func readChild(r *canon.Reader) *child {
	c := new(child)
	switch kind := r.Uint8(); kind {
	case childNone:
		return nil
	case childLeaf:
		c.leaf, c.name = true, string(r.Bytes(MaxKeyBytes))
		c.place = proof.Path([]byte(c.name))
	case childInner:
		if c.digit = r.Uint8(); c.digit >= merkle.Digits {
			r.Fail("digit %d", c.digit)
		}
		c.version = r.Uint64()
		r.Copy(c.place[:])
	default:
		r.Fail("child of kind %d", kind)
	}
	r.Copy(c.digest[:])
	return c
}
