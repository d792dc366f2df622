package registry

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Cosigners is access.Cosigned: those who have signed the envelope, if it is one.
func (h *Handler) Cosigners(op *statemachine.Op) []crypto.PublicKey {
	if len(op.Data) == 0 || Kind(op.Data[0]) != KindSigned {
		return nil
	}
	e, err := signed.Decode(op.Data[1:])
	if err != nil {
		return nil // it will not run
	}
	keys := make([]crypto.PublicKey, len(e.Signatures))
	for i := range keys {
		keys[i] = e.Signatures[i].Key
	}
	return keys
}
