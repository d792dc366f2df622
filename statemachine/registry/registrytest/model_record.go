package registrytest

import (
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
)

// record is one with its history.
type record struct {
	registry.Record
	versions     []registry.Version
	attestations []registry.Attestation
}

// delegation is of a record, or, without an id, of all that somebody has in a collection.
type delegation struct {
	collection, id string
	from, to       registry.Party
}

// next adds a version.
func (r *record) next(v registry.Version) outcome {
	r.Version++
	v.Number, v.Owner = r.Version, r.Owner
	if v.Action == registry.Created || v.Action == registry.Updated {
		r.Content = r.Version
	}
	v.Content = r.Content
	r.versions = append(r.versions, v)
	return changed(r.Version, 0)
}

func (m *Model) create(o *registry.CreateRecord, by author) outcome {
	if code := m.who(by.Party, by.signers); code != codeOK {
		return ends(code)
	}
	c := m.collections[o.Collection]
	if c == nil {
		return ends(registry.CodeNotFound)
	}
	owner := o.Owner
	if owner == "" {
		owner = by.Party
	}
	issues := by.Party == c.Controller || m.delegated[delegation{c.Name, "", c.Controller, by.Party}]&registry.MayCreate != 0
	code := codeOK
	switch {
	case issues && !m.known(owner):
		code = registry.CodeNotFound
	case issues:
	case c.Rules&registry.OpenCreate == 0:
		code = registry.CodeUnauthorized
	case owner != by.Party:
		code = m.who(owner, by.signers)
	}
	if code != codeOK {
		return ends(code)
	}
	if m.records[o.Collection+"/"+o.ID] != nil {
		return ends(registry.CodeExists)
	}
	schema, code := c.takes(o.Schema, o.Data, o.Commitment)
	if code != codeOK {
		return ends(code)
	}
	c.Records++
	r := &record{Record: registry.Record{Collection: o.Collection, ID: o.ID, Owner: owner}}
	m.records[o.Collection+"/"+o.ID] = r
	return r.next(registry.Version{Action: registry.Created, Author: by.Party, Schema: schema, Data: o.Data, Commitment: o.Commitment})
}

// takes tells whether a collection takes such a content, and by which schema.
func (c *collection) takes(number uint32, data []byte, commitment crypto.Digest) (uint32, statemachine.ResultCode) {
	switch {
	case c.Rules&registry.CommitmentsOnly != 0 && len(data) > 0, c.Rules&registry.RequireData != 0 && len(data) == 0,
		c.Rules&registry.RequireCommitment != 0 && commitment.IsZero():
		return 0, registry.CodeRule
	case number > c.Schemas && (c.Schemas == 0 || len(data) > 0):
		return 0, registry.CodeNotFound
	case c.Schemas == 0 || len(data) == 0:
		return 0, codeOK
	case number == 0:
		number = c.Schemas
	}
	switch {
	case number < c.Floor:
		return 0, registry.CodeSchemaRetired
	case !follows(c.schemas[number-1], data):
		return 0, registry.CodeSchemaViolation
	}
	return number, codeOK
}

// alive does something to a record that is there and not revoked, as somebody who has
// signed.
func (m *Model) alive(by author, collection, id string, do func(*collectionOf) outcome) outcome {
	code, r := m.who(by.Party, by.signers), m.records[collection+"/"+id]
	switch {
	case code != codeOK:
		return ends(code)
	case r == nil:
		return ends(registry.CodeNotFound)
	case r.Revoked:
		return ends(registry.CodeRevoked)
	}
	return do(&collectionOf{r, m.collections[collection]})
}

// collectionOf is a record and its collection.
type collectionOf struct {
	*record
	in *collection
}

func (m *Model) may(r *record, by registry.Party, right registry.Rights) bool {
	has := func(id string) bool { return m.delegated[delegation{r.Collection, id, r.Owner, by}]&right != 0 }
	return by == r.Owner || has("") || has(r.ID)
}

func (m *Model) update(o *registry.UpdateRecord, by author) outcome {
	return m.alive(by, o.Collection, o.ID, func(r *collectionOf) outcome {
		switch {
		case !m.may(r.record, by.Party, registry.MayUpdate):
			return ends(registry.CodeUnauthorized)
		case o.Version != 0 && o.Version != r.Version:
			return ends(registry.CodeConflict)
		case r.Version >= maxVersions:
			return ends(registry.CodeLimit)
		case r.in.Rules&registry.Immutable != 0:
			return ends(registry.CodeRule)
		}
		schema, code := r.in.takes(o.Schema, o.Data, o.Commitment)
		if code != codeOK {
			return ends(code)
		}
		return r.next(registry.Version{Action: registry.Updated, Author: by.Party, Schema: schema, Data: o.Data, Commitment: o.Commitment})
	})
}

func (m *Model) offer(o *registry.OfferRecord, by author) outcome {
	return m.alive(by, o.Collection, o.ID, func(r *collectionOf) outcome {
		switch {
		case !m.may(r.record, by.Party, registry.MayTransfer):
			return ends(registry.CodeUnauthorized)
		case o.To != "" && r.in.Rules&registry.NoTransfer != 0:
			return ends(registry.CodeRule)
		case o.To != "" && !m.known(o.To):
			return ends(registry.CodeNotFound)
		}
		r.Offer = registry.Offer{To: o.To}
		return changed(r.Version, 0)
	})
}

func (m *Model) accept(o *registry.AcceptRecord, by author) outcome {
	return m.alive(by, o.Collection, o.ID, func(r *collectionOf) outcome {
		switch {
		case r.Offer.To != by.Party:
			return ends(registry.CodeUnauthorized)
		case r.in.Rules&registry.NoTransfer != 0:
			return ends(registry.CodeRule)
		case r.Version >= maxVersions:
			return ends(registry.CodeLimit)
		}
		return r.handOver(by.Party, by)
	})
}

func (r *record) handOver(to registry.Party, by author) outcome {
	r.Owner, r.Offer = to, registry.Offer{}
	return r.next(registry.Version{Action: registry.Transferred, Author: by.Party})
}

func (m *Model) transfer(o *registry.TransferRecord, by author) outcome {
	return m.alive(by, o.Collection, o.ID, func(r *collectionOf) outcome {
		switch {
		case !m.may(r.record, by.Party, registry.MayTransfer):
			return ends(registry.CodeUnauthorized)
		case !m.known(o.To):
			return ends(registry.CodeNotFound)
		case r.Version >= maxVersions:
			return ends(registry.CodeLimit)
		case r.in.Rules&registry.NoTransfer != 0, r.in.Rules&registry.DirectTransfer == 0 && m.who(o.To, by.signers) != codeOK:
			return ends(registry.CodeRule)
		}
		return r.handOver(o.To, by)
	})
}

func (m *Model) revoke(o *registry.RevokeRecord, by author) outcome {
	return m.alive(by, o.Collection, o.ID, func(r *collectionOf) outcome {
		c := r.in
		controls := by.Party == c.Controller || m.delegated[delegation{c.Name, "", c.Controller, by.Party}]&registry.MayRevoke != 0
		if !(controls && c.Rules&registry.ControllerRevokes != 0) && !m.may(r.record, by.Party, registry.MayRevoke) {
			return ends(registry.CodeUnauthorized)
		}
		r.Revoked, r.Offer = true, registry.Offer{}
		return r.next(registry.Version{Action: registry.Revoked, Author: by.Party, Reason: o.Reason})
	})
}

func (m *Model) delegate(o *registry.Delegate, by author) outcome {
	if o.ID != "" && o.Rights&registry.MayCreate != 0 {
		return ends(registry.CodeMalformed)
	}
	code, c, r := m.who(by.Party, by.signers), m.collections[o.Collection], m.records[o.Collection+"/"+o.ID]
	d := delegation{o.Collection, o.ID, by.Party, o.To}
	_, had := m.delegated[d]
	switch {
	case code != codeOK:
		return ends(code)
	case c == nil, o.ID != "" && r == nil:
		return ends(registry.CodeNotFound)
	case o.ID != "" && o.Rights != 0 && r.Owner != by.Party:
		return ends(registry.CodeUnauthorized)
	case o.Rights == 0 && !had:
		return ends(registry.CodeNotFound)
	case o.Rights == 0:
		delete(m.delegated, d)
		return changed(0, 0)
	case o.Rights&registry.MayCreate != 0 && c.Controller != by.Party:
		return ends(registry.CodeUnauthorized)
	case !m.known(o.To):
		return ends(registry.CodeNotFound)
	}
	m.delegated[d] = o.Rights
	return changed(0, 0)
}

func (m *Model) attest(o *registry.Attest, by author) outcome {
	return m.alive(by, o.Collection, o.ID, func(r *collectionOf) outcome {
		a := r.in.authorities[by.Party]
		switch {
		case len(a.Topics) == 0:
			return ends(registry.CodeUnauthorized)
		case a.Expires != 0 && a.Expires <= m.now:
			return ends(registry.CodeExpired)
		case !slices.Contains(a.Topics, o.Topic) && !slices.Contains(a.Topics, registry.AnyTopic):
			return ends(registry.CodeScope)
		case r.Attestations >= maxAttestations:
			return ends(registry.CodeLimit)
		}
		r.Attestations++
		r.attestations = append(r.attestations, registry.Attestation{
			Collection: o.Collection, ID: o.ID, Number: r.Attestations, Authority: by.Party, Topic: o.Topic, Version: r.Version, Statement: o.Statement,
		})
		return changed(r.Version, r.Attestations)
	})
}

func (m *Model) revokeAttestation(o *registry.RevokeAttestation, by author) outcome {
	code, r := m.who(by.Party, by.signers), m.records[o.Collection+"/"+o.ID]
	switch {
	case code != codeOK:
		return ends(code)
	case r == nil, o.Number == 0 || o.Number > r.Attestations:
		return ends(registry.CodeNotFound)
	}
	a := &r.attestations[o.Number-1]
	switch {
	case a.Authority != by.Party && m.collections[o.Collection].Controller != by.Party:
		return ends(registry.CodeUnauthorized)
	case a.RevokedBy != "":
		return ends(registry.CodeRevoked)
	}
	a.RevokedBy, a.Reason = by.Party, o.Reason
	return changed(0, o.Number)
}
