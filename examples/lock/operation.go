package main

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// An operation is a kind, the lock's name, and then for acquire the lease's
// length, for renew the token and the length, for release the token, all in the
// canonical encoding: one operation has one encoding.
type kind uint8

const (
	acquire kind = 1
	renew   kind = 2
	release kind = 3
	inspect kind = 4
)

// Limits of an operation.
const (
	maxName  = 128 // bytes
	minLease = time.Millisecond
	maxLease = 10 * time.Minute
)

// Codes of the results that are no success.
const (
	// codeHeld: somebody has the lock; the data is their lease.
	codeHeld = statemachine.CodeApplication
	// codeNotHeld: the caller does not have the lock under that token, or not any
	// more.
	codeNotHeld = statemachine.CodeApplication + 1
	// codeFree: nobody has the lock that was inspected.
	codeFree = statemachine.CodeApplication + 2
	// codeFull: there are too many leases.
	codeFull = statemachine.CodeApplication + 3
)

type operation struct {
	kind  kind
	name  string
	token uint64        // of renew and release
	lease time.Duration // of acquire and renew
}

func (o operation) encode() []byte {
	b := canon.AppendString([]byte{byte(o.kind)}, o.name)
	if o.kind == renew || o.kind == release {
		b = canon.AppendUint64(b, o.token)
	}
	if o.kind == acquire || o.kind == renew {
		b = canon.AppendUint64(b, uint64(o.lease))
	}
	return b
}

// decodeOperation answers what is wrong with the operation by a code, since that
// is a result like others.
func decodeOperation(data []byte) (operation, statemachine.ResultCode) {
	r := canon.NewReader(data)
	o := operation{kind: kind(r.Uint8())}
	if r.Err() == nil && (o.kind < acquire || o.kind > inspect) {
		return o, statemachine.CodeUnsupported
	}
	o.name = string(r.Bytes(maxName))
	if o.kind == renew || o.kind == release {
		o.token = r.Uint64()
	}
	if o.kind == acquire || o.kind == renew {
		length := r.Uint64()
		if r.Err() == nil && (length < uint64(minLease) || length > uint64(maxLease)) {
			return o, statemachine.CodeMalformed
		}
		o.lease = time.Duration(length)
	}
	if r.Close() != nil || o.name == "" {
		return o, statemachine.CodeMalformed
	}
	return o, statemachine.CodeOK
}

// lease says who has a lock, and until when.
type lease struct {
	Owner crypto.PublicKey
	// Token is higher than that of every lease before. What the lock protects
	// remembers the highest it has seen and refuses lower ones.
	Token uint64
	// Expires is the block time from which on the lease is void.
	Expires statemachine.Time
}

func (l lease) encode() []byte {
	b := append([]byte(nil), l.Owner[:]...)
	b = canon.AppendUint64(b, l.Token)
	return canon.AppendUint64(b, uint64(l.Expires))
}

func decodeLease(data []byte) (lease, error) {
	r := canon.NewReader(data)
	var l lease
	r.Copy(l.Owner[:])
	l.Token, l.Expires = r.Uint64(), statemachine.Time(r.Uint64())
	if err := r.Close(); err != nil {
		return lease{}, fmt.Errorf("lease: %w", err)
	}
	return l, nil
}
