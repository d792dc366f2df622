package signed

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// Space is where a signature counts.
type Space struct {
	// Chain is the digest that the application is known by: of a cluster's, the
	// cluster's id.
	Chain crypto.Digest
	// Application is the application's name.
	Application string
}

// Signature is one key's.
type Signature struct {
	Key       crypto.PublicKey `json:"key"`
	Signature crypto.Signature `json:"signature"`
}

// Envelope is an operation with signatures. Two envelopes of the same operation and
// deadline are the same to a [Opener], whoever signed: only one of them works.
type Envelope struct {
	// Deadline is the block time after which the envelope is void.
	Deadline statemachine.Time
	// Op is the operation, in the application's encoding.
	Op []byte
	// Signatures are in ascending order of their keys, none twice.
	Signatures []Signature
}

const (
	domainEnvelope = crypto.Domain("parley/signed-envelope")
	maxOp          = 1 << 30
)

// Digest is what the signatures in a space are made on.
func (e *Envelope) Digest(s Space) crypto.Digest {
	b := canon.AppendString(nil, s.Application)
	b = canon.AppendUint64(b, uint64(e.Deadline))
	return crypto.Hash(domainEnvelope, b, e.Op)
}

func (s Space) context() crypto.Context {
	return crypto.Context{Kind: crypto.KindApplication, Cluster: s.Chain}
}

// Sign adds the signature of a key, or replaces it.
func (e *Envelope) Sign(s Space, signer crypto.KeySigner) error {
	d := e.Digest(s)
	sig, ok := crypto.SignatureOf(signer.Sign(s.context(), d[:]))
	if !ok {
		return fmt.Errorf("the signature of key %v has a wrong size", signer.Public())
	}
	e.Add(Signature{signer.Public(), sig})
	return nil
}

// Add adds a signature that was made elsewhere, or replaces that of its key.
func (e *Envelope) Add(s Signature) {
	i, found := slices.BinarySearchFunc(e.Signatures, s, func(a, b Signature) int { return a.Key.Compare(b.Key) })
	if found {
		e.Signatures[i] = s
	} else {
		e.Signatures = slices.Insert(e.Signatures, i, s)
	}
}

// Encode returns the one encoding of e.
func (e *Envelope) Encode() []byte { return canon.Encode(e.code) }

// Decode reads what Encode wrote. The error wraps canon.ErrMalformed; what is returned
// aliases b.
func Decode(b []byte) (*Envelope, error) {
	e := new(Envelope)
	if err := canon.Decode(b, e.code); err != nil {
		return nil, fmt.Errorf("signed envelope: %w", err)
	}
	return e, nil
}

func (e *Envelope) code(c *canon.Codec) {
	c.Uint64((*uint64)(&e.Deadline))
	c.Bytes(&e.Op, maxOp)
	canon.List(c, &e.Signatures, MaxKeys, crypto.PublicKeySize+crypto.SignatureSize, func(c *canon.Codec, s *Signature) {
		c.Fixed(s.Key[:])
		c.Fixed(s.Signature[:])
	})
	for i := 1; i < len(e.Signatures); i++ {
		if e.Signatures[i-1].Key.Compare(e.Signatures[i].Key) >= 0 {
			c.Fail("signatures are not in ascending order of their keys")
		}
	}
}
