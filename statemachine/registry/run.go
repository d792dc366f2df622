package registry

import (
	"errors"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// run is one operation that may write.
type run struct {
	reading
	h       *Handler
	t       *counting
	at      Stamp
	client  crypto.PublicKey
	signers []crypto.PublicKey // in ascending order
	// counted are those of them that had a say, whether it was enough or not; true are
	// those whose signatures were not checked yet.
	counted  map[crypto.PublicKey]bool
	envelope *signed.Opened // with the signatures of all but the client; nil if there is none
	counts   *Info          // those of the state; written at the end
}

// write is an operation that changes something.
type write interface {
	Operation
	apply(*run) (*Change, error)
}

// counting is a transaction that counts how much the state grows.
type counting struct {
	store.Txn
	growth int64
}

func entrySize(key, value []byte) int64 { return int64(len(key)+len(value)) + EntryOverhead }

func (t *counting) Set(key, value []byte) {
	if old, ok := t.Txn.Get(key); ok {
		t.growth -= entrySize(key, old)
	}
	t.growth += entrySize(key, value)
	t.Txn.Set(key, value)
}

func (t *counting) Delete(key []byte) {
	if old, ok := t.Txn.Get(key); ok {
		t.growth -= entrySize(key, old)
		t.Txn.Delete(key)
	}
}

// perform runs an encoded operation that is a write, perhaps in an envelope.
func (r *run) perform(data []byte) (*Change, error) {
	r.signers = []crypto.PublicKey{r.client}
	if Kind(data[0]) == KindSigned {
		var err error
		if r.envelope, err = r.open(data[1:]); err != nil {
			return nil, err
		}
		data = r.envelope.Op
	}
	o, err := decode(data)
	if err != nil {
		return nil, err
	}
	w, ok := o.(write)
	if !ok {
		return nil, refuse(CodeUnsupported, "%s is not to be signed: it changes nothing", o.Kind())
	}
	if err := w.check(&r.cfg.Limits); err != nil {
		return nil, err
	}
	c, err := w.apply(r)
	if err != nil {
		return nil, err
	}
	c.At = r.at
	if err := r.finish(); err != nil {
		return nil, err
	}
	if err := r.verify(); err != nil {
		return nil, err
	}
	return c, nil
}

// verify checks the signatures of those that have had a say so far. It comes last, and before
// what takes longer than a signature: a schema that is compiled, and data that are held against
// one. Else whoever names a party, without its signature, could have the dearest of all schemas
// work as often as he likes.
func (r *run) verify() error {
	if r.envelope == nil {
		return nil
	}
	if err := r.envelope.Check(func(k crypto.PublicKey) bool { return r.counted[k] }); err != nil {
		return refuse(CodeBadSignature, "%v", err)
	}
	for k := range r.counted { // the order is of no consequence
		r.counted[k] = false
	}
	return nil
}

// signs tells whether a key is among the signers: it has a say, so its signature counts.
func (r *run) signs(k crypto.PublicKey) bool {
	_, found := slices.BinarySearchFunc(r.signers, k, crypto.PublicKey.Compare)
	if found {
		r.count(k)
	}
	return found
}

func (r *run) count(keys ...crypto.PublicKey) {
	if r.counted == nil {
		r.counted = make(map[crypto.PublicKey]bool)
	}
	for _, k := range keys {
		if _, known := r.counted[k]; !known {
			r.counted[k] = true
		}
	}
}

// finish writes the counts.
func (r *run) finish() error {
	bytes := int64(r.counts.Bytes) + r.t.growth
	if r.t.growth > 0 && bytes > r.cfg.Limits.MaxStateBytes {
		return refuse(CodeNoSpace, "the state has %d bytes and would have %d, at most %d", r.counts.Bytes, bytes, r.cfg.Limits.MaxStateBytes)
	}
	r.counts.Bytes = uint64(bytes)
	r.t.Txn.Set([]byte(keyCounts), canon.Encode(r.counts.codeCounts))
	return nil
}

func (r *run) open(data []byte) (*signed.Opened, error) {
	o := signed.Opener{Space: Space(r.cfg.Chain), Verifier: r.h.verifier, MaxLife: r.cfg.Limits.signedLife()}
	e, err := o.Open(r.t, data, r.at.Time, r.client)
	switch {
	case err == nil:
	case errors.Is(err, signed.ErrMalformed):
		return nil, refuse(CodeMalformed, "the envelope's encoding is wrong")
	case errors.Is(err, signed.ErrReplayed):
		return nil, refuse(CodeReplayed, "%v", err)
	default:
		return nil, refuse(CodeExpired, "%v", err)
	}
	if len(e.Op) == 0 || Kind(e.Op[0]) == KindSigned {
		return nil, refuse(CodeMalformed, "the envelope has no operation, or another envelope")
	}
	r.signers = e.Signers
	return e, nil
}

// past tells whether a time that may be 0 for never has come.
func (r *run) past(expires statemachine.Time) bool { return expires != 0 && expires <= r.at.Time }

// keyRevoked tells whether a key was revoked by itself.
func (r *run) keyRevoked(k crypto.PublicKey) bool {
	_, revoked := r.t.Get(revokedKey(k))
	return revoked
}

// signedBy returns the keys with which a party has signed this operation, or why those
// do not suffice.
func (r *run) signedBy(p Party) ([]crypto.PublicKey, error) {
	if k, ok := p.Key(); ok {
		if !r.signs(k) {
			return nil, refuse(CodeUnauthorized, "%s has not signed", p)
		}
		if r.keyRevoked(k) {
			return nil, refuse(CodeKeyRevoked, "%s is revoked", p)
		}
		return []crypto.PublicKey{k}, nil
	}
	info, err := r.party(p)
	if err != nil {
		return nil, err
	}
	return r.threshold(string(p), &info.Keys)
}

// threshold returns the keys of t that have signed, if they are enough.
func (r *run) threshold(name string, t *signed.Threshold) ([]crypto.PublicKey, error) {
	have := signed.Common(t.Keys, r.signers)
	r.count(have...)
	good := slices.DeleteFunc(slices.Clone(have), r.keyRevoked)
	switch {
	case t.M == 0:
		return nil, refuse(CodeUnauthorized, "%s has no keys", name)
	case len(good) >= t.M:
		return good, nil
	case len(have) >= t.M:
		return nil, refuse(CodeKeyRevoked, "%s: keys that have signed are revoked: %d of %d good ones are needed, there are %d", name, t.M, len(t.Keys), len(good))
	}
	return nil, refuse(CodeUnauthorized, "%s: %d of %d keys must sign, %d have", name, t.M, len(t.Keys), len(good))
}

// author returns who does this, and with which keys.
func (r *run) author(as Party) (Party, []crypto.PublicKey, error) {
	if as == "" {
		as = KeyParty(r.client)
	}
	keys, err := r.signedBy(as)
	return as, keys, err
}

// known refuses a registered party that is none.
func (r *run) known(p Party) error {
	if _, ok := p.Key(); ok {
		return nil
	}
	_, err := r.party(p)
	return err
}

// registrar demands the registrar's signature, if there is a registrar.
func (r *run) registrar() error {
	if _, ok := r.t.Get(partyKey(Registrar)); !ok {
		return nil
	}
	_, err := r.signedBy(Registrar)
	return err
}

// delegated tells whether a delegation gives a right.
func (r *run) delegated(collection, id string, from, to Party, right Rights) bool {
	for _, at := range []string{id, ""} {
		var d Delegation
		if ok := r.load(delegationKey(collection, at, from, to), d.code); ok && d.Rights&right != 0 && !r.past(d.Expires) {
			return true
		}
	}
	return false
}

// may demands that the author owns the record or has the right from its owner.
func (r *run) may(author Party, rec *Record, right Rights) error {
	if author == rec.Owner || r.delegated(rec.Collection, rec.ID, rec.Owner, author, right) {
		return nil
	}
	return refuse(CodeUnauthorized, "%s is the owner, and %s has no right from it to %s", rec.Owner, author, right)
}

func (r *run) save(key []byte, code func(*canon.Codec)) { r.t.Set(key, canon.Encode(code)) }
