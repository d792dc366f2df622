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
	// ErrSignature: a signature that counts does not verify: it was made by another key, for another
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

// Opened is an envelope that was opened, whose signatures nobody has checked yet. That is
// what costs: 64 of them take each replica some milliseconds, and cost whoever sends
// rubbish nothing. So the application first decides as if all were good, which tells who
// has a say; only for what is not refused anyway are the signatures checked, and only
// those that had one:
//
//	e, err := opener.Open(t, data, now, client)
//	... decide by e.Signers, and note which of them counted ...
//	err = e.Check(counted)
type Opened struct {
	// Op is the operation.
	Op []byte
	// Signers are the keys that are said to have signed it, in ascending order, with the
	// client among them, who signed the request.
	Signers []crypto.PublicKey

	digest     crypto.Digest
	signatures []Signature
	opener     *Opener
}

// Check checks the signatures of the signers that has tells of, in the order of their keys.
// The error, which wraps [ErrSignature], is about the first that does not hold; nothing that
// was decided by them may stand then.
func (e *Opened) Check(has func(key crypto.PublicKey) bool) error {
	var items []crypto.Item
	for _, s := range e.signatures {
		if has(s.Key) {
			items = append(items, crypto.Item{Key: s.Key, Context: e.opener.Space.context(), Message: e.digest[:], Signature: s.Signature})
		}
	}
	// The first by itself: rubbish costs no more than one of an ordinary request.
	for _, part := range [][]crypto.Item{items[:min(1, len(items))], items[min(1, len(items)):]} {
		if len(part) == 0 {
			continue
		}
		for i, good := range e.opener.Verifier.VerifyBatch(part) {
			if !good {
				return fmt.Errorf("%w: that of key %v", ErrSignature, part[i].Key)
			}
		}
	}
	return nil
}

// Open opens an envelope at the time of a block. It notes in t, which is the
// application's, that the envelope was used: whoever refuses the operation afterwards, or
// finds that a signature does not hold ([Opened.Check]), discards t, and the envelope may be
// tried again.
func (o *Opener) Open(t store.Txn, data []byte, now statemachine.Time, client crypto.PublicKey) (*Opened, error) {
	e, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case e.Deadline < now:
		return nil, fmt.Errorf("%w: its deadline is %d, the block's time %d", ErrExpired, e.Deadline, now)
	case e.Deadline-now > statemachine.Time(o.MaxLife):
		return nil, fmt.Errorf("%w: it is %d, at most %v after the block's time %d", ErrDeadline, e.Deadline, o.MaxLife, now)
	}
	digest := e.Digest(o.Space)
	key := usedKey(e.Deadline, digest)
	if _, used := t.Get(key); used {
		return nil, ErrReplayed
	}
	signers := make([]crypto.PublicKey, len(e.Signatures), len(e.Signatures)+1)
	for i := range e.Signatures {
		signers[i] = e.Signatures[i].Key
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
	return &Opened{Op: e.Op, Signers: signers, digest: digest, signatures: e.Signatures, opener: o}, nil
}

const usedPrefix = "signed/"

func usedKey(deadline statemachine.Time, digest crypto.Digest) []byte {
	return append(canon.AppendUint64([]byte(usedPrefix), uint64(deadline)), digest[:]...)
}
