package signed

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// MaxKeys is how many keys a [Threshold] has at most.
const MaxKeys = 64

// Threshold is m of n keys. The zero Threshold is nobody: it is never met.
type Threshold struct {
	// M is how many of the keys must sign.
	M int `json:"m"`
	// Keys are in ascending order, none twice.
	Keys []crypto.PublicKey `json:"keys"`
}

// Of returns the threshold of m of these keys, in whatever order they are given.
func Of(m int, keys ...crypto.PublicKey) Threshold {
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, crypto.PublicKey.Compare)
	return Threshold{m, slices.Compact(sorted)}
}

// IsZero tells whether t is nobody.
func (t *Threshold) IsZero() bool { return t.M == 0 && len(t.Keys) == 0 }

// Validate says what is wrong with a threshold that is not nobody.
func (t *Threshold) Validate() error {
	switch {
	case len(t.Keys) == 0 || len(t.Keys) > MaxKeys:
		return fmt.Errorf("threshold has %d keys: give 1 to %d", len(t.Keys), MaxKeys)
	case t.M < 1 || t.M > len(t.Keys):
		return fmt.Errorf("threshold is %d of %d keys: give 1 to %d", t.M, len(t.Keys), len(t.Keys))
	case !ascending(t.Keys):
		return fmt.Errorf("keys of a threshold are not in ascending order, or one is there twice: sort them")
	}
	return nil
}

// Count returns how many of the signers are keys of t. Both are in ascending order.
func (t *Threshold) Count(signers []crypto.PublicKey) int { return len(Common(t.Keys, signers)) }

// Met tells whether enough of the signers are keys of t.
func (t *Threshold) Met(signers []crypto.PublicKey) bool { return t.M > 0 && t.Count(signers) >= t.M }

// Code describes the encoding.
func (t *Threshold) Code(c *canon.Codec) {
	m := uint32(t.M)
	c.Uint32(&m)
	t.M = int(m)
	CodeKeys(c, &t.Keys)
	if c.Reading() && m > MaxKeys {
		c.Fail("threshold of %d keys", m)
	}
}

// CodeKeys describes a list of at most MaxKeys keys in ascending order, none twice.
func CodeKeys(c *canon.Codec, keys *[]crypto.PublicKey) {
	canon.List(c, keys, MaxKeys, crypto.PublicKeySize, func(c *canon.Codec, k *crypto.PublicKey) { c.Fixed(k[:]) })
	if c.Reading() && !ascending(*keys) {
		c.Fail("keys are not in ascending order")
	}
}

func ascending(keys []crypto.PublicKey) bool {
	for i := range keys {
		if i > 0 && keys[i-1].Compare(keys[i]) >= 0 {
			return false
		}
	}
	return true
}

// Common returns the keys that are in both of two ascending lists.
func Common(a, b []crypto.PublicKey) []crypto.PublicKey {
	var both []crypto.PublicKey
	for len(a) > 0 && len(b) > 0 {
		switch d := a[0].Compare(b[0]); {
		case d < 0:
			a = a[1:]
		case d > 0:
			b = b[1:]
		default:
			both = append(both, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return both
}
