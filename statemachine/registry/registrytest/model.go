package registrytest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
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

	parties   map[registry.Party]signed.Threshold
	revoked   map[crypto.PublicKey]bool
	records   map[string]*record
	delegated map[string]registry.Rights
	verifier  *ed25519.Verifier
}

type window struct {
	ends       statemachine.Time
	operations uint64
}

type record struct {
	owner, offer registry.Party
	version      uint64
	data         string
	revoked      bool
	attestations []bool // whether it was taken back
}

// NewModel returns the model of the world's beginning.
func NewModel(w *Workload) *Model {
	m := &Model{
		w: w, mode: access.Consortium, members: map[crypto.PublicKey]access.Member{}, quota: w.Policy().Roles[0].Quota, windows: map[crypto.PublicKey]window{}, used: map[crypto.Digest]bool{},
		parties: map[registry.Party]signed.Threshold{}, revoked: map[crypto.PublicKey]bool{}, records: map[string]*record{}, delegated: map[string]registry.Rights{},
		verifier: ed25519.NewVerifier(16),
	}
	for _, p := range w.Policy().Members {
		m.members[p.Key] = p
	}
	for _, p := range w.Genesis().Parties {
		m.parties[p.Name] = p.Keys
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
	of     *record // what is read
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
	case r.Record != nil:
		is := record{r.Record.Owner, r.Record.Offer.To, r.Record.Version, string(r.Version.Data), r.Record.Revoked, nil}
		must := *want.of
		must.attestations = nil
		if fmt.Sprint(is) != fmt.Sprint(must) || r.Record.Attestations != uint64(len(want.of.attestations)) {
			return fmt.Errorf("it reads %+v with %d attestations, the model %+v", is, r.Record.Attestations, *want.of)
		}
	case registry.KindOf(op) == registry.KindListVersions && want.of != nil && uint64(len(r.Versions)) != want.of.version:
		return fmt.Errorf("it lists %d versions of %d", len(r.Versions), want.of.version)
	case registry.KindOf(op) == registry.KindListAttestations && want.of != nil && len(r.Attestations) != len(want.of.attestations):
		return fmt.Errorf("it lists %d attestations of %d", len(r.Attestations), len(want.of.attestations))
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

func (m *Model) refusal(client crypto.PublicKey, kind string, read bool) access.Rule {
	p, member := m.members[client]
	switch {
	case member && p.Suspended:
		return access.RuleSuspended
	case m.mode == access.Open, m.mode == access.Consortium && read:
		return 0
	case !member && m.mode == access.Consortium:
		return access.RuleConsortium
	case !member:
		return access.RulePrivate
	case slices.Contains(p.Roles, "member"), slices.Contains(p.Roles, "reader") && read && strings.HasPrefix(kind, "get-"):
		return 0
	}
	return access.RuleRoles
}

func (m *Model) charge(client crypto.PublicKey) bool {
	if p := m.members[client]; !slices.Contains(p.Roles, "member") {
		return true
	}
	w := m.windows[client]
	if w.ends <= m.now {
		w = window{ends: m.now + statemachine.Time(m.quota.Seconds)*statemachine.Time(time.Second)}
	}
	if w.operations++; w.operations > m.quota.Operations {
		return false
	}
	m.windows[client] = w
	return true
}

// open opens an envelope in a space; the codes are those for one that is malformed, late,
// replayed, and badly signed. It does not note that it was used.
func (m *Model) open(space signed.Space, b []byte, client crypto.PublicKey, codes [4]statemachine.ResultCode) (op []byte, signers []crypto.PublicKey, digest crypto.Digest, code statemachine.ResultCode) {
	e, err := signed.Decode(b)
	if err != nil {
		return nil, nil, digest, codes[0]
	}
	digest = e.Digest(space)
	switch {
	case e.Deadline < m.now:
		return nil, nil, digest, codes[1]
	case m.used[digest]:
		return nil, nil, digest, codes[2]
	}
	signers = []crypto.PublicKey{client}
	for _, s := range e.Signatures {
		if !m.verifier.Verify(s.Key, crypto.Context{Kind: crypto.KindApplication, Cluster: space.Chain}, digest[:], s.Signature) {
			return nil, nil, digest, codes[3]
		}
		signers = append(signers, s.Key)
	}
	return e.Op, signers, digest, codeOK
}

const maxProposals = 64

// signedPrefix begins the envelopes about access: as a read without fields begins, and
// ends, but for the kind.
var signedPrefix = access.EncodeSigned(&signed.Envelope{})[:len(access.Encode(&access.GetPolicy{}))]

// change is an operation about access.
func (m *Model) change(client crypto.PublicKey, op []byte) outcome {
	envelope, isSigned := bytes.CutPrefix(op, signedPrefix)
	signers := []crypto.PublicKey{client}
	var digest crypto.Digest
	if isSigned {
		var code statemachine.ResultCode
		op, signers, digest, code = m.open(access.Space(m.w.chain), envelope, client, [4]statemachine.ResultCode{access.CodeMalformed, access.CodeExpired, access.CodeReplayed, access.CodeBadSignature})
		if code != codeOK {
			return ends(code)
		}
	}
	o, err := access.Decode(op)
	if err != nil {
		return ends(access.CodeMalformed)
	}
	by := 0
	for _, k := range m.w.keys() {
		if slices.Contains(signers, k) {
			by++
		}
	}
	g := o.(*access.Propose).Change
	switch {
	case by == 0:
		return outcome{code: access.CodeRefused, rule: access.RuleAdministrators}
	case by < 2 && m.proposals == maxProposals:
		return ends(access.CodeLimit)
	case by < 2:
		m.proposals++
		m.used[digest] = true
		return outcome{}
	}
	for _, k := range g.RemoveMembers {
		if _, ok := m.members[k]; !ok {
			return ends(access.CodeNotFound)
		}
	}
	m.used[digest] = true
	if g.Mode != 0 {
		m.mode = g.Mode
	}
	for _, r := range g.SetRoles {
		m.quota = r.Quota
	}
	for _, k := range g.RemoveMembers {
		delete(m.members, k)
	}
	for _, p := range g.SetMembers {
		m.members[p.Key] = p
	}
	return outcome{}
}

// who is a party's signature: codeOK if it has signed.
func (m *Model) who(p registry.Party, signers []crypto.PublicKey) statemachine.ResultCode {
	t, named := m.parties[p]
	if !named {
		k, _ := p.Key()
		t = signed.Of(1, k)
	}
	return m.met(t, signers)
}

func (m *Model) met(t signed.Threshold, signers []crypto.PublicKey) statemachine.ResultCode {
	all, good := 0, 0
	for _, k := range t.Keys {
		if slices.Contains(signers, k) {
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
	}
	o, err := registry.Decode(op)
	if err != nil {
		return ends(registry.CodeMalformed)
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
