package crypto

// Item is one signature by an Ed25519 key, as clients make them.
type Item struct {
	Key       PublicKey
	Context   Context
	Message   []byte
	Signature Signature
}

// RequestVerifier checks signatures of keys that are not fixed in advance: those
// of clients. It is safe for concurrent use. ed25519.Verifier is the real one,
// symbolic.World has the simulator's.
type RequestVerifier interface {
	// Verify tells whether sig is key's signature on msg in context c. It is the
	// same predicate as VerifyBatch, whatever was crafted.
	Verify(key PublicKey, c Context, msg []byte, sig Signature) bool

	// VerifyBatch tells it for every item; the result has len(items).
	VerifyBatch(items []Item) []bool
}

// KeySigner is a [Signer] that knows its Ed25519 public key: what a client signs
// requests with. Sign returns SignatureSize bytes.
type KeySigner interface {
	Signer
	Public() PublicKey
}

// FindCulprits returns the signers, in the order of shares, whose share on msg
// does not verify. It is for shares whose aggregate failed; it costs a full check
// of every share. The caller leaves the culprits out and aggregates again.
func FindCulprits(s Scheme, c Context, msg []byte, shares []Share) []ReplicaID {
	checks := make([]ShareCheck, len(shares))
	for i, share := range shares {
		checks[i] = ShareCheck{Context: c, Message: msg, Share: share}
	}
	var culprits []ReplicaID
	for i, err := range s.VerifyShares(checks) {
		if err != nil {
			culprits = append(culprits, shares[i].Signer)
		}
	}
	return culprits
}

// CheckOrder returns an error naming the share that breaks the order that
// [Scheme.Aggregate] wants: ascending signers, none twice, all below n, at least one.
func CheckOrder(shares []Share, n int) error {
	if len(shares) == 0 {
		return errNoShares
	}
	for i, s := range shares {
		if int(s.Signer) >= n {
			return &CulpritError{Signer: s.Signer, Err: ErrUnknownSigner}
		}
		if i > 0 && s.Signer <= shares[i-1].Signer {
			return &CulpritError{Signer: s.Signer, Err: errOrder}
		}
	}
	return nil
}
