package endpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

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
		return common.Hash{}, sendError(err)
	}
	return tx.Hash(), nil
}

// SendRawTransactionSync is eth_sendRawTransactionSync of EIP-7966: it returns the
// receipt. The timeout is in milliseconds.
func (a *sendAPI) SendRawTransactionSync(ctx context.Context, raw hexutil.Bytes, timeout *hexutil.Uint64) (any, error) {
	if timeout != nil && *timeout > 0 && uint64(*timeout) < uint64(time.Hour/time.Millisecond) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*timeout)*time.Millisecond)
		defer cancel()
	}
	// Before it is sent: who may not read the receipt would not learn that it ran.
	if err := contract.MayRead(a.reads, "eth_getTransactionReceipt"); err != nil {
		return nil, err
	}
	tx, err := a.pool.send(ctx, raw)
	if err != nil {
		return nil, sendError(err)
	}
	return a.reads.GetTransactionReceipt(ctx, tx.Hash())
}

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

func sendError(err error) error {
	var r *contract.RejectedError
	var policy *access.Refusal
	switch {
	case errors.As(err, &r):
		return &rejected{r}
	case errors.As(err, &policy):
		return &refused{policy}
	}
	return err
}
