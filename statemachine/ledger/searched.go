package ledger

import "github.com/parley-bft/parley/crypto"

// searched is how many lines and offers the searches of each client have looked at in the
// block at hand. A search that finds nothing costs as much as hundreds of transfers, and a
// block has room for thousands: whoever has had blockSearches of the longest has no more
// until the next block. What others may search for does not depend on it.
type searched map[crypto.PublicKey]int

const blockSearches = 32

// spent tells whether a client has had its searches in this block.
func (h *Handler) spent(client crypto.PublicKey) bool {
	return h.searched[client] >= blockSearches*h.cfg.Limits.MaxPathEdges
}

// charge notes what a client's operation has looked at.
func (h *Handler) charge(client crypto.PublicKey, edges int) {
	if edges == 0 {
		return
	}
	if h.searched == nil {
		h.searched = make(searched)
	}
	h.searched[client] += edges
}

// overspent is the rejection of a search for which nothing is left.
func (h *Handler) overspent(client crypto.PublicKey) error {
	return tooMany("lines and offers that searches of "+client.Hex()+" look at in one block: submit it again, in a later one",
		uint64(h.searched[client]), uint64(blockSearches*h.cfg.Limits.MaxPathEdges))
}
