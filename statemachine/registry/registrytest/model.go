package registrytest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Model says how the operations of a [Workload] must end: a plain program over maps,
// with nothing of the registry's but its types and encodings.
type Model struct {
	w   *Workload
	now statemachine.Time

	mode      access.Mode
	members   map[crypto.PublicKey]access.Member
	quota     access.Quota // of the role member
	windows   map[crypto.PublicKey]window
	proposals int
	used      map[crypto.Digest]bool

	parties     map[registry.Party]*registry.PartyInfo
	revoked     map[crypto.PublicKey]bool
	collections map[string]*collection
	records     map[string]*record // by collection/id
	delegated   map[delegation]registry.Rights
	verifier    *ed25519.Verifier
	counted     []crypto.PublicKey // that had a say in the operation at hand
}

type window struct {
	ends       statemachine.Time
	operations uint64
}

// NewModel returns the model of the world's beginning.
func NewModel(w *Workload) *Model {
	m := &Model{
		w: w, mode: access.Consortium, members: map[crypto.PublicKey]access.Member{}, quota: w.Policy().Roles[0].Quota, windows: map[crypto.PublicKey]window{}, used: map[crypto.Digest]bool{},
		parties: map[registry.Party]*registry.PartyInfo{}, revoked: map[crypto.PublicKey]bool{}, collections: map[string]*collection{},
		records: map[string]*record{}, delegated: map[delegation]registry.Rights{}, verifier: ed25519.NewVerifier(16),
	}
	for _, p := range w.Policy().Members {
		m.members[p.Key] = p
	}
	g := w.Genesis()
	for _, p := range g.Parties {
		m.parties[p.Name] = &registry.PartyInfo{Name: p.Name, Keys: p.Keys, Recovery: p.Recovery, Version: 1}
	}
	for _, c := range g.Collections {
		is := &collection{Collection: registry.Collection{Name: c.Name, Controller: c.Controller, Rules: c.Rules}, authorities: map[registry.Party]registry.Authority{}}
		if len(c.Schema) > 0 {
			is.Floor = 1
			is.add(c.Schema)
		}
		for _, a := range c.Authorities {
			is.authorities[a.Name] = registry.Authority{Collection: c.Name, Name: a.Name, Topics: a.Topics}
		}
		m.collections[c.Name] = is
	}
	return m
}

// Begin begins a block.
func (m *Model) Begin(now statemachine.Time) { m.now = now }

// outcome is how an operation ends.
type outcome struct {
	code   statemachine.ResultCode
	rule   access.Rule // of a refusal
	change *registry.Change
	read   *registry.Result // without what is not modelled: see shown
}

const codeOK = statemachine.CodeOK

func ends(code statemachine.ResultCode) outcome { return outcome{code: code} }

// Judge runs an operation, and says how its result is not what it must be.
func (m *Model) Judge(client crypto.PublicKey, op []byte, got statemachine.Result) error {
	want := m.run(client, op)
	if got.Code != want.code {
		return fmt.Errorf("it ends with code %d %q, the model with %d", got.Code, got.Data, want.code)
	}
	if why := access.RefusalOf(got); want.code == access.CodeRefused && (why == nil || why.Rule != want.rule) {
		return fmt.Errorf("it is refused by %v, in the model by rule %v", why, want.rule)
	}
	if got.Code != codeOK && len(got.Data) == 0 {
		return fmt.Errorf("it is rejected without a word")
	}
	if got.Code != codeOK || access.IsOperation(op) {
		return nil
	}
	r, err := registry.DecodeResult(got)
	if err != nil {
		return err
	}
	switch {
	case want.change != nil:
		if r.Change == nil || r.Change.Version != want.change.Version || r.Change.Number != want.change.Number {
			return fmt.Errorf("it answers %+v, the model %+v", r.Change, want.change)
		}
	case want.read != nil:
		if have, must := shown(r), shown(want.read); have != must {
			return fmt.Errorf("it reads %s, the model %s", have, must)
		}
	}
	return nil
}

// run decides whether the operation runs, and runs it.
func (m *Model) run(client crypto.PublicKey, op []byte) outcome {
	own := access.IsOperation(op)
	kind, read := registry.Classify(op)
	if own {
		o, err := access.Decode(op)
		if read = err == nil && o.Kind().Read(); read {
			kind = o.Kind().String()
		}
	}
	if rule := m.refusal(client, kind, read); rule != 0 && (!own || read) {
		return outcome{code: access.CodeRefused, rule: rule}
	}
	if !m.charge(client) {
		return outcome{code: access.CodeRefused, rule: access.RuleOperations}
	}
	switch {
	case !own:
		return m.apply(client, op)
	case read:
		return outcome{}
	}
	return m.change(client, op)
}

// opened is what an envelope says, and which of its signatures are bad.
type opened struct {
	op      []byte
	signers []crypto.PublicKey
	digest  crypto.Digest
	bad     []crypto.PublicKey
}

// open opens an envelope in a space; the codes are those for one that is malformed, late
// and replayed. It does not note that it was used.
func (m *Model) open(space signed.Space, b []byte, client crypto.PublicKey, codes [3]statemachine.ResultCode) (is opened, code statemachine.ResultCode) {
	e, err := signed.Decode(b)
	if err != nil {
		return is, codes[0]
	}
	is = opened{op: e.Op, signers: []crypto.PublicKey{client}, digest: e.Digest(space)}
	switch {
	case e.Deadline < m.now:
		return is, codes[1]
	case m.used[is.digest]:
		return is, codes[2]
	}
	for _, s := range e.Signatures {
		if !m.verifier.Verify(s.Key, crypto.Context{Kind: crypto.KindApplication, Cluster: space.Chain}, is.digest[:], s.Signature) {
			is.bad = append(is.bad, s.Key)
		}
		is.signers = append(is.signers, s.Key)
	}
	return is, codeOK
}

// clone is for what may turn out not to happen.
func (m *Model) clone() *Model {
	c := *m
	c.parties, c.revoked, c.delegated = maps.Clone(m.parties), maps.Clone(m.revoked), maps.Clone(m.delegated)
	c.collections, c.records = maps.Clone(m.collections), maps.Clone(m.records)
	for name, p := range c.parties {
		is := *p
		c.parties[name] = &is
	}
	for name, p := range c.collections {
		is := *p
		is.schemas, is.authorities = slices.Clone(p.schemas), maps.Clone(p.authorities)
		c.collections[name] = &is
	}
	for id, p := range c.records {
		is := *p
		is.versions, is.attestations = slices.Clone(p.versions), slices.Clone(p.attestations)
		c.records[id] = &is
	}
	return &c
}

// signedPrefix begins the envelopes about access: as a read without fields begins, and
// ends, but for the kind.
var signedPrefix = access.EncodeSigned(&signed.Envelope{})[:len(access.Encode(&access.GetPolicy{}))]

// who is a party's signature: codeOK if it has signed.
func (m *Model) who(p registry.Party, signers []crypto.PublicKey) statemachine.ResultCode {
	if k, ok := p.Key(); ok {
		return m.met(signed.Of(1, k), signers)
	}
	if info := m.parties[p]; info != nil {
		return m.met(info.Keys, signers)
	}
	return registry.CodeNotFound
}

func (m *Model) met(t signed.Threshold, signers []crypto.PublicKey) statemachine.ResultCode {
	all, good := 0, 0
	for _, k := range t.Keys {
		if slices.Contains(signers, k) {
			m.counted = append(m.counted, k)
			all++
			if !m.revoked[k] {
				good++
			}
		}
	}
	switch {
	case good >= t.M:
		return codeOK
	case all >= t.M:
		return registry.CodeKeyRevoked
	}
	return registry.CodeUnauthorized
}
