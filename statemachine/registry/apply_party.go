package registry

import (
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

func (o *RegisterParty) apply(r *run) (*Change, error) {
	if err := r.registrar(); err != nil {
		return nil, err
	}
	if _, err := r.threshold(string(o.Name), &o.Keys); err != nil {
		return nil, err
	}
	if _, ok := r.t.Get(partyKey(o.Name)); ok {
		return nil, refuse(CodeExists, "there is a party %s", o.Name)
	}
	p := PartyInfo{Name: o.Name, Keys: o.Keys, Recovery: o.Recovery, Version: 1, Registered: r.at, Changed: r.at}
	r.save(partyKey(o.Name), p.code)
	r.counts.Parties++
	return &Change{Version: 1}, nil
}

// ownOrRecovery demands that a party has signed, or its recovery.
func (r *run) ownOrRecovery(p *PartyInfo) error {
	_, own := r.threshold(string(p.Name), &p.Keys)
	if own == nil || p.Recovery.IsZero() {
		return own
	}
	if _, err := r.threshold("recovery of "+string(p.Name), &p.Recovery); err == nil {
		return nil
	}
	return own
}

func (o *RotateParty) apply(r *run) (*Change, error) {
	p, err := r.party(o.Name)
	if err != nil {
		return nil, err
	}
	if err := r.ownOrRecovery(p); err != nil {
		return nil, err
	}
	for _, k := range o.Keys.Keys {
		if r.keyRevoked(k) || slices.ContainsFunc(p.Revoked, func(v RevokedKey) bool { return v.Key == k }) {
			return nil, refuse(CodeKeyRevoked, "key %s was revoked", k.Hex())
		}
	}
	if _, err := r.threshold("new keys of "+string(o.Name), &o.Keys); err != nil {
		return nil, err
	}
	if o.SetRecovery {
		if !p.Recovery.IsZero() {
			if _, err := r.threshold("recovery of "+string(o.Name), &p.Recovery); err != nil {
				return nil, err
			}
		}
		p.Recovery = o.Recovery
	}
	p.Keys, p.Changed = o.Keys, r.at
	p.Version++
	r.save(partyKey(p.Name), p.code)
	return &Change{Version: p.Version}, nil
}

// keptForRecovery is how many of the keys that a party can have revoked only its recovery
// revokes. Else whoever has stolen the party's keys could use up all of them, on keys that
// were never the party's or were rotated in for that, and the stolen ones stay trusted.
const keptForRecovery = maxRevokedKeys / 2

func (o *RevokeKey) apply(r *run) (*Change, error) {
	since := o.Since
	if since == 0 {
		since = r.at.Time
	}
	if since > r.at.Time {
		return nil, refuse(CodeMalformed, "the key is to be revoked since %d, which is after the block's time %d", since, r.at.Time)
	}
	revoked := RevokedKey{Key: o.Key, Since: since, At: r.at, Reason: o.Reason, First: r.at, FirstSince: since}
	if o.Party == "" {
		return r.revokeItself(&revoked)
	}
	p, err := r.party(o.Party)
	if err != nil {
		return nil, err
	}
	if err := r.ownOrRecovery(p); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(p.Revoked, func(v RevokedKey) bool { return v.Key == o.Key }); i >= 0 {
		if err := revoked.follow(&p.Revoked[i]); err != nil {
			return nil, err
		}
		p.Revoked[i], p.Changed = revoked, r.at
		p.Version++
		r.save(partyKey(p.Name), p.code)
		return &Change{Version: p.Version}, nil
	}
	recovers := false
	if !p.Recovery.IsZero() {
		_, err := r.threshold("recovery of "+string(p.Name), &p.Recovery)
		recovers = err == nil
	}
	switch {
	case !p.Recovery.IsZero() && !recovers && len(p.Revoked) >= maxRevokedKeys-keptForRecovery:
		return nil, refuse(CodeLimit, "%s has had %d keys revoked: only its recovery revokes more", p.Name, len(p.Revoked))
	case len(p.Revoked) == maxRevokedKeys:
		return nil, refuse(CodeLimit, "%s has had %d keys revoked: register another party", p.Name, maxRevokedKeys)
	}
	p.Revoked = append(p.Revoked, revoked)
	p.Keys.Keys = slices.DeleteFunc(slices.Clone(p.Keys.Keys), func(k crypto.PublicKey) bool { return k == o.Key })
	p.Changed = r.at
	p.Version++
	r.save(partyKey(p.Name), p.code)
	return &Change{Version: p.Version}, nil
}

// revokeItself has a key revoke itself. One that is revoked signs nothing any more but that
// it was not to be trusted even before.
func (r *run) revokeItself(revoked *RevokedKey) (*Change, error) {
	var had RevokedKey
	if r.load(revokedKey(revoked.Key), had.code) && r.signs(revoked.Key) {
		if err := revoked.follow(&had); err != nil {
			return nil, err
		}
	} else if _, err := r.signedBy(KeyParty(revoked.Key)); err != nil {
		return nil, err
	}
	r.save(revokedKey(revoked.Key), revoked.code)
	return &Change{}, nil
}

// follow makes k what is said after had of the same key. Distrust can only grow. A thief
// who has the key revokes it as of now, so that what he signed before stands, and whoever
// finds out later must have the last word; while one who could say a later time would make
// signatures good again that nobody relies on any more.
func (k *RevokedKey) follow(had *RevokedKey) error {
	if k.Since >= had.Since {
		return refuse(CodeKeyRevoked, "key %s is revoked since %d already: it can be said that it was not to be trusted before, not only since %d", k.Key.Hex(), had.Since, k.Since)
	}
	k.First, k.FirstSince = had.First, had.FirstSince
	return nil
}

// compromised is the time since when one of the keys with which a party signed is not to
// be trusted, if that is not after at; else 0. It is for reads: what it looked up it does
// not look up again.
func (r *reading) compromised(p Party, keys []crypto.PublicKey, at statemachine.Time) (since statemachine.Time) {
	of := r.revokedOf(p)
	for _, k := range keys {
		for _, v := range []*RevokedKey{r.revokedItself(k), of[k]} {
			if v != nil && v.Since <= at && (since == 0 || v.Since < since) {
				since = max(v.Since, 1)
			}
		}
	}
	return since
}

// revokedItself returns what a key has said of itself, if it has.
func (r *reading) revokedItself(k crypto.PublicKey) *RevokedKey {
	v, known := r.itself[k]
	if known {
		return v
	}
	if v = new(RevokedKey); !r.load(revokedKey(k), v.code) {
		v = nil
	}
	if r.itself == nil {
		r.itself = make(map[crypto.PublicKey]*RevokedKey)
	}
	r.itself[k] = v
	return v
}

// revokedOf returns the keys that were taken from a party.
func (r *reading) revokedOf(p Party) map[crypto.PublicKey]*RevokedKey {
	of, known := r.of[p]
	if known {
		return of
	}
	if info, err := r.party(p); err == nil {
		of = make(map[crypto.PublicKey]*RevokedKey, len(info.Revoked))
		for i := range info.Revoked {
			of[info.Revoked[i].Key] = &info.Revoked[i]
		}
	}
	if r.of == nil {
		r.of = make(map[Party]map[crypto.PublicKey]*RevokedKey)
	}
	r.of[p] = of
	return of
}

// load decodes an entry of the state; false if there is none.
func (r *reading) load(key []byte, code func(*canon.Codec)) bool {
	b, ok := r.r.Get(key)
	if ok {
		decodeEntry(key, b, code)
	}
	return ok
}

// party returns a registered party.
func (r *reading) party(p Party) (*PartyInfo, error) {
	info := new(PartyInfo)
	if !ValidName(string(p)) || !r.load(partyKey(p), info.code) {
		return nil, refuse(CodeNotFound, "there is no party %s", p)
	}
	return info, nil
}
