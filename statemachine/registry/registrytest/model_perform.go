package registrytest

import (
	"errors"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
)

// apply is an operation of the registry.
func (m *Model) apply(client crypto.PublicKey, op []byte) outcome {
	by := opened{signers: []crypto.PublicKey{client}}
	isSigned := len(op) > 0 && registry.Kind(op[0]) == registry.KindSigned
	if isSigned {
		var code statemachine.ResultCode
		by, code = m.open(registry.Space(m.w.chain), op[1:], client, [3]statemachine.ResultCode{registry.CodeMalformed, registry.CodeExpired, registry.CodeReplayed})
		if code != codeOK {
			return ends(code)
		}
		op = by.op
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
	if len(by.bad) > 0 { // which is no matter if they have no say, or it is refused anyway
		trial := m.clone()
		trial.counted = nil
		out := trial.perform(o, registry.KeyParty(client), by.signers)
		// What a schema says is said to those alone who have signed.
		judged := out.code == codeOK || out.code == registry.CodeSchemaViolation || out.code == registry.CodeBadSchema
		if judged && slices.ContainsFunc(by.bad, func(k crypto.PublicKey) bool { return slices.Contains(trial.counted, k) }) {
			return ends(registry.CodeBadSignature)
		}
	}
	out := m.perform(o, registry.KeyParty(client), by.signers)
	if isSigned && out.code == codeOK {
		m.used[by.digest] = true
	}
	return out
}

// author is who does something and has signed it, and with whom.
type author struct {
	registry.Party
	signers []crypto.PublicKey
}

func changed(version, number uint64) outcome {
	return outcome{change: &registry.Change{Version: version, Number: number}}
}

func (m *Model) perform(o registry.Operation, self registry.Party, signers []crypto.PublicKey) outcome {
	if o.Kind().Read() {
		return m.read(o)
	}
	by := func(p registry.Party) author {
		if p == "" {
			p = self
		}
		return author{p, signers}
	}
	switch o := o.(type) {
	case *registry.RegisterParty:
		return m.register(o, signers)
	case *registry.RotateParty:
		return m.rotate(o, signers)
	case *registry.RevokeKey:
		if code := m.who(registry.KeyParty(o.Key), signers); code != codeOK {
			return ends(code)
		}
		m.revoked[o.Key] = true
		return changed(0, 0)
	case *registry.CreateCollection:
		return m.createCollection(o, by(o.As))
	case *registry.SetCollection:
		return m.setCollection(o, by(o.As))
	case *registry.AddSchema:
		return m.addSchema(o, by(o.As))
	case *registry.SetAuthority:
		return m.setAuthority(o, by(o.As))
	case *registry.CreateRecord:
		return m.create(o, by(o.As))
	case *registry.UpdateRecord:
		return m.update(o, by(o.As))
	case *registry.OfferRecord:
		return m.offer(o, by(o.As))
	case *registry.AcceptRecord:
		return m.accept(o, by(o.As))
	case *registry.TransferRecord:
		return m.transfer(o, by(o.As))
	case *registry.RevokeRecord:
		return m.revoke(o, by(o.As))
	case *registry.Delegate:
		return m.delegate(o, by(o.As))
	case *registry.Attest:
		return m.attest(o, by(o.As))
	case *registry.RevokeAttestation:
		return m.revokeAttestation(o, by(o.As))
	}
	return ends(registry.CodeUnsupported)
}

// known tells whether there is a party.
func (m *Model) known(p registry.Party) bool {
	_, key := p.Key()
	return key || m.parties[p] != nil
}

// registrar is whether who decides about parties and collections has signed.
func (m *Model) registrar(signers []crypto.PublicKey) statemachine.ResultCode {
	if m.parties[registry.Registrar] == nil {
		return codeOK
	}
	return m.who(registry.Registrar, signers)
}

func (m *Model) register(o *registry.RegisterParty, signers []crypto.PublicKey) outcome {
	if o.Name == registry.Registrar || o.Keys.Validate() != nil {
		return ends(registry.CodeMalformed)
	}
	if code := m.registrar(signers); code != codeOK {
		return ends(code)
	}
	if code := m.met(o.Keys, signers); code != codeOK {
		return ends(code)
	}
	if m.parties[o.Name] != nil {
		return ends(registry.CodeExists)
	}
	m.parties[o.Name] = &registry.PartyInfo{Name: o.Name, Keys: o.Keys, Recovery: o.Recovery, Version: 1}
	return changed(1, 0)
}

// rotate changes a party's keys: its own have signed, or its recovery; and enough of the
// new ones, of which none was revoked.
func (m *Model) rotate(o *registry.RotateParty, signers []crypto.PublicKey) outcome {
	p := m.parties[o.Name]
	if p == nil {
		return ends(registry.CodeNotFound)
	}
	if own := m.met(p.Keys, signers); own != codeOK && (p.Recovery.IsZero() || m.met(p.Recovery, signers) != codeOK) {
		return ends(own)
	}
	if slices.ContainsFunc(o.Keys.Keys, func(k crypto.PublicKey) bool { return m.revoked[k] }) {
		return ends(registry.CodeKeyRevoked)
	}
	if code := m.met(o.Keys, signers); code != codeOK {
		return ends(code)
	}
	p.Keys = o.Keys
	p.Version++
	return changed(p.Version, 0)
}
