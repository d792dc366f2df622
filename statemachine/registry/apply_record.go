package registry

import (
	"github.com/parley-bft/parley/crypto"
)

// target finds the record of an operation and checks who does it.
type target struct {
	author Party
	keys   []crypto.PublicKey
	of     *Collection
	rec    *Record
}

func (r *run) target(as Party, collection, id string) (*target, error) {
	author, keys, err := r.author(as)
	if err != nil {
		return nil, err
	}
	c, err := r.collection(collection)
	if err != nil {
		return nil, err
	}
	rec, err := r.record(collection, id)
	if err != nil {
		return nil, err
	}
	return &target{author, keys, c, rec}, nil
}

// alive is target for a record that must not be revoked.
func (r *run) alive(as Party, collection, id string) (*target, error) {
	t, err := r.target(as, collection, id)
	if err == nil && t.rec.Revoked {
		return nil, refuse(CodeRevoked, "%s/%s was revoked", collection, id)
	}
	return t, err
}

// content checks what a record is to contain against the collection's rules and schema,
// and returns the number of the latter.
func (r *run) content(c *Collection, schema uint32, data []byte, commitment crypto.Digest) (uint32, error) {
	switch {
	case c.Rules&CommitmentsOnly != 0 && len(data) > 0:
		return 0, refuse(CodeRule, "%s takes no data, only commitments", c.Name)
	case c.Rules&RequireData != 0 && len(data) == 0:
		return 0, refuse(CodeRule, "%s wants data", c.Name)
	case c.Rules&RequireCommitment != 0 && commitment.IsZero():
		return 0, refuse(CodeRule, "%s wants a commitment", c.Name)
	}
	return r.validate(c, schema, data)
}

// append adds a version to a record's history and saves both.
func (r *run) append(rec *Record, v Version) *Change {
	rec.Version++
	v.Number, v.Owner, v.At, v.Previous = rec.Version, rec.Owner, r.at, rec.Digest
	if v.Action == Created || v.Action == Updated {
		rec.Content = v.Number
		if !v.Commitment.IsZero() {
			r.t.Set(commitmentKey(rec.Collection, rec.ID, v.Number), v.Commitment[:])
		}
	}
	v.Content = rec.Content
	rec.Digest = v.Digest(rec.Collection, rec.ID)
	r.save(VersionKey(rec.Collection, rec.ID, v.Number), v.code)
	r.save(RecordKey(rec.Collection, rec.ID), rec.code)
	return &Change{Version: v.Number, Digest: rec.Digest}
}

func (o *CreateRecord) apply(r *run) (*Change, error) {
	author, keys, err := r.author(o.As)
	if err != nil {
		return nil, err
	}
	c, err := r.collection(o.Collection)
	if err != nil {
		return nil, err
	}
	owner := o.Owner
	if owner == "" {
		owner = author
	}
	issues := author == c.Controller || r.delegated(c.Name, "", c.Controller, author, MayCreate)
	switch {
	case issues:
		err = r.known(owner)
	case c.Rules&OpenCreate == 0:
		err = refuse(CodeUnauthorized, "%s controls %s, and %s has no right from it to create", c.Controller, c.Name, author)
	case owner != author:
		_, err = r.signedBy(owner) // nobody is made an owner by a stranger
	}
	if err != nil {
		return nil, err
	}
	if _, ok := r.t.Get(RecordKey(o.Collection, o.ID)); ok {
		return nil, refuse(CodeExists, "there is a record %s/%s", o.Collection, o.ID)
	}
	number, err := r.content(c, o.Schema, o.Data, o.Commitment)
	if err != nil {
		return nil, err
	}
	rec := Record{Collection: o.Collection, ID: o.ID, Owner: owner, Created: r.at}
	r.t.Set(ownedKey(owner, o.Collection, o.ID), nil)
	c.Records++
	r.save(collectionKey(c.Name), c.code)
	r.counts.Records++
	return r.append(&rec, Version{Action: Created, Author: author, Keys: keys, Schema: number, Data: o.Data, Commitment: o.Commitment}), nil
}

// room demands that a record may have another version.
func (r *run) room(rec *Record) error {
	if rec.Version >= uint64(r.cfg.Limits.MaxVersions) {
		return refuse(CodeLimit, "%s/%s has %d versions: it can be revoked, and nothing else", rec.Collection, rec.ID, rec.Version)
	}
	return nil
}

// expect demands that a record has the version that the author knows.
func expect(rec *Record, version uint64) error {
	if version != 0 && version != rec.Version {
		return refuse(CodeConflict, "%s/%s has version %d, not %d", rec.Collection, rec.ID, rec.Version, version)
	}
	return nil
}

func (o *UpdateRecord) apply(r *run) (*Change, error) {
	t, err := r.alive(o.As, o.Collection, o.ID)
	if err != nil {
		return nil, err
	}
	if err := first(r.may(t.author, t.rec, MayUpdate), expect(t.rec, o.Version), r.room(t.rec)); err != nil {
		return nil, err
	}
	if t.of.Rules&Immutable != 0 {
		return nil, refuse(CodeRule, "records of %s are not changed", t.of.Name)
	}
	number, err := r.content(t.of, o.Schema, o.Data, o.Commitment)
	if err != nil {
		return nil, err
	}
	return r.append(t.rec, Version{Action: Updated, Author: t.author, Keys: t.keys, Schema: number, Data: o.Data, Commitment: o.Commitment}), nil
}

func (o *RevokeRecord) apply(r *run) (*Change, error) {
	t, err := r.alive(o.As, o.Collection, o.ID)
	if err != nil {
		return nil, err
	}
	controls := t.author == t.of.Controller || r.delegated(t.of.Name, "", t.of.Controller, t.author, MayRevoke)
	if !controls || t.of.Rules&ControllerRevokes == 0 {
		if err := r.may(t.author, t.rec, MayRevoke); err != nil {
			return nil, err
		}
	}
	t.rec.Revoked, t.rec.Offer = true, Offer{}
	return r.append(t.rec, Version{Action: Revoked, Author: t.author, Keys: t.keys, Reason: o.Reason}), nil
}

func (o *OfferRecord) apply(r *run) (*Change, error) {
	t, err := r.alive(o.As, o.Collection, o.ID)
	if err != nil {
		return nil, err
	}
	if err := r.may(t.author, t.rec, MayTransfer); err != nil {
		return nil, err
	}
	switch {
	case o.To == "":
		o.Expires = 0
	case t.of.Rules&NoTransfer != 0:
		return nil, refuse(CodeRule, "records of %s stay with their owners", t.of.Name)
	case r.past(o.Expires):
		return nil, refuse(CodeExpired, "the offer would expire at %d, before the block's time %d", o.Expires, r.at.Time)
	default:
		if err := r.known(o.To); err != nil {
			return nil, err
		}
	}
	t.rec.Offer = Offer{To: o.To, Expires: o.Expires}
	r.save(RecordKey(o.Collection, o.ID), t.rec.code)
	return &Change{Version: t.rec.Version, Digest: t.rec.Digest}, nil
}

func (o *AcceptRecord) apply(r *run) (*Change, error) {
	t, err := r.alive(o.As, o.Collection, o.ID)
	if err != nil {
		return nil, err
	}
	switch {
	case t.rec.Offer.To != t.author:
		return nil, refuse(CodeUnauthorized, "%s/%s is not offered to %s", o.Collection, o.ID, t.author)
	case r.past(t.rec.Offer.Expires):
		return nil, refuse(CodeExpired, "the offer expired at %d, the block's time is %d", t.rec.Offer.Expires, r.at.Time)
	case t.of.Rules&NoTransfer != 0: // since the offer
		return nil, refuse(CodeRule, "records of %s stay with their owners", t.of.Name)
	}
	if err := first(expect(t.rec, o.Version), r.room(t.rec)); err != nil {
		return nil, err
	}
	return r.transfer(t, t.author), nil
}

func (o *TransferRecord) apply(r *run) (*Change, error) {
	t, err := r.alive(o.As, o.Collection, o.ID)
	if err != nil {
		return nil, err
	}
	if err := first(r.may(t.author, t.rec, MayTransfer), r.known(o.To), r.room(t.rec)); err != nil {
		return nil, err
	}
	switch {
	case t.of.Rules&NoTransfer != 0:
		return nil, refuse(CodeRule, "records of %s stay with their owners", t.of.Name)
	case t.of.Rules&DirectTransfer == 0:
		if _, err := r.signedBy(o.To); err != nil {
			return nil, refuse(CodeRule, "%s has not agreed: offer the record, or have it sign", o.To)
		}
	}
	return r.transfer(t, o.To), nil
}

func (r *run) transfer(t *target, to Party) *Change {
	r.t.Delete(ownedKey(t.rec.Owner, t.rec.Collection, t.rec.ID))
	r.t.Set(ownedKey(to, t.rec.Collection, t.rec.ID), nil)
	t.rec.Owner, t.rec.Offer = to, Offer{}
	return r.append(t.rec, Version{Action: Transferred, Author: t.author, Keys: t.keys})
}

func (o *Delegate) apply(r *run) (*Change, error) {
	author, _, err := r.author(o.As)
	if err != nil {
		return nil, err
	}
	c, err := r.collection(o.Collection)
	if err != nil {
		return nil, err
	}
	if o.ID != "" {
		rec, err := r.record(o.Collection, o.ID)
		switch {
		case err != nil:
			return nil, err
		case rec.Owner != author && o.Rights != 0:
			return nil, refuse(CodeUnauthorized, "%s is the owner, not %s", rec.Owner, author)
		}
	}
	key := delegationKey(o.Collection, o.ID, author, o.To)
	_, had := r.t.Get(key)
	switch {
	case o.Rights == 0 && !had:
		return nil, refuse(CodeNotFound, "%s has no rights from %s there", o.To, author)
	case o.Rights == 0:
		r.t.Delete(key)
		return &Change{}, nil
	case o.Rights&MayCreate != 0 && author != c.Controller:
		return nil, refuse(CodeUnauthorized, "%s controls %s and alone may let others create", c.Controller, c.Name)
	case r.past(o.Expires):
		return nil, refuse(CodeExpired, "the delegation would expire at %d, before the block's time %d", o.Expires, r.at.Time)
	}
	if err := r.known(o.To); err != nil {
		return nil, err
	}
	d := Delegation{Collection: o.Collection, ID: o.ID, From: author, To: o.To, Rights: o.Rights, Expires: o.Expires, At: r.at}
	r.save(key, d.code)
	return &Change{}, nil
}
