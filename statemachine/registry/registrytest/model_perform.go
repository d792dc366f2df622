package registrytest

import (
	"bytes"
	"errors"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
)

// apply is an operation of the registry.
func (m *Model) apply(client crypto.PublicKey, op []byte) outcome {
	signers := []crypto.PublicKey{client}
	var digest crypto.Digest
	isSigned := len(op) > 0 && registry.Kind(op[0]) == registry.KindSigned
	if isSigned {
		var code statemachine.ResultCode
		op, signers, digest, code = m.open(registry.Space(m.w.chain), op[1:], client, [4]statemachine.ResultCode{registry.CodeMalformed, registry.CodeExpired, registry.CodeReplayed, registry.CodeBadSignature})
		if code != codeOK {
			return ends(code)
		}
		if len(op) > 0 && registry.Kind(op[0]) == registry.KindSigned {
			return ends(registry.CodeMalformed) // an envelope in an envelope
		}
	}
	o, err := registry.Decode(op)
	switch {
	case errors.Is(err, registry.ErrMalformed):
		return ends(registry.CodeMalformed)
	case err != nil: // of a kind that there is not
		return ends(registry.CodeUnsupported)
	}
	if isSigned && o.Kind().Read() {
		return ends(registry.CodeUnsupported)
	}
	out := m.perform(o, registry.KeyParty(client), signers)
	if isSigned && out.code == codeOK {
		m.used[digest] = true
	}
	return out
}

func (m *Model) perform(o registry.Operation, self registry.Party, signers []crypto.PublicKey) outcome {
	as := func(p registry.Party) registry.Party {
		if p == "" {
			return self
		}
		return p
	}
	switch o := o.(type) {
	case *registry.GetInfo: // a byte, so that noise is one now and then
		return outcome{}
	case *registry.GetRecord:
		if r := m.records[o.Collection+"/"+o.ID]; r != nil {
			return outcome{of: r}
		}
		return ends(registry.CodeNotFound)
	case *registry.ListVersions:
		return outcome{of: m.records[o.Collection+"/"+o.ID]}
	case *registry.ListAttestations:
		return outcome{of: m.records[o.Collection+"/"+o.ID]}
	case *registry.RotateParty:
		return m.rotate(o, signers)
	case *registry.RevokeKey:
		if code := m.who(registry.KeyParty(o.Key), signers); code != codeOK {
			return ends(code)
		}
		m.revoked[o.Key] = true
		return outcome{change: &registry.Change{}}
	case *registry.CreateRecord:
		return m.create(o, as(o.As), signers)
	case *registry.Delegate:
		if code := m.who(as(o.As), signers); code != codeOK {
			return ends(code)
		}
		m.delegated[delegation(o.Collection, as(o.As), o.To)] = o.Rights
		return outcome{change: &registry.Change{}}
	case *registry.UpdateRecord:
		return m.with(as(o.As), o.Collection, o.ID, signers, func(r *record) outcome {
			switch {
			case !m.may(r, o.Collection, as(o.As), registry.MayUpdate):
				return ends(registry.CodeUnauthorized)
			case o.Version != 0 && o.Version != r.version:
				return ends(registry.CodeConflict)
			case r.version >= maxVersions:
				return ends(registry.CodeLimit)
			case o.Collection == "issued" && o.Commitment.IsZero():
				return ends(registry.CodeRule)
			case o.Collection == "open" && !follows(o.Data):
				return ends(registry.CodeSchemaViolation)
			}
			r.data = string(o.Data)
			return r.next()
		})
	case *registry.OfferRecord:
		return m.with(as(o.As), o.Collection, o.ID, signers, func(r *record) outcome {
			if !m.may(r, o.Collection, as(o.As), registry.MayTransfer) {
				return ends(registry.CodeUnauthorized)
			}
			r.offer = o.To
			return outcome{change: &registry.Change{Version: r.version}}
		})
	case *registry.AcceptRecord:
		return m.with(as(o.As), o.Collection, o.ID, signers, func(r *record) outcome {
			switch {
			case r.offer != as(o.As):
				return ends(registry.CodeUnauthorized)
			case r.version >= maxVersions:
				return ends(registry.CodeLimit)
			}
			r.owner, r.offer = r.offer, ""
			return r.next()
		})
	case *registry.TransferRecord: // of issued, where one step is enough
		return m.with(as(o.As), o.Collection, o.ID, signers, func(r *record) outcome {
			switch {
			case !m.may(r, o.Collection, as(o.As), registry.MayTransfer):
				return ends(registry.CodeUnauthorized)
			case r.version >= maxVersions:
				return ends(registry.CodeLimit)
			}
			r.owner, r.offer = o.To, ""
			return r.next()
		})
	case *registry.RevokeRecord:
		return m.with(as(o.As), o.Collection, o.ID, signers, func(r *record) outcome {
			if controls := as(o.As) == office && o.Collection == "open"; !controls && !m.may(r, o.Collection, as(o.As), registry.MayRevoke) {
				return ends(registry.CodeUnauthorized)
			}
			r.revoked, r.offer = true, ""
			return r.next()
		})
	case *registry.Attest:
		return m.with(as(o.As), o.Collection, o.ID, signers, func(r *record) outcome {
			switch {
			case o.Topic != "seen":
				return ends(registry.CodeScope)
			case len(r.attestations) == maxAttestations:
				return ends(registry.CodeLimit)
			}
			r.attestations = append(r.attestations, false)
			return outcome{change: &registry.Change{Version: r.version, Number: uint64(len(r.attestations))}}
		})
	case *registry.RevokeAttestation:
		if code := m.who(as(o.As), signers); code != codeOK {
			return ends(code)
		}
		r := m.records[o.Collection+"/"+o.ID]
		switch {
		case r == nil, o.Number == 0 || o.Number > uint64(len(r.attestations)):
			return ends(registry.CodeNotFound)
		case r.attestations[o.Number-1]:
			return ends(registry.CodeRevoked)
		}
		r.attestations[o.Number-1] = true
		return outcome{change: &registry.Change{Number: o.Number}}
	}
	return ends(registry.CodeUnsupported)
}

// rotate changes the office's keys: its own have signed, or its recovery, the third
// person; and enough of the new ones, of which none was revoked.
func (m *Model) rotate(o *registry.RotateParty, signers []crypto.PublicKey) outcome {
	own := m.met(m.parties[o.Name], signers)
	if own != codeOK && m.met(signed.Of(1, m.w.keys()[2]), signers) != codeOK {
		return ends(own)
	}
	if slices.ContainsFunc(o.Keys.Keys, func(k crypto.PublicKey) bool { return m.revoked[k] }) {
		return ends(registry.CodeKeyRevoked)
	}
	if code := m.met(o.Keys, signers); code != codeOK {
		return ends(code)
	}
	m.parties[o.Name] = o.Keys
	return outcome{} // the count of its changes is not modelled
}

func (m *Model) create(o *registry.CreateRecord, by registry.Party, signers []crypto.PublicKey) outcome {
	if code := m.who(by, signers); code != codeOK {
		return ends(code)
	}
	owner := o.Owner
	if owner == "" {
		owner = by
	}
	if by != office {
		if o.Collection == "issued" {
			return ends(registry.CodeUnauthorized)
		}
		if code := m.who(owner, signers); code != codeOK {
			return ends(code)
		}
	}
	switch {
	case m.records[o.Collection+"/"+o.ID] != nil:
		return ends(registry.CodeExists)
	case o.Collection == "issued" && o.Commitment.IsZero():
		return ends(registry.CodeRule)
	case o.Collection == "open" && !follows(o.Data):
		return ends(registry.CodeSchemaViolation)
	}
	r := &record{owner: owner, data: string(o.Data)}
	m.records[o.Collection+"/"+o.ID] = r
	return r.next()
}

// with does something to a record that is there and not revoked, as somebody who has
// signed.
func (m *Model) with(by registry.Party, collection, id string, signers []crypto.PublicKey, do func(*record) outcome) outcome {
	code, r := m.who(by, signers), m.records[collection+"/"+id]
	switch {
	case code != codeOK:
		return ends(code)
	case r == nil:
		return ends(registry.CodeNotFound)
	case r.revoked:
		return ends(registry.CodeRevoked)
	}
	return do(r)
}

func delegation(collection string, from, to registry.Party) string {
	return string(canon.AppendString(canon.AppendString([]byte(collection), string(from)), string(to)))
}

func (m *Model) may(r *record, collection string, by registry.Party, right registry.Rights) bool {
	return by == r.owner || m.delegated[delegation(collection, r.owner, by)]&right != 0
}

func (r *record) next() outcome {
	r.version++
	return outcome{change: &registry.Change{Version: r.version}}
}

// follows tells whether data follow the schema of the collection open.
func follows(data []byte) bool { return !bytes.Contains(data, []byte("-")) }
