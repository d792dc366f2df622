package store

import (
	"errors"
	"fmt"
)

// Serve answers a request that another store's [Store.Sync] made, from the state at the
// height that it names. It costs what it answers, which is bounded: a few thousand nodes
// and about a megabyte, or one value that is longer. A state that is not there any more
// is answered too, with nothing. An error says that the request is malformed, which no
// honest peer's is, or is a *[Failure].
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
	t, err := v.seal()
	if d, derr := v.Digest(); err != nil || derr != nil || d != q.digest {
		return nil, serveError(err)
	}
	answer = make([]byte, 4)
	n := 0
	failed := Catch(func() {
		v.enter()
		defer v.s.users.leave()
		for ; n < len(q.asks) && (n == 0 || len(answer) < answerBytes); n++ {
			answer = v.answer(answer, t.root, &q.asks[n])
		}
	})
	if failed != nil {
		return nil, serveError(failed)
	}
	answer[2], answer[3] = byte(n>>8), byte(n)
	return answer, nil
}

// serveError drops errors that are no fault of this store.
func serveError(err error) error {
	var h *HeightError
	if errors.As(err, &h) || errors.Is(err, ErrIncomplete) {
		return nil
	}
	return err
}

// answer appends the answer to one ask.
func (v *View) answer(b []byte, c *child, a *ask) []byte {
	for _, d := range a.turns {
		if c == nil || c.leaf {
			return append(b, answerNone)
		}
		c = v.load(c).at(int(d))
	}
	switch {
	case c == nil:
		return append(b, answerNone)
	case c.leaf:
		return appendLeafAnswer(b, c.name, v.find(c.name).value)
	}
	n := v.load(c)
	if !a.values {
		return appendNodeAnswer(b, n, nil)
	}
	values, size := make([][]byte, len(n.children)), 0
	for i := range n.children {
		if n.children[i].leaf {
			values[i] = v.find(n.children[i].name).value
			if size += len(values[i]); size > answerBytes {
				return appendNodeAnswer(b, n, nil)
			}
		}
	}
	return appendNodeAnswer(b, n, values)
}
