package ledgertest

import (
	"maps"
	"math/big"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// Model is what a ledger must do, written down without care for cost: whole states are
// copied, numbers are as large as they like, and nothing is kept but what a rule speaks
// of. It knows the actions that a [Workload] makes; payments whose path is to be found
// are not among them.
type Model struct {
	w        *Workload
	limits   ledger.Limits
	verifier *ed25519.Verifier
	s        *state
	now      statemachine.Time
}

type state struct {
	accounts  map[string]account
	sequences map[string]uint64
	assets    map[string]asset
	holdings  map[[2]string]holding
	holds     map[[2]string]hold
	lines     map[[3]string]side // (who, by whom it may be owed, asset)
	owed      map[[3]string]int64
	offers    map[[2]string]ledger.Offer
	proposals map[crypto.Digest]proposal
	spent     map[crypto.Digest]statemachine.Time
	cost      uint64
}

// account is who controls it: its keys, of which so many decide.
type account struct {
	keys      []crypto.PublicKey
	threshold int
}

type asset struct {
	issuer                string
	rules                 ledger.Rules
	most, issued, retired *big.Int
	frozen, closed        bool
}

type holding struct {
	balance, held    uint64
	frozen, admitted bool
}

type hold struct {
	to, asset, agent string
	amount           uint64
	expires          statemachine.Time
	lock             crypto.Digest
}

type side struct {
	limit  uint64
	ripple bool
}

type proposal struct {
	tx        *ledger.Transaction
	proposer  crypto.PublicKey
	approvals []crypto.PublicKey
}

// NewModel returns the model of the world's beginning.
func NewModel(w *Workload) *Model {
	m := &Model{w: w, limits: w.Limits(), verifier: ed25519.NewVerifier(64), s: &state{
		accounts: map[string]account{}, sequences: map[string]uint64{}, assets: map[string]asset{}, holdings: map[[2]string]holding{}, holds: map[[2]string]hold{},
		lines: map[[3]string]side{}, owed: map[[3]string]int64{}, offers: map[[2]string]ledger.Offer{},
		proposals: map[crypto.Digest]proposal{}, spent: map[crypto.Digest]statemachine.Time{},
	}}
	for _, a := range w.Genesis().Accounts {
		m.s.accounts[a.Name] = account{a.Keys, int(a.Threshold)}
	}
	for _, a := range w.Genesis().Assets {
		as := asset{issuer: a.Issuer, most: number(ledger.MaxAmount), issued: new(big.Int), retired: new(big.Int)}
		for _, name := range a.Rules {
			r, _ := ledger.RuleNamed(name)
			as.rules |= r
		}
		if a.MaxSupply != "" {
			as.most.SetString(a.MaxSupply, 10)
		}
		for _, b := range a.Balances {
			n, _ := ledger.ParseAmount(b.Amount, 0)
			as.issued.Add(as.issued, number(n))
			m.s.holdings[[2]string{b.Account, a.Name}] = holding{balance: n, admitted: as.rules.Has(ledger.RuleAdmission) && b.Account != a.Issuer}
		}
		m.s.assets[a.Name] = as
	}
	return m
}

func number(n uint64) *big.Int { return new(big.Int).SetUint64(n) }

// most is the largest amount.
var most = number(ledger.MaxAmount)

func above(n *big.Int) bool { return n.Cmp(most) > 0 }

func (s *state) clone() *state {
	c := *s
	c.accounts, c.sequences, c.holdings, c.holds = maps.Clone(s.accounts), maps.Clone(s.sequences), maps.Clone(s.holdings), maps.Clone(s.holds)
	c.lines, c.owed, c.offers = maps.Clone(s.lines), maps.Clone(s.owed), maps.Clone(s.offers)
	c.proposals, c.spent = maps.Clone(s.proposals), maps.Clone(s.spent)
	c.assets = make(map[string]asset, len(s.assets))
	for name, a := range s.assets {
		a.issued, a.retired = new(big.Int).Set(a.issued), new(big.Int).Set(a.retired)
		c.assets[name] = a
	}
	return &c
}

// Begin begins a block: what has expired is given back.
func (m *Model) Begin(now statemachine.Time) {
	m.now = now
	for k, h := range m.s.holds {
		if h.expires <= now {
			m.s.end(k, h, h.amount)
		}
	}
	maps.DeleteFunc(m.s.offers, func(_ [2]string, o ledger.Offer) bool { return o.Expires != 0 && o.Expires <= now })
	maps.DeleteFunc(m.s.proposals, func(_ crypto.Digest, p proposal) bool { return p.tx.Expires <= now })
	maps.DeleteFunc(m.s.spent, func(_ crypto.Digest, at statemachine.Time) bool { return at <= now })
}

// Apply runs one operation. ok is false if it is none that changes anything.
func (m *Model) Apply(client crypto.PublicKey, op []byte) (code statemachine.ResultCode, pending bool, cost uint64, ok bool) {
	if len(op) > 0 && op[0] >= 64 {
		return 0, false, 0, false
	}
	before := m.s
	m.s = before.clone()
	m.s.cost = 0
	code, pending = m.apply(client, op)
	if code != statemachine.CodeOK {
		m.s = before
		return code, false, 0, true
	}
	m.w.learn(m.s)
	return code, pending, m.s.cost, true
}

func (m *Model) apply(client crypto.PublicKey, op []byte) (statemachine.ResultCode, bool) {
	if len(op) == 0 {
		return statemachine.CodeMalformed, false
	}
	r := canon.NewReader(op[1:])
	switch op[0] {
	case 1:
		body := r.Bytes(len(op))
		signatures := make([]ledger.Signature, r.Count(len(op), crypto.PublicKeySize+crypto.SignatureSize))
		if r.Err() == nil && len(signatures) > m.limits.MaxSignatures {
			return statemachine.CodeTooLarge, false
		}
		for i := range signatures {
			r.Copy(signatures[i].Key[:])
			r.Copy(signatures[i].Sig[:])
		}
		tx, err := ledger.DecodeTransaction(body)
		sorted := slices.IsSortedFunc(signatures, func(a, b ledger.Signature) int {
			if c := a.Key.Compare(b.Key); c != 0 {
				return c
			}
			return 1
		})
		switch {
		case r.Close() != nil || err != nil || !sorted:
			return statemachine.CodeMalformed, false
		case len(tx.Actions) > m.limits.MaxActions || len(tx.Sequences) > m.limits.MaxActions:
			return statemachine.CodeTooLarge, false
		}
		return m.submit(client, tx, signatures), false
	case 2:
		tx, err := ledger.DecodeTransaction(r.Bytes(len(op)))
		switch {
		case r.Close() != nil || err != nil:
			return statemachine.CodeMalformed, false
		case len(tx.Actions) > m.limits.MaxActions || len(tx.Sequences) > m.limits.MaxActions:
			return statemachine.CodeTooLarge, false
		}
		return m.propose(client, tx)
	case 3, 4:
		var d crypto.Digest
		r.Copy(d[:])
		if r.Close() != nil {
			return statemachine.CodeMalformed, false
		}
		p, ok := m.s.proposals[d]
		switch {
		case !ok:
			return ledger.CodeUnknownProposal, false
		case op[0] == 3:
			return m.consider(client, d, p)
		}
		i := slices.Index(p.approvals, client)
		if i < 0 {
			return ledger.CodeUnauthorized, false
		}
		p.approvals = slices.Delete(slices.Clone(p.approvals), i, i+1)
		if m.s.proposals[d] = p; len(p.approvals) == 0 || p.proposer == client {
			delete(m.s.proposals, d)
			return statemachine.CodeOK, false
		}
		return statemachine.CodeOK, true
	}
	return statemachine.CodeUnsupported, false
}

func (m *Model) lasts(at statemachine.Time) statemachine.ResultCode {
	switch {
	case at == 0 || at > m.now && uint64(at-m.now) > uint64(m.limits.MaxLife):
		return ledger.CodeTooFar
	case at <= m.now:
		return ledger.CodeExpired
	}
	return statemachine.CodeOK
}

func (m *Model) submit(client crypto.PublicKey, tx *ledger.Transaction, signatures []ledger.Signature) statemachine.ResultCode {
	switch {
	case len(tx.Actions) == 0:
		return ledger.CodeInvalid
	case tx.Expires != 0 && m.now >= tx.Expires:
		return ledger.CodeExpired
	case m.now < tx.NotBefore:
		return ledger.CodeTooEarly
	}
	d := tx.Digest()
	if len(signatures) > 0 {
		if c := m.lasts(tx.Expires); c != statemachine.CodeOK {
			return c
		}
		if _, ran := m.s.spent[d]; ran {
			return ledger.CodeReplayed
		}
	}
	needs, code := m.gather(tx)
	if code != statemachine.CodeOK {
		return code
	}
	keys := []crypto.PublicKey{client}
	for _, s := range signatures {
		if !needs.party(s.Key) {
			return ledger.CodeForeignSignature
		}
		keys = append(keys, s.Key)
	}
	if c := needs.met(keys); c != statemachine.CodeOK {
		return c
	}
	for _, s := range signatures {
		if !m.verifier.Verify(s.Key, ledger.Context(m.w.cluster), d[:], s.Sig) {
			return ledger.CodeBadSignature
		}
	}
	if len(signatures) > 0 {
		m.s.spent[d] = tx.Expires
	}
	return m.run(tx, needs)
}

func (m *Model) propose(client crypto.PublicKey, tx *ledger.Transaction) (statemachine.ResultCode, bool) {
	d := tx.Digest()
	if p, ok := m.s.proposals[d]; ok {
		return m.consider(client, d, p)
	}
	if len(tx.Actions) == 0 {
		return ledger.CodeInvalid, false
	}
	if _, ran := m.s.spent[d]; ran {
		return ledger.CodeReplayed, false
	}
	if c := m.lasts(tx.Expires); c != statemachine.CodeOK {
		return c, false
	}
	mine := 0
	for _, p := range m.s.proposals {
		if p.proposer == client {
			mine++
		}
	}
	if mine >= int(m.limits.MaxProposals) {
		return ledger.CodeTooMany, false
	}
	return m.consider(client, d, proposal{tx: tx, proposer: client})
}

func (m *Model) consider(client crypto.PublicKey, d crypto.Digest, p proposal) (statemachine.ResultCode, bool) {
	needs, code := m.gather(p.tx)
	switch {
	case code != statemachine.CodeOK:
		return code, false
	case !needs.party(client):
		return ledger.CodeUnauthorized, false
	}
	// Whoever has no say any more has none again by becoming a party later.
	p.approvals = slices.DeleteFunc(slices.Clone(p.approvals), func(k crypto.PublicKey) bool { return !needs.party(k) })
	if !slices.Contains(p.approvals, client) {
		p.approvals = append(p.approvals, client)
	}
	if m.s.proposals[d] = p; m.now < p.tx.NotBefore || needs.met(p.approvals) != statemachine.CodeOK {
		return statemachine.CodeOK, true
	}
	if _, ran := m.s.spent[d]; ran {
		return ledger.CodeReplayed, false
	}
	delete(m.s.proposals, d)
	m.s.spent[d] = p.tx.Expires
	return m.run(p.tx, needs), false
}

func (m *Model) run(tx *ledger.Transaction, needs needs) statemachine.ResultCode {
	for _, s := range tx.Sequences {
		switch {
		case !m.known(s.Account):
			return ledger.CodeUnknownAccount
		case !needs.name(s.Account):
			return ledger.CodeInvalid
		case m.s.sequences[s.Account] != s.Number:
			return ledger.CodeSequence
		}
		m.s.sequences[s.Account]++
	}
	for _, a := range tx.Actions {
		if c := m.act(a); c != statemachine.CodeOK {
			return c
		}
	}
	return statemachine.CodeOK
}
