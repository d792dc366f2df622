package registrytest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
)

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

const maxProposals = 64

// change is an operation about access.
func (m *Model) change(client crypto.PublicKey, op []byte) outcome {
	envelope, isSigned := bytes.CutPrefix(op, signedPrefix)
	from := opened{op: op, signers: []crypto.PublicKey{client}}
	if isSigned {
		var code statemachine.ResultCode
		from, code = m.open(access.Space(m.w.chain), envelope, client, [3]statemachine.ResultCode{access.CodeMalformed, access.CodeExpired, access.CodeReplayed})
		if code != codeOK {
			return ends(code)
		}
	}
	o, err := access.Decode(from.op)
	if err != nil {
		return ends(access.CodeMalformed)
	}
	by, bad := 0, false
	for _, k := range m.w.keys() {
		if slices.Contains(from.signers, k) {
			by++
			bad = bad || slices.Contains(from.bad, k)
		}
	}
	g := o.(*access.Propose).Change
	switch {
	case by == 0:
		return outcome{code: access.CodeRefused, rule: access.RuleAdministrators}
	case bad:
		return ends(access.CodeBadSignature)
	case by < 2 && m.proposals == maxProposals:
		return ends(access.CodeLimit)
	case by < 2:
		m.proposals++
		m.used[from.digest] = true
		return outcome{}
	}
	for _, k := range g.RemoveMembers {
		if _, ok := m.members[k]; !ok {
			return ends(access.CodeNotFound)
		}
	}
	m.used[from.digest] = true
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
