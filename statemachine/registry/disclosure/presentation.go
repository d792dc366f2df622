package disclosure

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// CommitmentKey is where a registry's state has the commitment of a version of a record.
// prefix is that of the registry in the store, empty if it has the store to itself.
func CommitmentKey(prefix, collection, id string, version uint64) []byte {
	return canon.AppendUint64(fmt.Appendf(nil, "%sm/%s/%s\x00", prefix, collection, id), version)
}

// Presentation is a disclosure with the proof that a registry's state has its
// commitment.
type Presentation struct {
	Collection, ID string
	Version        uint64
	Proof          *proof.Proof
	Disclosure     *Disclosure
}

// Verify checks the presentation against the digest of a registry's store, as a
// checkpoint's certificate covers it, and returns the fields that are shown. prefix is
// that of [CommitmentKey]; it belongs to the cluster, so the verifier says it, not the
// presenter. That the state has the version says nothing about whether the record was
// changed or revoked since. The error wraps [ErrInvalid].
func (p *Presentation) Verify(state crypto.Digest, prefix string) ([]Field, error) {
	if p.Proof == nil || p.Disclosure == nil {
		return nil, fmt.Errorf("%w: proof or disclosure is missing", ErrInvalid)
	}
	if err := p.Proof.Verify(state, CommitmentKey(prefix, p.Collection, p.ID, p.Version)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !p.Proof.Present || len(p.Proof.Value) != crypto.DigestSize {
		return nil, fmt.Errorf("%w: the registry has no commitment of version %d of %s/%s", ErrInvalid, p.Version, p.Collection, p.ID)
	}
	return p.Disclosure.Verify(crypto.Digest(p.Proof.Value))
}

// Encode returns the one encoding of p.
func (p *Presentation) Encode() []byte { return canon.Encode(p.code) }

// DecodePresentation reads what Encode wrote. The error wraps canon.ErrMalformed.
func DecodePresentation(b []byte) (*Presentation, error) {
	p := &Presentation{Proof: new(proof.Proof), Disclosure: new(Disclosure)}
	if err := canon.Decode(b, p.code); err != nil {
		return nil, fmt.Errorf("presentation: %w", err)
	}
	return p, nil
}

const maxText = 1 << 10

func (p *Presentation) code(c *canon.Codec) {
	c.String(&p.Collection, maxText)
	c.String(&p.ID, maxText)
	c.Uint64(&p.Version)
	var b []byte
	if !c.Reading() {
		b = p.Proof.Encode()
	}
	c.Bytes(&b, 1<<20)
	if c.Reading() && c.Err() == nil {
		q, err := proof.Decode(b)
		if err != nil {
			c.Fail("%v", err)
			return
		}
		p.Proof = q
	}
	p.Disclosure.code(c)
}
