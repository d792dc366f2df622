package ledger

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// The ledger's own result codes. Whatever the code, nothing was changed.
const (
	CodeInvalid          = statemachine.CodeApplication + iota // it makes no sense: an amount of 0, a payment to oneself
	CodeUnknownAccount                                         // no such account
	CodeUnknownAsset                                           // no such asset
	CodeUnknownHold                                            // no such open hold
	CodeUnknownOffer                                           // no such offer
	CodeUnknownProposal                                        // no such open proposal
	CodeExists                                                 // the name is taken
	CodeUnauthorized                                           // keys of an account are missing
	CodeBadSignature                                           // a detached signature is none of this transaction in this cluster
	CodeForeignSignature                                       // a detached signature is of a key whose account is no party
	CodeReplayed                                               // a transaction with detached signatures that ran already
	CodeSequence                                               // an account has another sequence number
	CodeExpired                                                // it, or what it acts on, ran out
	CodeTooEarly                                               // it may not run yet
	CodeTooFar                                                 // it expires further in the future than the limits allow, or never
	CodeInsufficient                                           // an account has less than that
	CodeOverflow                                               // an amount would be above the largest
	CodeSupply                                                 // more than the asset's rules let be issued
	CodeFrozen                                                 // the asset, or what an account has of it, is frozen
	CodeNotAdmitted                                            // the issuer has not admitted the account
	CodeRules                                                  // the asset's rules do not allow it
	CodeCredit                                                 // a trust line has less room than that, or lets nothing through
	CodeNoPath                                                 // no path was found within the limits
	CodeCost                                                   // it costs more than was allowed
	CodeTooMany                                                // a limit on how many there may be is reached
	CodeSecret                                                 // the hold takes another secret
	codeEnd
)

// Errors that [Result.Err] returns, by code; test with errors.Is.
var (
	ErrInvalid          = errors.New("makes no sense")
	ErrUnknownAccount   = errors.New("unknown account")
	ErrUnknownAsset     = errors.New("unknown asset")
	ErrUnknownHold      = errors.New("unknown hold")
	ErrUnknownOffer     = errors.New("unknown offer")
	ErrUnknownProposal  = errors.New("unknown proposal")
	ErrExists           = errors.New("the name is taken")
	ErrUnauthorized     = errors.New("not authorised")
	ErrBadSignature     = errors.New("signature does not verify")
	ErrForeignSignature = errors.New("signature of somebody who is no party")
	ErrReplayed         = errors.New("signed transaction ran already")
	ErrSequence         = errors.New("sequence number has passed")
	ErrExpired          = errors.New("expired")
	ErrTooEarly         = errors.New("too early")
	ErrTooFar           = errors.New("expires too late")
	ErrInsufficient     = errors.New("insufficient balance")
	ErrOverflow         = errors.New("amount overflows")
	ErrSupply           = errors.New("supply is exhausted")
	ErrFrozen           = errors.New("frozen")
	ErrNotAdmitted      = errors.New("account is not admitted")
	ErrRules            = errors.New("the asset's rules do not allow it")
	ErrCredit           = errors.New("not enough credit")
	ErrNoPath           = errors.New("no path found")
	ErrCost             = errors.New("costs too much")
	ErrTooMany          = errors.New("too many")
	ErrSecret           = errors.New("wrong secret")
	// ErrRejected is for the codes that are not the ledger's own.
	ErrRejected = errors.New("operation rejected")
)

var codeErrors = [...]error{
	ErrInvalid, ErrUnknownAccount, ErrUnknownAsset, ErrUnknownHold, ErrUnknownOffer, ErrUnknownProposal, ErrExists, ErrUnauthorized,
	ErrBadSignature, ErrForeignSignature, ErrReplayed, ErrSequence, ErrExpired, ErrTooEarly, ErrTooFar, ErrInsufficient, ErrOverflow,
	ErrSupply, ErrFrozen, ErrNotAdmitted, ErrRules, ErrCredit, ErrNoPath, ErrCost, ErrTooMany, ErrSecret,
}

// errorOf returns the error of a code.
func errorOf(c statemachine.ResultCode) error {
	if c >= CodeInvalid && c < codeEnd {
		return codeErrors[c-CodeInvalid]
	}
	return ErrRejected
}

// NoAction is [Rejection.Action] where no single action is at fault.
const NoAction = ^uint32(0)

// Rejection says why an operation was rejected, and is the error of it: errors.Is finds
// the sentinel of its code.
type Rejection struct {
	Code   statemachine.ResultCode
	Action uint32 // position of the action, or NoAction
	// Subject is the account, asset, reference or key that it is about, and Asset the
	// asset in which Have and Want are amounts, if they are.
	Subject, Asset string
	Have, Want     uint64
}

func (r *Rejection) fields(c *codec) {
	c.u32(&r.Action)
	c.text(&r.Subject, maxSubject)
	c.text(&r.Asset, MaxAssetName)
	c.u64(&r.Have)
	c.u64(&r.Want)
}

const maxSubject = 1 << 10

func (r *Rejection) Error() string {
	s := errorOf(r.Code).Error()
	if r.Code < CodeInvalid || r.Code >= codeEnd {
		s += ": " + r.Code.String()
	}
	if r.Subject != "" {
		s += ": " + r.Subject
	}
	switch {
	case r.Asset != "":
		s += fmt.Sprintf(": %d units of %s, %d are needed", r.Have, r.Asset, r.Want)
	case r.Have != 0 || r.Want != 0:
		s += fmt.Sprintf(": %d, %d needed", r.Have, r.Want)
	}
	if r.Action != NoAction {
		s += fmt.Sprintf(" (action %d)", r.Action+1)
	}
	return s
}

func (r *Rejection) Unwrap() error { return errorOf(r.Code) }

// result is the rejection as a result.
func (r *Rejection) result() statemachine.Result {
	if r.Code < CodeInvalid {
		return statemachine.Reject(r.Code, nil)
	}
	return statemachine.Reject(r.Code, encode(r))
}

// reject makes a rejection.
func reject(code statemachine.ResultCode, subject string) *Rejection {
	return &Rejection{Code: code, Action: NoAction, Subject: subject}
}

// short is a rejection for an amount.
func short(code statemachine.ResultCode, account, asset string, have, want uint64) *Rejection {
	return &Rejection{Code: code, Action: NoAction, Subject: account, Asset: asset, Have: have, Want: want}
}

// Result is the decoded result of an operation.
type Result struct {
	Code statemachine.ResultCode
	// Tx is the operation's name in statements, if it ran.
	Tx TxID
	// Pending: a proposal waits for more approvals, under Digest.
	Pending bool
	Digest  crypto.Digest
	// Cost is what the last payment or taking of an offer in it cost.
	Cost uint64
	// Rejection is set unless the code is CodeOK.
	Rejection *Rejection
}

// Err returns nil for CodeOK, and the *[Rejection] otherwise.
func (r Result) Err() error {
	if r.Rejection == nil {
		return nil
	}
	return r.Rejection
}

func (r *Result) fields(c *codec) {
	c.fixed(r.Tx[:])
	c.bool(&r.Pending)
	if r.Pending {
		c.fixed(r.Digest[:])
	}
	c.amount(&r.Cost)
}

// DecodeResult reads the result of an operation made by [Submit], [Do], [Propose],
// [Approve] or [Withdraw]. The error wraps canon.ErrMalformed.
func DecodeResult(res statemachine.Result) (Result, error) {
	out := Result{Code: res.Code}
	var err error
	switch {
	case res.Code == statemachine.CodeOK:
		err = decode(res.Data, &out)
	case res.Code < CodeInvalid || res.Code >= codeEnd:
		out.Rejection = reject(res.Code, "")
		if len(res.Data) > 0 {
			err = fmt.Errorf("%w: detail of %v", canon.ErrMalformed, res.Code)
		}
	default:
		out.Rejection = &Rejection{Code: res.Code}
		err = decode(res.Data, out.Rejection)
	}
	if err != nil {
		return Result{}, fmt.Errorf("ledger result: %w", err)
	}
	return out, nil
}
