// Package roguekey is the attack that proofs of possession exist for, so that it
// can be tried on a cluster: see "What makes adding keys safe" in package bls.
package roguekey

import (
	"errors"

	GG "github.com/cloudflare/circl/ecc/bls12381"

	"github.com/parley-bft/parley/crypto"
)

// ErrKey is returned for an encoding that is no key.
var ErrKey = errors.New("roguekey: not a key")

// New returns the key own minus all the others. The sum of it and them is own, so
// that whoever has the private key of own signs for all of them together. Nobody
// has the private key of the result.
func New(own crypto.BLSKey, others []crypto.BLSKey) (crypto.BLSKey, error) {
	var sum GG.G2
	if sum.SetBytes(own[:]) != nil {
		return crypto.BLSKey{}, ErrKey
	}
	for _, o := range others {
		var p GG.G2
		if p.SetBytes(o[:]) != nil {
			return crypto.BLSKey{}, ErrKey
		}
		p.Neg()
		sum.Add(&sum, &p)
	}
	var rogue crypto.BLSKey
	copy(rogue[:], sum.BytesCompressed())
	return rogue, nil
}

// Identity are the encodings of the points that are nobody's: a key with which
// nothing is added to a sum, and the signature of anything under it.
func Identity() (key crypto.BLSKey, signature crypto.BLSProof) {
	const infinity = 0xc0 // compressed, at infinity
	key[0], signature[0] = infinity, infinity
	return key, signature
}
