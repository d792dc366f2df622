package store

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// A value that is longer than an answer comes in pieces. Its leaf comes with a list of the
// digests of its pieces, which the leaf's digest covers, so any peer can be asked for any piece,
// and each is checked as it comes. Only one value is put together at a time, and nothing else
// is asked for until it is there: that bounds the memory.

// pieceList is what a long value is made of.
type pieceList struct {
	size    int
	digests []crypto.Digest
}

// assembly is a long value that is being put together.
type assembly struct {
	item  item
	value []byte
	todo  []int // pieces to ask for, the next one last
	left  int   // pieces that are not here
}

// begin begins to put a value together.
func (w *descent) begin(it item) {
	a := &assembly{item: it, value: make([]byte, it.long.size), left: len(it.long.digests)}
	for i := range it.long.digests {
		a.todo = append(a.todo, len(it.long.digests)-1-i)
	}
	w.assembly = a
}

// cutPiece takes the next piece that is to be asked for: one for each job, so that peers
// share the work.
func (w *descent) cutPiece() *job {
	a := w.assembly
	if len(a.todo) == 0 {
		return nil // all of them are under way
	}
	i := a.todo[len(a.todo)-1]
	a.todo = a.todo[:len(a.todo)-1]
	it := a.item
	it.piece = i + 1
	j := &job{items: []item{it}}
	w.jobs = append(w.jobs, j)
	return j
}

// isPiece tells whether a part is the piece that was asked for.
func (it *item) isPiece(p *part) bool {
	return p.kind == answerPiece && proof.PieceDigest(p.val) == it.long.digests[it.piece-1]
}

// mergePiece puts a piece in its place, and ends the assembly with the last one.
func (w *descent) mergePiece(it *item, p *part) {
	a := w.assembly
	copy(a.value[(it.piece-1)*proof.PieceBytes:], p.val)
	if a.left--; a.left > 0 {
		return
	}
	w.assembly = nil
	w.stats.Values++
	w.visit.value(it.leaf, a.value)
}

// full tells that it is enough for once. A value that was begun is finished first.
func (w *descent) full() bool { return w.assembly == nil && w.visit.full() }
