package ed25519

import (
	"fmt"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/parley-bft/parley/crypto"
)

// Name is the scheme's name in the cluster file.
const Name = "ed25519"

// Scheme is Ed25519 over the keys of one epoch's members. An aggregate is the
// list of signatures in ascending order of signers, 64 bytes each.
type Scheme struct {
	keys []*voi.ExpandedPublicKey
}

var _ crypto.Scheme = (*Scheme)(nil)

// NewScheme checks the members' keys (see [CheckKey]; none twice) and expands them.
func NewScheme(keys []crypto.PublicKey) (*Scheme, error) {
	if len(keys) == 0 || len(keys) > crypto.MaxReplicas {
		return nil, fmt.Errorf("ed25519 scheme of %d keys: want 1 to %d", len(keys), crypto.MaxReplicas)
	}
	s := &Scheme{keys: make([]*voi.ExpandedPublicKey, len(keys))}
	first := make(map[crypto.PublicKey]int, len(keys))
	for i, k := range keys {
		if err := CheckKey(k); err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		if j, twice := first[k]; twice {
			return nil, fmt.Errorf("members %d and %d have the same ed25519 key %s", j, i, k.Hex())
		}
		first[k] = i
		x, err := voi.NewExpandedPublicKey(k[:])
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		s.keys[i] = x
	}
	return s, nil
}

// Name returns "ed25519".
func (s *Scheme) Name() string { return Name }

// Lazy returns false: an aggregate costs as much as its shares.
func (s *Scheme) Lazy() bool { return false }

func (s *Scheme) checkForm(share crypto.Share) error {
	if int(share.Signer) >= len(s.keys) {
		return fmt.Errorf("replica %d of %d: %w", share.Signer, len(s.keys), crypto.ErrUnknownSigner)
	}
	if len(share.Signature) != crypto.SignatureSize {
		return fmt.Errorf("signature of %d bytes, want %d: %w", len(share.Signature), crypto.SignatureSize, crypto.ErrBadSignature)
	}
	return nil
}

// VerifyShare checks one signature (about 33 us).
func (s *Scheme) VerifyShare(c crypto.Context, msg []byte, share crypto.Share) error {
	if err := s.checkForm(share); err != nil {
		return err
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	*buf = c.AppendMessage((*buf)[:0], msg)
	if !voi.VerifyExpandedWithOptions(s.keys[share.Signer], *buf, share.Signature, options) {
		return crypto.ErrBadSignature
	}
	return nil
}

// minBatch is the number of signatures from which a batch is cheaper than single
// checks (28 us each here, against 30 in a batch of three).
const minBatch = 4

// VerifyShares checks the signatures as one batch, and one by one if the batch
// fails or where that is cheaper.
func (s *Scheme) VerifyShares(checks []crypto.ShareCheck) []error {
	errs := make([]error, len(checks))
	if len(checks) < minBatch {
		for i := range checks {
			errs[i] = s.VerifyShare(checks[i].Context, checks[i].Message, checks[i].Share)
		}
		return errs
	}
	buf, batch := takeBuffer(), takeBatch()
	defer giveBuffer(buf)
	defer giveBatch(batch)
	var at [maxBatch]int // the batch's entry j is check at[j]
	n := 0
	flush := func() {
		if n == 0 {
			return
		}
		if ok, each := batch.Verify(nil); !ok {
			for j, valid := range each {
				if !valid {
					errs[at[j]] = crypto.ErrBadSignature
				}
			}
		}
		batch.Reset()
		n = 0
	}
	for i := range checks {
		ch := &checks[i]
		if errs[i] = s.checkForm(ch.Share); errs[i] != nil {
			continue
		}
		*buf = ch.Context.AppendMessage((*buf)[:0], ch.Message)
		batch.AddExpandedWithOptions(s.keys[ch.Share.Signer], *buf, ch.Share.Signature, options)
		at[n] = i
		if n++; n == maxBatch {
			flush()
		}
	}
	flush()
	return errs
}

// Aggregate joins the signatures in the order given.
func (s *Scheme) Aggregate(shares []crypto.Share) ([]byte, error) {
	if err := crypto.CheckOrder(shares, len(s.keys)); err != nil {
		return nil, err
	}
	proof := make([]byte, 0, len(shares)*crypto.SignatureSize)
	for _, share := range shares {
		if len(share.Signature) != crypto.SignatureSize {
			return nil, &crypto.CulpritError{Signer: share.Signer, Err: fmt.Errorf(
				"signature of %d bytes, want %d: %w", len(share.Signature), crypto.SignatureSize, crypto.ErrMalformed)}
		}
		proof = append(proof, share.Signature...)
	}
	return proof, nil
}

// VerifyAggregate checks all signatures of the list as one batch, or one by one
// where that is cheaper.
func (s *Scheme) VerifyAggregate(c crypto.Context, msg []byte, signers crypto.Bitmap, proof []byte) error {
	if err := signers.Check(len(s.keys)); err != nil {
		return err
	}
	count := signers.Count()
	if count == 0 {
		return fmt.Errorf("aggregate of nobody: %w", crypto.ErrBadSignature)
	}
	if len(proof) != count*crypto.SignatureSize {
		return fmt.Errorf("%w: aggregate of %d bytes, want %d for %d signers",
			crypto.ErrMalformed, len(proof), count*crypto.SignatureSize, count)
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	*buf = c.AppendMessage((*buf)[:0], msg)
	if count < minBatch {
		good := true
		signers.Each(func(id crypto.ReplicaID) {
			good = good && voi.VerifyExpandedWithOptions(s.keys[id], *buf, proof[:crypto.SignatureSize], options)
			proof = proof[crypto.SignatureSize:]
		})
		if !good {
			return crypto.ErrBadSignature
		}
		return nil
	}
	batch := takeBatch()
	defer giveBatch(batch)
	signers.Each(func(id crypto.ReplicaID) {
		batch.AddExpandedWithOptions(s.keys[id], *buf, proof[:crypto.SignatureSize], options)
		proof = proof[crypto.SignatureSize:]
	})
	if !batch.VerifyBatchOnly(nil) {
		return crypto.ErrBadSignature
	}
	return nil
}
