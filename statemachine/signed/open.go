package signed

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Why an envelope is refused; test with errors.Is. All of them are functions of the
// state, the block and the envelope, so every replica refuses the same.
var (
	// ErrMalformed: the bytes are no envelope.
	ErrMalformed = errors.New("malformed envelope")
	// ErrSignature: a signature does not verify: it was made by another key, for another
	// operation or deadline, or for another application or cluster.
	ErrSignature = errors.New("signature does not verify")
	// ErrExpired: block time is past the deadline.
	ErrExpired = errors.New("envelope has expired")
	// ErrDeadline: the deadline is further off than is allowed.
	ErrDeadline = errors.New("deadline is too far off")
	// ErrReplayed: the envelope's operation has run.
	ErrReplayed = errors.New("envelope was used before")
)

// Opener opens the envelopes of one space.
type Opener struct {
	Space Space
	// Verifier checks the signatures.
	Verifier crypto.RequestVerifier
	// MaxLife is how far off a deadline may be: used envelopes are remembered until then.
	MaxLife time.Duration
}

// prune is how many expired entries each opened envelope removes at most: more than it
// adds, so they come to an end.
const prune = 4

// Open checks an envelope at the time of a block and returns its operation and the keys
// that signed it, in ascending order, with client among them, who signed the request. It
// notes in t, which is the application's, that the envelope was used: whoever refuses
// the operation afterwards discards t, and the envelope may be tried again.
func (o *Opener) Open(t store.Txn, data []byte, now statemachine.Time, client crypto.PublicKey) (op []byte, signers []crypto.PublicKey, err error) {
	e, err := Decode(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case e.Deadline < now:
		return nil, nil, fmt.Errorf("%w: its deadline is %d, the block's time %d", ErrExpired, e.Deadline, now)
	case e.Deadline-now > statemachine.Time(o.MaxLife):
		return nil, nil, fmt.Errorf("%w: it is %d, at most %v after the block's time %d", ErrDeadline, e.Deadline, o.MaxLife, now)
	}
	digest := e.Digest(o.Space)
	key := usedKey(e.Deadline, digest)
	if _, used := t.Get(key); used {
		return nil, nil, ErrReplayed
	}
	items := make([]crypto.Item, len(e.Signatures))
	for i, s := range e.Signatures {
		items[i] = crypto.Item{Key: s.Key, Context: o.Space.context(), Message: digest[:], Signature: s.Signature}
		signers = append(signers, s.Key)
	}
	for i, good := range o.Verifier.VerifyBatch(items) {
		if !good {
			return nil, nil, fmt.Errorf("%w: that of key %v", ErrSignature, items[i].Key)
		}
	}
	if i, found := slices.BinarySearchFunc(signers, client, crypto.PublicKey.Compare); !found {
		signers = slices.Insert(signers, i, client)
	}
	left := prune
	for old := range t.Range([]byte(usedPrefix), usedKey(now, crypto.Digest{})) {
		if left--; left < 0 {
			break
		}
		t.Delete(old)
	}
	t.Set(key, nil)
	return e.Op, signers, nil
}

const usedPrefix = "signed/"

func usedKey(deadline statemachine.Time, digest crypto.Digest) []byte {
	return append(canon.AppendUint64([]byte(usedPrefix), uint64(deadline)), digest[:]...)
}
