package store

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Serve answers a request that another store's [Store.Sync] or [Store.Compare] made, from
// the state at the height that it names. The answer is bounded by about two megabytes, and
// what is read for it by 16 MiB, or one value that is longer. A state that is not
// there any more is answered too, with nothing, and so is what the storage damaged: sent,
// it would make this replica a liar. That somebody asked does not fail the store, though:
// the next to read the damaged part does, and a scrub finds it. An error says that the
// request is malformed, which no honest peer's is, or is a *[Failure].
func (s *Store) Serve(req []byte) (answer []byte, err error) {
	q, err := decodeRequest(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	v, release, err := s.heldAt(q.height)
	if err != nil {
		return nil, serveError(err)
	}
	defer release()
	v.quiet = true // a peer's question must not stop this replica
	t, err := v.seal()
	if d, derr := v.Digest(); err != nil || derr != nil || d != q.digest {
		return nil, serveError(err)
	}
	answer = make([]byte, 4)
	n, cost := 0, 0
	failed := Catch(func() {
		v.enter()
		defer v.s.users.leave()
		for ok := true; n < len(q.asks) && (n == 0 || len(answer) < answerBytes && cost < maxServe); n++ {
			if answer, ok = v.answer(answer, t.root, &q.asks[n], &cost); !ok {
				return
			}
		}
	})
	if failed != nil && errors.Is(failed, ErrCorrupt) {
		s.refused(failed)
		failed = nil
	}
	if failed != nil || n == 0 {
		return nil, serveError(failed)
	}
	answer[2], answer[3] = byte(n>>8), byte(n)
	return answer, nil
}

// refused says that a part of the state was not what its digest says.
func (s *Store) refused(err error) {
	if l := s.cfg.Logger; l != nil {
		l.Error("a part of the state that a peer asks for is damaged, it gets nothing", "error", err)
	}
	s.damaged(err)
}

// serveError drops errors that are no fault of this store.
func serveError(err error) error {
	var h *HeightError
	if errors.As(err, &h) || errors.Is(err, ErrIncomplete) {
		return nil
	}
	return err
}

// maxServe is about how many bytes are read for one answer, unless a single value is
// longer: whoever asks for the values of nodes whose values are too long to be sent
// with them would have them all read for nothing.
const maxServe = 16 << 20

// served is the most that an honest peer can have read for these parts. Of a node whose values
// it left out that is not known: they may have been long.
func served(items []item, parts []part) (cost int) {
	for i := range parts {
		it, p := &items[i], &parts[i]
		cost += nodeCost*(1+len(it.turns)) + len(p.val)
		for _, v := range p.vals {
			cost += len(v)
		}
		switch {
		case p.kind == answerLong:
			cost += p.size
		case p.kind == answerPiece:
			cost += it.long.size
		case p.kind == answerNode && it.withValues():
			cost += maxServe
		}
	}
	return cost
}

// nodeCost is what reading a node counts for.
const nodeCost = 1 << 10

// answer appends the answer to one ask, and adds to cost what was read for it. Not ok says
// that it does not have a piece that it is asked for.
func (v *View) answer(b []byte, c *child, a *ask, cost *int) (out []byte, ok bool) {
	*cost += nodeCost * (1 + len(a.turns))
	for _, d := range a.turns {
		if c == nil || c.leaf {
			return append(b, answerNone), true
		}
		c = v.load(c).at(int(d))
	}
	switch {
	case c == nil:
		return append(b, answerNone), true
	case a.piece > 0:
		return v.piece(b, c, a, cost)
	case c.leaf:
		return v.leaf(b, c, cost), true
	}
	return v.node(b, c, a.values, cost), true
}

// leaf appends a leaf with its value, or with what its value is made of.
func (v *View) leaf(b []byte, c *child, cost *int) []byte {
	r := v.find(c.name)
	*cost += len(r.value)
	if !r.deleted && proof.Pieces(len(r.value)) > 0 {
		pieces := proof.PieceDigests(r.value)
		if proof.LongDigest(len(r.value), pieces) == c.digest {
			return appendLongAnswer(b, c.name, len(r.value), pieces)
		}
	}
	return appendLeafAnswer(b, c.name, v.valueOf(c))
}

// piece appends a piece of a leaf's value. One that the storage changed is not sent, and is
// no reason to say so: whoever asks says what its digest is to be.
func (v *View) piece(b []byte, c *child, a *ask, cost *int) (out []byte, ok bool) {
	if !c.leaf {
		return b, false
	}
	r := v.find(c.name)
	*cost += len(r.value)
	if r.deleted || a.piece > proof.Pieces(len(r.value)) {
		return b, false
	}
	piece := proof.Piece(r.value, a.piece-1)
	if proof.PieceDigest(piece) != a.digest {
		return b, false
	}
	return canon.AppendBytes(append(b, answerPiece), piece), true
}

// node appends a node, with the values of its leaves if they are not too long.
func (v *View) node(b []byte, c *child, withValues bool, cost *int) []byte {
	n := v.load(c)
	if !withValues {
		return appendNodeAnswer(b, n, nil)
	}
	values, size := make([][]byte, len(n.children)), 0
	for i := range n.children {
		if n.children[i].leaf {
			values[i] = v.valueOf(&n.children[i])
			*cost += len(values[i])
			if size += len(values[i]); size > answerBytes {
				return appendNodeAnswer(b, n, nil)
			}
		}
	}
	return appendNodeAnswer(b, n, values)
}

// valueOf returns the value of a leaf, unless the storage changed it.
func (v *View) valueOf(leaf *child) []byte {
	r := v.find(leaf.name)
	if r.deleted || proof.ValueDigest(r.value) != leaf.digest {
		v.fail("serve", fmt.Errorf("%w: the value of key %x is not the one of its digest", ErrCorrupt, leaf.name))
	}
	return r.value
}
