package endpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/contract"
)

// sendAPI are the methods that change something.
type sendAPI struct {
	pool  *pool
	reads *contract.API
}

// SendRawTransaction is eth_sendRawTransaction. It returns when the transaction has been
// executed, or refused: then it has changed nothing and never will but if it is sent
// again. One that is in the chain already is no error: its hash is returned.
func (a *sendAPI) SendRawTransaction(ctx context.Context, raw hexutil.Bytes) (common.Hash, error) {
	tx, err := a.pool.send(ctx, raw)
	if err != nil {
		return common.Hash{}, sendError(raw, err)
	}
	return tx.Hash(), nil
}

// SendRawTransactionSync is eth_sendRawTransactionSync of EIP-7966: it returns the
// receipt. The timeout is in milliseconds, as a number or in hex: clients write both.
func (a *sendAPI) SendRawTransactionSync(ctx context.Context, raw hexutil.Bytes, timeout *math.HexOrDecimal64) (any, error) {
	patience := ctx
	if timeout != nil && *timeout > 0 && uint64(*timeout) < uint64(time.Hour/time.Millisecond) {
		var cancel context.CancelFunc
		patience, cancel = context.WithTimeout(ctx, time.Duration(*timeout)*time.Millisecond)
		defer cancel()
	}
	// Before it is sent: who may not read the receipt would not learn that it ran.
	if err := contract.MayRead(a.reads, "eth_getTransactionReceipt"); err != nil {
		return nil, err
	}
	tx, err := a.pool.send(patience, raw)
	switch {
	case tx != nil && errors.Is(err, context.DeadlineExceeded) && patience.Err() != nil && ctx.Err() == nil:
		return nil, &noReceipt{tx.Hash()}
	case err != nil:
		return nil, sendError(raw, err)
	}
	return a.reads.GetTransactionReceipt(ctx, tx.Hash())
}

// noReceipt says in JSON-RPC, as EIP-7966 has it, that the time for a receipt is over.
type noReceipt struct{ hash common.Hash }

func (e *noReceipt) Error() string {
	return "the transaction was handed in and has no receipt yet: ask for that later, or send the same bytes again"
}

func (e *noReceipt) ErrorCode() int { return 4 }

// ErrorData is the transaction's hash.
func (e *noReceipt) ErrorData() any { return e.hash.Hex() }

// codeRejected is the code of JSON-RPC errors for transactions that were refused.
const codeRejected = -32003

// rejected says in JSON-RPC that a transaction was refused.
type rejected struct{ *contract.RejectedError }

func (e *rejected) ErrorCode() int { return codeRejected }

// ErrorData is the result's code.
func (e *rejected) ErrorData() any { return fmt.Sprintf("parley result code %d", e.Code) }

// refused says in JSON-RPC that the access policy refused a transaction.
type refused struct{ *access.Refusal }

func (e *refused) ErrorCode() int { return codeRejected }

// ErrorData names the rule.
func (e *refused) ErrorData() any { return "parley access rule " + e.Rule.String() }

// unprotected says it of a transaction without a chain id, with words that tools know.
type unprotected struct{ *rejected }

func (e *unprotected) Error() string {
	return "only replay-protected (EIP-155) transactions are taken: a signature without a chain id is good on every chain"
}

func sendError(raw []byte, err error) error {
	var r *contract.RejectedError
	var policy *access.Refusal
	switch {
	case errors.As(err, &r):
		tx := new(types.Transaction)
		if r.Code == contract.CodeForeign && tx.UnmarshalBinary(raw) == nil && !tx.Protected() {
			return &unprotected{&rejected{r}}
		}
		return &rejected{r}
	case errors.As(err, &policy):
		return &refused{policy}
	}
	return err
}
