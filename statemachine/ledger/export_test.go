package ledger

import (
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Try runs an operation on a state, audits it if it succeeds, and discards it.
func Try(s *store.Store, cfg Config, b *statemachine.Block, op *statemachine.Op) (statemachine.Result, error) {
	cfg.Verifier = ed25519.NewVerifier(64)
	h := &Handler{cfg: cfg}
	t := s.Block().Begin()
	defer t.Discard()
	r := h.Apply(t, b, op)
	if r.Code != statemachine.CodeOK {
		return r, nil
	}
	return r, Check(t)
}
