package contract

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/parley-bft/parley/statemachine"
)

// Codes of results. Beside these a transaction may end as CodeOK, CodeMalformed (it
// does not decode, or contradicts itself), CodeUnsupported (a type of transaction that
// there is not here, blobs) and CodeTooLarge.
//
// Codes from CodeReverted to CodeFailed say that the transaction is in the chain with a
// receipt of status 0: what it did is undone but for what Ethereum takes for a failure,
// which is the sender's nonce and the price of the gas. After all other codes nothing
// has changed.
const (
	// CodeReverted: the contract said no. The outcome's Output is what it said.
	CodeReverted = statemachine.CodeApplication + iota
	// CodeOutOfGas: the transaction's gas limit did not suffice.
	CodeOutOfGas
	// CodeBadInstruction: the code ran into something that is no instruction, jumped to
	// where there is none, or used a stack that is empty or full.
	CodeBadInstruction
	// CodeNotDeployed: the code to be deployed is over the limit or begins with 0xef, or
	// there is a contract at the address.
	CodeNotDeployed
	// CodeFailed: the execution failed in some other way.
	CodeFailed
)

const (
	// CodeNonceUsed: the sender has sent a transaction with that nonce. A replay ends so.
	CodeNonceUsed = CodeReverted + 20 + iota
	// CodeNonceAhead: transactions of the sender before this one are missing.
	CodeNonceAhead
	// CodeForeign: the signature is for another chain or for all, or none at all.
	CodeForeign
	// CodeFunds: the sender cannot pay for the value and all of the gas.
	CodeFunds
	// CodeGasTooLow: the gas limit is below what the transaction costs before it runs.
	CodeGasTooLow
	// CodeGasTooHigh: the gas limit is above that of the chain for a transaction.
	CodeGasTooHigh
	// CodeBlockFull: the block has no room for the gas limit. Send the same transaction
	// again.
	CodeBlockFull
	// CodeFeeTooLow: the sender pays less for gas than the base fee.
	CodeFeeTooLow
	// CodeSender: the sender is a contract.
	CodeSender
)

var codeNames = map[statemachine.ResultCode]string{
	CodeReverted:       "execution reverted",
	CodeOutOfGas:       "out of gas",
	CodeBadInstruction: "invalid instruction, jump or stack",
	CodeNotDeployed:    "code cannot be deployed",
	CodeFailed:         "execution failed",
	CodeNonceUsed:      "nonce too low",
	CodeNonceAhead:     "nonce too high",
	CodeForeign:        "signature is not for this chain",
	CodeFunds:          "insufficient funds for gas * price + value",
	CodeGasTooLow:      "intrinsic gas too low",
	CodeGasTooHigh:     "transaction gas limit too high",
	CodeBlockFull:      "block gas limit reached",
	CodeFeeTooLow:      "max fee per gas less than block base fee",
	CodeSender:         "sender is a contract",
}

// CodeText says in words what a code means.
func CodeText(c statemachine.ResultCode) string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return c.String()
}

// Included tells whether a transaction that ended with this code is in the chain.
func Included(c statemachine.ResultCode) bool {
	return c == statemachine.CodeOK || c >= CodeReverted && c <= CodeFailed
}

// refusal is the code for a transaction that cannot be in the chain. The texts of
// go-ethereum are in no result: another version may say it in other words.
func refusal(err error) statemachine.ResultCode {
	for _, r := range []struct {
		err  error
		code statemachine.ResultCode
	}{
		{core.ErrNonceTooLow, CodeNonceUsed},
		{core.ErrNonceTooHigh, CodeNonceAhead},
		{core.ErrNonceMax, CodeNonceUsed},
		{core.ErrGasLimitTooHigh, CodeGasTooHigh},
		{core.ErrSenderNoEOA, CodeSender},
		{core.ErrFeeCapTooLow, CodeFeeTooLow},
		{core.ErrGasLimitReached, CodeBlockFull},
		{core.ErrInsufficientFunds, CodeFunds},
		{core.ErrInsufficientFundsForTransfer, CodeFunds},
		{core.ErrIntrinsicGas, CodeGasTooLow},
		{core.ErrFloorDataGas, CodeGasTooLow},
		{vm.ErrMaxInitCodeSizeExceeded, statemachine.CodeTooLarge},
		{core.ErrTxTypeNotSupported, statemachine.CodeUnsupported},
	} {
		if errors.Is(err, r.err) {
			return r.code
		}
	}
	return statemachine.CodeMalformed
}

// failure is the code for a transaction that is in the chain and ended with err.
func failure(err error) statemachine.ResultCode {
	var (
		underflow *vm.ErrStackUnderflow
		overflow  *vm.ErrStackOverflow
		opcode    *vm.ErrInvalidOpCode
	)
	switch {
	case err == nil:
		return statemachine.CodeOK
	case errors.Is(err, vm.ErrExecutionReverted):
		return CodeReverted
	case errors.Is(err, vm.ErrOutOfGas), errors.Is(err, vm.ErrCodeStoreOutOfGas), errors.Is(err, vm.ErrGasUintOverflow):
		return CodeOutOfGas
	case errors.As(err, &underflow), errors.As(err, &overflow), errors.As(err, &opcode), errors.Is(err, vm.ErrInvalidJump):
		return CodeBadInstruction
	case errors.Is(err, vm.ErrMaxCodeSizeExceeded), errors.Is(err, vm.ErrInvalidCode), errors.Is(err, vm.ErrContractAddressCollision):
		return CodeNotDeployed
	}
	return CodeFailed
}

// Outcome is what became of a transaction that is in the chain: the data of its
// operation's result, which a receipt of Parley proves.
type Outcome struct {
	// Hash is the transaction's, Height and Index its place.
	Hash   common.Hash
	Height uint64
	Index  uint64
	// GasUsed is what it used, after refunds.
	GasUsed uint64
	// Contract is the contract that it was to deploy, if any.
	Contract common.Address
	// Logs are its events. Output is what the call returned, or a revert's reason.
	Logs   []*types.Log
	Output []byte
	// Cut says that logs and output were left out because they are long: ask for the
	// receipt.
	Cut bool
}

// maxOutcomeBytes bounds what a result repeats of logs and output.
const maxOutcomeBytes = 64 << 10

func (o *Outcome) encode() []byte {
	size := len(o.Output)
	for _, l := range o.Logs {
		size += len(l.Data) + (len(l.Topics)+2)*common.HashLength
	}
	out := *o
	if size > maxOutcomeBytes {
		out.Logs, out.Output, out.Cut = nil, nil, true
	}
	b, err := rlp.EncodeToBytes(&out)
	if err != nil {
		panic(fmt.Sprintf("contract: an outcome does not encode: %v", err)) // a bug
	}
	return b
}

// ErrOutcome says that a result is none of this application's.
var ErrOutcome = errors.New("malformed outcome of a transaction")

// DecodeOutcome reads a result. For a transaction that is not in the chain the error is
// a *[RejectedError], for one that is and failed there is an outcome and its code is in
// the result.
func DecodeOutcome(r statemachine.Result) (*Outcome, error) {
	if !Included(r.Code) {
		return nil, &RejectedError{r.Code}
	}
	o := new(Outcome)
	if err := rlp.DecodeBytes(r.Data, o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutcome, err)
	}
	return o, nil
}

// RejectedError says that a transaction is not in the chain and has changed nothing.
type RejectedError struct{ Code statemachine.ResultCode }

func (e *RejectedError) Error() string { return CodeText(e.Code) }
