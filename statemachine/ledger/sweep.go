package ledger

import (
	"bytes"

	"github.com/parley-bft/parley/crypto"
)

// sweep clears away what has expired, at most MaxExpiries of it. What is left waits for
// the next block: whoever acts on it meanwhile is told that it expired.
func (x *exec) sweep() {
	var due [][]byte
	for k := range x.t.Range([]byte{spaceDue}, dueKey(x.now, []byte{0xff})) {
		if len(due) == x.l.cfg.Limits.MaxExpiries {
			break
		}
		due = append(due, bytes.Clone(k))
	}
	for _, k := range due {
		x.clear(k[1+8:])
		x.t.Delete(k)
	}
}

// clear ends what has the key; the key is not that of anything still open which expires
// later, because whatever closes or replaces it takes it from the queue.
func (x *exec) clear(k []byte) {
	switch k[0] {
	case spaceHold:
		names, _, _ := splitKey(k, 2)
		h, err := x.hold(names[0], names[1])
		if err != nil {
			return
		}
		x.memo = h.Memo
		x.unhold(EntryExpiry, names[0], names[1], &h, h.Amount)
	case spaceOffer:
		names, _, _ := splitKey(k, 2)
		x.removeOffer(names[0], names[1])
	case spaceProposal:
		x.removeProposal(crypto.Digest(k[1:]))
	case spaceSpent:
		x.t.Delete(k)
	}
}
