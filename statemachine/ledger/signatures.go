package ledger

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// claim is that a key has signed a transaction.
type claim struct {
	digest    crypto.Digest
	signature Signature
}

// verified are the claims of the block at hand that were checked together, which costs
// half of checking each by itself: see ed25519.Verifier. A batch decides as single checks
// do, so it makes no difference to any result.
type verified map[claim]bool

// checkSignatures checks the detached signatures of the operations of a block that may run,
// by the state before it. Those of the others it leaves alone, since these are refused
// for less; if one may run after all, because of an operation before it, its signatures are
// checked then. The first of each operation come before all others, and where one is bad so
// is the operation: who the parties are anybody can read, and rubbish in their names costs no
// more than one signature.
func (h *Handler) checkSignatures(t store.Txn, b *statemachine.Block) {
	clear(h.verified)
	var first, others []claim
	var more [][]claim
	for i := range b.Ops {
		if of := h.claims(b.Ops[i].Data); len(of) > 0 && h.entitled(t, b, &b.Ops[i]) {
			first = append(first, of[0])
			more = append(more, of[1:])
		}
	}
	h.check(first)
	for i, of := range more {
		if h.verified[first[i]] {
			others = append(others, of...)
		}
	}
	h.check(others)
}

func (h *Handler) entitled(t store.Txn, b *statemachine.Block, in *statemachine.Op) (may bool) {
	defer func() {
		v := recover()
		if halt, ok := v.(statemachine.Halt); ok {
			panic(halt)
		} else if v != nil {
			may = false // it panics again when it is run, which is the end of this operation alone
		}
	}()
	var op operation
	if h.cfg.Limits.decodeOperation(in.Data, &op) != statemachine.CodeOK {
		return false
	}
	x := exec{l: h, t: t, now: b.Time, height: b.Height, client: in.Client, authority: []crypto.PublicKey{in.Client}}
	_, err := x.entitled(&op)
	return err == nil
}

// claims are the detached signatures that an operation carries.
func (h *Handler) claims(data []byte) []claim {
	if len(data) == 0 || data[0] != opSubmit {
		return nil
	}
	r := canon.NewReader(data[1:])
	body := r.Bytes(maxBody)
	n := r.Count(h.cfg.Limits.MaxSignatures, crypto.PublicKeySize+crypto.SignatureSize)
	if n == 0 {
		return nil
	}
	claims := make([]claim, n)
	d := digestOf(body)
	for i := range claims {
		c := &claims[i]
		c.digest = d
		r.Copy(c.signature.Key[:])
		r.Copy(c.signature.Sig[:])
	}
	return claims
}

// Cosigners is access.Cosigned: those who have signed a transaction that a client
// submits.
func (h *Handler) Cosigners(op *statemachine.Op) []crypto.PublicKey {
	claims := h.claims(op.Data)
	keys := make([]crypto.PublicKey, len(claims))
	for i := range claims {
		keys[i] = claims[i].signature.Key
	}
	return keys
}

// check checks claims, and remembers the answers until the next block.
func (h *Handler) check(claims []claim) {
	if len(claims) == 0 {
		return
	}
	items := make([]crypto.Item, len(claims))
	for i := range claims {
		c := &claims[i]
		items[i] = crypto.Item{Key: c.signature.Key, Context: Context(h.cfg.Cluster), Message: c.digest[:], Signature: c.signature.Sig}
	}
	if h.verified == nil {
		h.verified = make(verified)
	}
	for i, good := range h.cfg.Verifier.VerifyBatch(items) {
		h.verified[claims[i]] = good
	}
}

// signed tells whether the claim holds.
func (h *Handler) signed(c claim) bool {
	good, known := h.verified[c]
	if !known {
		h.check([]claim{c})
		good = h.verified[c]
	}
	return good
}
