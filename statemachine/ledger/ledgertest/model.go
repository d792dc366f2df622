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
	keys     map[string]ledger.GenesisAccount
	limits   ledger.Limits
	verifier *ed25519.Verifier
	s        *state
	now      statemachine.Time
}

type state struct {
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

type asset struct {
	issuer                string
	rules                 ledger.Rules
	most, issued, retired *big.Int
	frozen                bool
}

type holding struct {
	balance, held    uint64
	frozen, admitted bool
}

type hold struct {
	to, asset string
	amount    uint64
	expires   statemachine.Time
	lock      crypto.Digest
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
	m := &Model{w: w, keys: map[string]ledger.GenesisAccount{}, limits: w.Limits(), verifier: ed25519.NewVerifier(64), s: &state{
		sequences: map[string]uint64{}, assets: map[string]asset{}, holdings: map[[2]string]holding{}, holds: map[[2]string]hold{},
		lines: map[[3]string]side{}, owed: map[[3]string]int64{}, offers: map[[2]string]ledger.Offer{},
		proposals: map[crypto.Digest]proposal{}, spent: map[crypto.Digest]statemachine.Time{},
	}}
	for _, a := range w.Genesis().Accounts {
		m.keys[a.Name] = a
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
	c.sequences, c.holdings, c.holds = maps.Clone(s.sequences), maps.Clone(s.holdings), maps.Clone(s.holds)
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
	parties, code := m.parties(tx)
	if code != statemachine.CodeOK {
		return code
	}
	keys := []crypto.PublicKey{client}
	for _, s := range signatures {
		if !m.isParty(s.Key, parties) {
			return ledger.CodeForeignSignature
		}
		keys = append(keys, s.Key)
	}
	for _, s := range signatures {
		if !m.verifier.Verify(s.Key, ledger.Context(m.w.cluster), d[:], s.Sig) {
			return ledger.CodeBadSignature
		}
	}
	if c := m.authorised(keys, parties); c != statemachine.CodeOK {
		return c
	}
	if len(signatures) > 0 {
		m.s.spent[d] = tx.Expires
	}
	return m.run(tx, parties)
}

func (m *Model) propose(client crypto.PublicKey, tx *ledger.Transaction) (statemachine.ResultCode, bool) {
	d := tx.Digest()
	if p, ok := m.s.proposals[d]; ok {
		return m.consider(client, d, p)
	}
	if len(tx.Actions) == 0 {
		return ledger.CodeInvalid, false
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
	parties, code := m.parties(p.tx)
	switch {
	case code != statemachine.CodeOK:
		return code, false
	case !m.isParty(client, parties):
		return ledger.CodeUnauthorized, false
	}
	if !slices.Contains(p.approvals, client) {
		p.approvals = append(slices.Clone(p.approvals), client)
	}
	if m.s.proposals[d] = p; m.now < p.tx.NotBefore || m.authorised(p.approvals, parties) != statemachine.CodeOK {
		return statemachine.CodeOK, true
	}
	delete(m.s.proposals, d)
	return m.run(p.tx, parties), false
}

// parties are the accounts that each action takes, any of each.
func (m *Model) parties(tx *ledger.Transaction) (all [][]string, code statemachine.ResultCode) {
	placed := map[[2]string]hold{}
	for _, a := range tx.Actions {
		var who []string
		switch a := a.(type) {
		case *ledger.Issue:
			who = []string{m.s.assets[a.Asset].issuer}
			if _, ok := m.s.assets[a.Asset]; !ok {
				return nil, ledger.CodeUnknownAsset
			}
		case *ledger.Freeze:
			who = []string{m.s.assets[a.Asset].issuer}
			if _, ok := m.s.assets[a.Asset]; !ok {
				return nil, ledger.CodeUnknownAsset
			}
		case *ledger.Admit:
			who = []string{m.s.assets[a.Asset].issuer}
			if _, ok := m.s.assets[a.Asset]; !ok {
				return nil, ledger.CodeUnknownAsset
			}
		case *ledger.Clawback:
			who = []string{m.s.assets[a.Asset].issuer}
			if _, ok := m.s.assets[a.Asset]; !ok {
				return nil, ledger.CodeUnknownAsset
			}
		case *ledger.Retire:
			who = []string{a.From}
		case *ledger.Transfer:
			who = []string{a.From}
		case *ledger.Advance:
			who = []string{a.Account}
		case *ledger.PlaceHold:
			who = []string{a.From}
			placed[[2]string{a.From, a.Reference}] = hold{to: a.To, expires: a.Expires}
		case *ledger.Capture, *ledger.Release:
			var k [2]string
			release := false
			if c, ok := a.(*ledger.Capture); ok {
				k = [2]string{c.From, c.Reference}
			} else {
				r := a.(*ledger.Release)
				k, release = [2]string{r.From, r.Reference}, true
			}
			h, ok := placed[k]
			if !ok {
				h, ok = m.s.holds[k]
			}
			if !ok {
				return nil, ledger.CodeUnknownHold
			}
			who = []string{h.to}
			if release && m.now >= h.expires {
				who = append(who, k[0])
			}
		case *ledger.Trust:
			who = []string{a.Account}
		case *ledger.Pay:
			who = []string{a.From}
		case *ledger.MakeOffer:
			who = []string{a.Account}
		case *ledger.CancelOffer:
			who = []string{a.Account}
		case *ledger.TakeOffer:
			who = []string{a.Taker}
		default:
			return nil, statemachine.CodeUnsupported // none of the workload's
		}
		all = append(all, who)
	}
	return all, statemachine.CodeOK
}

// keysOf are the keys of an account and how many it takes.
func (m *Model) keysOf(account string) (keys []crypto.PublicKey, threshold int) {
	a := m.keys[account]
	return a.Keys, int(a.Threshold)
}

func (m *Model) known(account string) bool {
	_, ok := m.w.owners[account]
	return ok
}

func (m *Model) isParty(k crypto.PublicKey, parties [][]string) bool {
	for _, who := range parties {
		for _, name := range who {
			if keys, _ := m.keysOf(name); slices.Contains(keys, k) {
				return true
			}
		}
	}
	return false
}

func (m *Model) authorised(have []crypto.PublicKey, parties [][]string) statemachine.ResultCode {
	for _, who := range parties {
		code := ledger.CodeUnauthorized
		for _, name := range who {
			if !m.known(name) {
				return ledger.CodeUnknownAccount
			}
			keys, threshold := m.keysOf(name)
			for _, k := range keys {
				if slices.Contains(have, k) {
					threshold--
				}
			}
			if threshold <= 0 {
				code = statemachine.CodeOK
				break
			}
		}
		if code != statemachine.CodeOK {
			return code
		}
	}
	return statemachine.CodeOK
}

func (m *Model) run(tx *ledger.Transaction, parties [][]string) statemachine.ResultCode {
	for _, s := range tx.Sequences {
		switch {
		case !m.known(s.Account):
			return ledger.CodeUnknownAccount
		case !slices.ContainsFunc(parties, func(who []string) bool { return slices.Contains(who, s.Account) }):
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
