package registry

import "slices"

func (o *Attest) apply(r *run) (*Change, error) {
	t, err := r.alive(o.As, o.Collection, o.ID)
	if err != nil {
		return nil, err
	}
	var a Authority
	switch known := r.load(authorityKey(o.Collection, t.author), a.code); {
	case !known || len(a.Topics) == 0:
		return nil, refuse(CodeUnauthorized, "%s is no authority of %s", t.author, o.Collection)
	case r.past(a.Expires):
		return nil, refuse(CodeExpired, "%s was an authority of %s until %d, the block's time is %d", t.author, o.Collection, a.Expires, r.at.Time)
	case !slices.Contains(a.Topics, o.Topic) && !slices.Contains(a.Topics, AnyTopic):
		return nil, refuse(CodeScope, "%s may not attest %s in %s", t.author, o.Topic, o.Collection)
	case r.past(o.Expires):
		return nil, refuse(CodeExpired, "the attestation would expire at %d, before the block's time %d", o.Expires, r.at.Time)
	case t.rec.Attestations >= uint64(r.cfg.Limits.MaxAttestations):
		return nil, refuse(CodeLimit, "%s/%s has %d attestations", o.Collection, o.ID, t.rec.Attestations)
	}
	number, digest := t.rec.Version, t.rec.Digest
	if o.Version != 0 && o.Version != number {
		v, err := r.version(o.Collection, o.ID, o.Version)
		if err != nil {
			return nil, err
		}
		number, digest = v.Number, v.Digest(o.Collection, o.ID)
	}
	t.rec.Attestations++
	at := Attestation{
		Collection: o.Collection, ID: o.ID, Number: t.rec.Attestations, Authority: t.author, Keys: t.keys, Topic: o.Topic,
		Version: number, Digest: digest, Statement: o.Statement, Expires: o.Expires, At: r.at,
	}
	r.save(attestationKey(o.Collection, o.ID, at.Number), at.code)
	r.save(RecordKey(o.Collection, o.ID), t.rec.code)
	return &Change{Version: number, Digest: digest, Number: at.Number}, nil
}

func (o *RevokeAttestation) apply(r *run) (*Change, error) {
	t, err := r.target(o.As, o.Collection, o.ID)
	if err != nil {
		return nil, err
	}
	var a Attestation
	key := attestationKey(o.Collection, o.ID, o.Number)
	switch {
	case !r.load(key, a.code):
		return nil, refuse(CodeNotFound, "%s/%s has no attestation %d", o.Collection, o.ID, o.Number)
	case a.Authority != t.author && t.of.Controller != t.author:
		return nil, refuse(CodeUnauthorized, "%s made the attestation, and %s controls %s: not %s", a.Authority, t.of.Controller, o.Collection, t.author)
	case a.RevokedBy != "":
		return nil, refuse(CodeRevoked, "attestation %d was revoked", o.Number)
	}
	a.RevokedBy, a.Revoked, a.Reason = t.author, r.at, o.Reason
	r.save(key, a.code)
	return &Change{Number: o.Number}, nil
}
