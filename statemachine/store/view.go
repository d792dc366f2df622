package store

import (
	"iter"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// View is the state after a block, as a [Reader] for any number of goroutines. It is
// good until its height is pruned; a read after that panics with a *[HeightError]
// ([Catch] makes that an error too).
type View struct {
	s      *Store
	height uint64
	st     *state
}

var _ Reader = (*View)(nil)

// Height is the height of the block.
func (v *View) Height() uint64 { return v.height }

// Get is that of [Reader].
func (v *View) Get(key []byte) ([]byte, bool) { return v.st.content.Get(string(key)) }

// Range is that of [Reader].
func (v *View) Range(from, to []byte) iter.Seq2[[]byte, []byte] { return v.seq(from, to, false) }

// Backward is that of [Reader].
func (v *View) Backward(from, to []byte) iter.Seq2[[]byte, []byte] { return v.seq(from, to, true) }

func (v *View) seq(from, to []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for c := newMapCursor(v.st.content, from, to, reverse); c.valid(); c.next() {
			if !yield([]byte(c.key()), c.entry()) {
				return
			}
		}
	}
}

// Digest returns the digest of the state, if [Store.Digest] was asked for it at that
// height; else the error wraps [ErrNoProof].
func (v *View) Digest() (crypto.Digest, error) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if v.st.tree == nil {
		return crypto.Digest{}, v.noProof()
	}
	return proof.StateDigest(v.st.tree.Root()), nil
}

func (v *View) noProof() error {
	oldest, last := v.s.heights()
	return &HeightError{v.height, oldest, last, ErrNoProof}
}

// Prove returns the proof of what the state maps key to, under its [View.Digest].
func (v *View) Prove(key []byte) (*proof.Proof, error) {
	if _, err := v.Digest(); err != nil {
		return nil, err
	}
	p := new(proof.Proof)
	tree, ok := v.st.tree.Prove(proof.Path(key))
	if p.Tree = tree; !ok {
		p.Empty = true
		return p, nil
	}
	p.Value, p.Present = v.Get(key)
	return p, nil
}
