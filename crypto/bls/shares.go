package bls

import (
	"crypto/rand"

	GG "github.com/cloudflare/circl/ecc/bls12381"

	"github.com/parley-bft/parley/crypto"
)

// minCombined is the number of shares on one message from which a random linear
// combination is cheaper than checking one by one: a coefficient costs about
// 0.9 ms a share, a pairing check 2.8 ms.
const minCombined = 6

// VerifyShares checks shares, hashing each distinct message once. Many shares on
// one message are checked as a random linear combination first, and by halves
// where that fails. The coefficients make it sound: without them two bad shares
// could cancel each other out.
func (s *Scheme) VerifyShares(checks []crypto.ShareCheck) []error {
	errs := make([]error, len(checks))
	groups := make(map[string][]parsed)
	var order []string // the results do not depend on it; the work does, and stays the same
	for i := range checks {
		ch := &checks[i]
		key, sig, err := s.parseShare(ch.Share)
		if err != nil {
			errs[i] = err
			continue
		}
		m := string(message(ch.Context, ch.Message))
		if _, known := groups[m]; !known {
			order = append(order, m)
		}
		groups[m] = append(groups[m], parsed{index: i, key: key, sig: sig})
	}
	for _, m := range order {
		g := groups[m]
		h := hash(tagSign, []byte(m))
		if len(g) < minCombined {
			checkEach(h, g, errs)
			continue
		}
		for i := range g {
			g[i].randomise()
		}
		checkHalves(h, g, errs)
	}
	return errs
}

// parsed is one share taken apart, and once randomised multiplied by its coefficient.
type parsed struct {
	index int
	key   *GG.G2
	sig   *GG.G1
}

func checkEach(h *GG.G1, g []parsed, errs []error) {
	for _, p := range g {
		if !verify(p.key, h, p.sig) {
			errs[p.index] = crypto.ErrBadSignature
		}
	}
}

// checkHalves finds the bad ones among randomised shares.
func checkHalves(h *GG.G1, g []parsed, errs []error) {
	if len(g) == 1 {
		checkEach(h, g, errs)
		return
	}
	var key GG.G2
	var sig GG.G1
	key.SetIdentity()
	sig.SetIdentity()
	for _, p := range g {
		key.Add(&key, p.key)
		sig.Add(&sig, p.sig)
	}
	if verify(&key, h, &sig) {
		return
	}
	checkHalves(h, g[:len(g)/2], errs)
	checkHalves(h, g[len(g)/2:], errs)
}

// randomise multiplies key and signature by one random 128-bit coefficient. A
// share holds after it iff it held before: the coefficient is not zero and the
// groups have prime order.
func (p *parsed) randomise() {
	var r [16]byte
	_, _ = rand.Read(r[:]) // never fails
	r[15] |= 1
	key, sig := new(GG.G2), new(GG.G1)
	key.SetIdentity()
	sig.SetIdentity()
	// Left to right, in variable time: the coefficient is no secret of ours, it
	// only must not be known before the shares are.
	for _, b := range r {
		for bit := 7; bit >= 0; bit-- {
			key.Double()
			sig.Double()
			if b>>bit&1 == 1 {
				key.Add(key, p.key)
				sig.Add(sig, p.sig)
			}
		}
	}
	p.key, p.sig = key, sig
}
