package contract

import (
	"errors"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/statemachine"
)

// MaxTransactionBytes is the length of the longest transaction: that of geth's pool.
const MaxTransactionBytes = 128 << 10

// signer verifies signatures for one chain.
func (g *Genesis) signer() types.Signer {
	return types.LatestSigner(g.ChainConfig())
}

// decode reads an operation, a signed transaction in Ethereum's encoding, and checks
// what needs no state.
func decode(raw []byte, signer types.Signer) (*types.Transaction, common.Address, statemachine.ResultCode) {
	var none common.Address
	if len(raw) > MaxTransactionBytes {
		return nil, none, statemachine.CodeTooLarge
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		if errors.Is(err, types.ErrTxTypeNotSupported) {
			return nil, none, statemachine.CodeUnsupported
		}
		return nil, none, statemachine.CodeMalformed
	}
	if tx.Type() == types.BlobTxType {
		return nil, none, statemachine.CodeUnsupported
	}
	// A signature without a chain id is good on every chain that there will ever be.
	if !tx.Protected() {
		return nil, none, CodeForeign
	}
	from, err := types.Sender(signer, tx)
	if err != nil {
		return nil, none, CodeForeign
	}
	return tx, from, statemachine.CodeOK
}
