package main

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
)

// rejection says why a transaction is not in the chain, and what to do: what Ethereum calls
// it, and the figures as they are now, if they are to be had.
func (r *contractReading) rejection(code statemachine.ResultCode, g *contract.Genesis, from common.Address, tx *types.Transaction) string {
	text := contract.CodeText(code)
	switch code {
	case contract.CodeNonceUsed, contract.CodeNonceAhead:
		return text + r.aboutNonce(code, from, tx)
	case contract.CodeFunds:
		cost := tx.Cost()
		text += fmt.Sprintf(": the value of %v wei and %d gas at %v wei each are %v wei", tx.Value(), tx.Gas(), tx.GasFeeCap(), cost)
		var have hexutil.Big
		if r.call(&have, "eth_getBalance", from, "latest") == nil {
			text += fmt.Sprintf(", and %v has %v wei: %v are missing", from, have.ToInt(), new(big.Int).Sub(cost, have.ToInt()))
		}
	case contract.CodeGasTooLow:
		text += fmt.Sprintf(": the limit of %d gas is less than what the transaction costs before it runs: give more with --gas, or leave it out", tx.Gas())
	case contract.CodeGasTooHigh:
		text += fmt.Sprintf(": the limit is %d gas, and a transaction of this chain has at most %d: give less with --gas", tx.Gas(), g.TxGasLimit)
	case contract.CodeBlockFull:
		text += ": other transactions had all the gas of the block: send it again"
	}
	return text
}

// aboutNonce says which nonce the account's next transaction has, or that this one ran.
func (r *contractReading) aboutNonce(code statemachine.ResultCode, from common.Address, tx *types.Transaction) string {
	var receipt *struct {
		BlockNumber *hexutil.Big `json:"blockNumber"`
	}
	if code == contract.CodeNonceUsed && r.call(&receipt, "eth_getTransactionReceipt", tx.Hash()) == nil && receipt != nil {
		return fmt.Sprintf(": this very transaction ran already, in block %v: 'parley contract receipt %v' shows how it ended", receipt.BlockNumber.ToInt(), tx.Hash())
	}
	text := fmt.Sprintf(": the transaction has nonce %d", tx.Nonce())
	var next hexutil.Uint64
	if r.call(&next, "eth_getTransactionCount", from, "latest") == nil {
		text += fmt.Sprintf(", and the next one of %v must have %d", from, uint64(next))
	}
	if code == contract.CodeNonceAhead {
		return text + ": send those before it first, or leave out --nonce"
	}
	return text + ": leave out --nonce; if it was left out, another process sends with this key: try again"
}

// failureText says how a transaction failed that is in the chain.
func failureText(code statemachine.ResultCode, o *contract.Outcome, tx *types.Transaction, contractABI *abi.ABI) string {
	text := contract.CodeText(code)
	switch code {
	case contract.CodeReverted:
		if o.Cut {
			return text + ": the reason is long"
		}
		return revertText(o.Output, contractABI)
	case contract.CodeOutOfGas:
		text += fmt.Sprintf(": the limit was %d: give more with --gas, or leave it out", tx.Gas())
	}
	return text
}

// notSent turns the no that a transaction met when it was tried into an error.
func notSent(err error, contractABI *abi.ABI) error {
	err = contractRefusal(err, contractABI)
	var no *absentError
	if errors.As(err, &no) {
		return &absentError{"refused when it was tried, and nothing was sent: " + no.msg}
	}
	return err
}

// contractRefusal turns a contract's no to a call into an error.
func contractRefusal(err error, contractABI *abi.ABI) error {
	var e *contractCallError
	if !errors.As(err, &e) {
		return err
	}
	if text, ok := e.Data.(string); ok && e.Code == (&contract.RevertError{}).ErrorCode() {
		if data, err := hexutil.Decode(text); err == nil {
			return &absentError{revertText(data, contractABI)}
		}
	}
	return &absentError{e.Message}
}

// revertText says what a contract gave as the reason of its refusal.
func revertText(data []byte, contractABI *abi.ABI) string {
	if contractABI != nil && len(data) >= 4 {
		if e, err := contractABI.ErrorByID([4]byte(data[:4])); err == nil {
			if values, err := e.Inputs.Unpack(data[4:]); err == nil {
				return "execution reverted: " + e.Name + formatABIValues(values)
			}
		}
	}
	text := (&contract.RevertError{Data: data}).Error()
	if text == "execution reverted" && len(data) > 0 {
		text += ": " + hexutil.Encode(data)
		if contractABI == nil {
			text += " (--abi names the contract's own errors)"
		}
	}
	return text
}
