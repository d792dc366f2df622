package crypto

import (
	"errors"
	"fmt"
)

// ReplicaID is the index of a replica in the members of its cluster and epoch.
type ReplicaID uint16

// Share is one replica's signature on a statement.
type Share struct {
	Signer    ReplicaID
	Signature []byte
}

// Signer holds one replica's private key of a scheme. It is safe for concurrent
// use. Signing is deterministic: the same context and message give the same bytes.
type Signer interface {
	Sign(c Context, msg []byte) []byte
}

// Scheme is a signature scheme over the public keys of one epoch's members. It
// is immutable after construction and safe for concurrent use.
type Scheme interface {
	// Name is the scheme's name in the cluster file.
	Name() string

	// VerifyShare checks one replica's signature on msg.
	// The error wraps ErrBadSignature or ErrUnknownSigner.
	VerifyShare(c Context, msg []byte, s Share) error

	// VerifyShares checks several signatures at once and reports for each whether
	// it holds. A scheme that can check a batch for less does.
	VerifyShares(checks []ShareCheck) []error

	// Aggregate joins shares on one message, in ascending order of signers and
	// none twice, into one proof. It does not verify them; it fails only on a
	// share that is not even well formed, and then names it (*CulpritError).
	Aggregate(shares []Share) ([]byte, error)

	// VerifyAggregate checks that every replica in signers signed msg. The
	// encoding is canonical: one set of signers and shares has one valid form.
	VerifyAggregate(c Context, msg []byte, signers Bitmap, proof []byte) error

	// Lazy tells whether checking an aggregate is so much cheaper than checking
	// its shares that shares should be checked only when the aggregate fails. With
	// other schemes shares are checked before they are aggregated, those of a quorum.
	Lazy() bool
}

// ShareCheck is one item of [Scheme.VerifyShares].
type ShareCheck struct {
	Context Context
	Message []byte
	Share   Share
}

// Errors that schemes wrap; test with errors.Is.
var (
	ErrBadSignature  = errors.New("signature does not verify")
	ErrUnknownSigner = errors.New("signer is not a member")
	ErrMalformed     = errors.New("malformed encoding")
)

var (
	errNoShares = errors.New("no shares to aggregate")
	errOrder    = errors.New("shares are not in ascending order of distinct signers")
)

// CulpritError names the replica whose share is not acceptable.
type CulpritError struct {
	Signer ReplicaID
	Err    error
}

func (e *CulpritError) Error() string { return fmt.Sprintf("share of replica %d: %v", e.Signer, e.Err) }

// Unwrap returns the reason.
func (e *CulpritError) Unwrap() error { return e.Err }
