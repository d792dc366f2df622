package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-bft/parley/statemachine/store"
)

// ErrAudit is wrapped by every error of an audit: the books are wrong.
var ErrAudit = errors.New("ledger audit")

// Auditor checks the books: it is given the entries of a state in ascending order of
// their keys, all of them or all but the statements, and says at the end whether they
// add up:
//
//   - of each asset, balances and holds together are what was issued less what was retired;
//   - of each account and asset, the open holds are what is held;
//   - of each asset, what accounts are owed on trust lines is what accounts owe, and of
//     each account it is what its lines say; who can be paid over them is noted, and nobody
//     else;
//   - of each account and asset, the lines of the statement follow on one another, from
//     nothing, or from what the first line that is kept says, to what the account has now.
type Auditor struct {
	// What was seen.
	Accounts, Assets, Holdings, Holds, Lines, Offers, Entries uint64

	assets   map[string]*assetSums
	holdings map[place]*holdingSums
	accounts map[string]*Account
	open     map[string]*[3]uint32 // holds, offers, lines of an account
	payers   map[string]payerSeen  // keys of who can be paid by whom
	wrong    error
	entries  bool // statements were given too
}

// payerSeen says what was seen of a note of who can be paid: the line, and the note.
type payerSeen struct{ line, note bool }

type place struct{ account, asset string }

type assetSums struct {
	asset  Asset
	has    uint64 // balances and holds
	credit int64
}

type holdingSums struct {
	holding Holding
	known   bool
	held    uint64
	credit  int64
	entries uint64
	last    Entry
}

// NewAuditor returns an auditor who has seen nothing. Statements says whether it will
// see the statements.
func NewAuditor(statements bool) *Auditor {
	return &Auditor{
		assets: map[string]*assetSums{}, holdings: map[place]*holdingSums{}, accounts: map[string]*Account{},
		open: map[string]*[3]uint32{}, payers: map[string]payerSeen{}, entries: statements,
	}
}

func (a *Auditor) fail(format string, args ...any) {
	if a.wrong == nil {
		a.wrong = fmt.Errorf("%w: %s", ErrAudit, fmt.Sprintf(format, args...))
	}
}

func (a *Auditor) at(account, asset string) *holdingSums {
	p := place{account, asset}
	h := a.holdings[p]
	if h == nil {
		h = new(holdingSums)
		a.holdings[p] = h
	}
	return h
}

func (a *Auditor) count(account string, i int) {
	c := a.open[account]
	if c == nil {
		c = new([3]uint32)
		a.open[account] = c
	}
	c[i]++
}

// Add takes one entry of the state.
func (a *Auditor) Add(k, v []byte) {
	if a.wrong != nil {
		return
	}
	if len(k) == 0 {
		a.fail("an empty key")
		return
	}
	names, rest, ok := splitKey(k, map[byte]int{
		spaceAccount: 1, spaceAsset: 1, spaceHolding: 2, spaceEntry: 2, spaceHold: 2, spaceLine: 3, spaceOffer: 2, spaceTrusts: 3, spaceOwes: 3,
	}[k[0]])
	if !ok {
		a.fail("a key that is none: %q", k)
		return
	}
	var err error
	switch k[0] {
	case spaceAccount:
		a.Accounts++
		var acc Account
		acc, err = DecodeAccount(v)
		a.accounts[names[0]] = &acc
	case spaceAsset:
		a.Assets++
		s := new(assetSums)
		s.asset, err = DecodeAsset(v)
		a.assets[names[0]] = s
	case spaceHolding:
		a.Holdings++
		h := a.at(names[0], names[1])
		h.known = true
		h.holding, err = DecodeHolding(v)
		h.entries = h.holding.First
	case spaceEntry:
		a.Entries++
		var e Entry
		e, err = DecodeEntry(v)
		if err == nil && len(rest) == 8 {
			a.entry(names[0], names[1], binary.BigEndian.Uint64(rest), &e)
		}
	case spaceHold:
		a.Holds++
		var h Hold
		h, err = DecodeHold(v)
		a.count(names[0], 0)
		s := a.at(names[0], h.Asset)
		if s.held, ok = add(s.held, h.Amount); !ok {
			a.fail("the holds of %s in %s overflow", names[0], h.Asset)
		}
	case spaceOffer:
		a.Offers++
		_, err = DecodeOffer(v)
		a.count(names[0], 1)
	case spaceLine:
		a.Lines++
		var l Line
		l, err = DecodeLine(v)
		a.line(names[0], names[2], names[1], &l)
	case spaceTrusts, spaceOwes:
		seen := a.payers[string(k)]
		seen.note = true
		a.payers[string(k)] = seen
	}
	if err != nil {
		a.fail("%q does not decode: %v", k, err)
	}
}

func (a *Auditor) line(low, high, asset string, l *Line) {
	x, y := a.at(low, asset), a.at(high, asset)
	var ok1, ok2 bool
	x.credit, ok1 = addSigned(x.credit, l.Balance)
	y.credit, ok2 = addSigned(y.credit, -l.Balance)
	if low >= high || !ok1 || !ok2 || l.idle() {
		a.fail("the line between %s and %s in %s is wrong", low, high, asset)
	}
	for _, p := range [][2]string{{low, high}, {high, low}} {
		if k := payerKey(p[0], p[1], asset, l); k != nil {
			seen := a.payers[string(k)]
			seen.line = true
			a.payers[string(k)] = seen
		}
	}
	if l.LimitLow > 0 {
		a.count(low, 2)
	}
	if l.LimitHigh > 0 {
		a.count(high, 2)
	}
}

func (a *Auditor) entry(account, asset string, number uint64, e *Entry) {
	h := a.at(account, asset)
	if number != h.entries {
		a.fail("the statement of %s in %s goes from line %d to line %d", account, asset, h.entries, number)
	}
	first := number == h.holding.First
	if !first && (e.Height < h.last.Height || e.Time < h.last.Time) {
		a.fail("line %d of the statement of %s in %s is earlier than the one before", number, account, asset)
	}
	was := &h.last // nothing, before line 0
	if first && number > 0 {
		was = e.before() // it was dropped
	}
	if int64(was.BalanceThen)+e.Balance != int64(e.BalanceThen) || int64(was.HeldThen)+e.Held != int64(e.HeldThen) || was.CreditThen+e.Credit != e.CreditThen {
		a.fail("line %d of the statement of %s in %s does not follow on the one before", number, account, asset)
	}
	h.entries, h.last = number+1, *e
}

// before is what there was before a line, by what it says itself.
func (e *Entry) before() *Entry {
	return &Entry{
		BalanceThen: uint64(int64(e.BalanceThen) - e.Balance), HeldThen: uint64(int64(e.HeldThen) - e.Held), CreditThen: e.CreditThen - e.Credit,
	}
}

// Finish returns what is wrong with the books, or nil.
func (a *Auditor) Finish() error {
	for _, p := range slices.SortedFunc(maps.Keys(a.holdings), comparePlaces) {
		a.finishHolding(p, a.holdings[p])
	}
	for _, name := range slices.Sorted(maps.Keys(a.assets)) {
		s := a.assets[name]
		if supply, ok := s.asset.Issued.minus(s.asset.Retired); !ok || s.has != supply {
			a.fail("accounts have %d units of %s, and there are %s issued less %s retired", s.has, name, FormatTotal(s.asset.Issued, 0), FormatTotal(s.asset.Retired, 0))
		}
		if s.asset.Supply() > s.asset.MaxSupply {
			a.fail("there are %d units of %s, and %d at most", s.asset.Supply(), name, s.asset.MaxSupply)
		}
		if s.credit != 0 {
			a.fail("the trust lines in %s do not cancel out: %d are left", name, s.credit)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(a.payers)) {
		if seen := a.payers[k]; seen.line != seen.note {
			a.fail("who can be paid over a line is not what is noted: line %t, note %t, %q", seen.line, seen.note, k)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.accounts)) {
		acc, open := a.accounts[name], a.open[name]
		if open == nil {
			open = new([3]uint32)
		}
		if have := [3]uint32{acc.Holds, acc.Offers, acc.Lines}; have != *open {
			a.fail("%s counts %v holds, offers and lines, and has %v", name, have, *open)
		}
	}
	return a.wrong
}

func comparePlaces(p, q place) int {
	switch {
	case p.account < q.account || p.account == q.account && p.asset < q.asset:
		return -1
	case p == q:
		return 0
	}
	return 1
}

func (a *Auditor) finishHolding(p place, h *holdingSums) {
	s := a.assets[p.asset]
	if s == nil || a.accounts[p.account] == nil {
		a.fail("%s has %s, and one of them is unknown", p.account, p.asset)
		return
	}
	if h.holding.Held != h.held {
		a.fail("%s has %d units of %s held, and holds of %d", p.account, h.holding.Held, p.asset, h.held)
	}
	if h.holding.Credit != h.credit {
		a.fail("%s is owed %d units of %s, and its lines come to %d", p.account, h.holding.Credit, p.asset, h.credit)
	}
	if a.entries && (h.entries != h.holding.Entries || h.last.BalanceThen != h.holding.Balance || h.last.HeldThen != h.holding.Held || h.last.CreditThen != h.holding.Credit) {
		a.fail("the statement of %s in %s ends at line %d with %d, %d held, %d owed; it has %d, %d, %d after %d lines",
			p.account, p.asset, h.entries, h.last.BalanceThen, h.last.HeldThen, h.last.CreditThen, h.holding.Balance, h.holding.Held, h.holding.Credit, h.holding.Entries)
	}
	has, ok1 := add(s.has, h.holding.Balance)
	has, ok2 := add(has, h.holding.Held)
	if !ok1 || !ok2 {
		a.fail("what accounts have of %s overflows", p.asset)
	}
	s.has = has
	s.credit += h.holding.Credit // wraps: the sum is 0 or it is not
}

// Supplies returns the supply of each asset.
func (a *Auditor) Supplies() map[string]uint64 {
	all := make(map[string]uint64, len(a.assets))
	for name, s := range a.assets {
		all[name] = s.asset.Supply()
	}
	return all
}

// Check audits a state without the statements, whose last lines it compares with what
// accounts have. It reads all of it.
func Check(r store.Reader) error {
	a := NewAuditor(false)
	for k, v := range r.Range(nil, []byte{spaceEntry}) {
		a.Add(k, v)
	}
	for k, v := range r.Range([]byte{spaceEntry + 1}, nil) {
		a.Add(k, v)
	}
	if err := a.Finish(); err != nil {
		return err
	}
	for p, h := range a.holdings {
		n := h.holding.Entries
		if n == 0 {
			continue
		}
		v, _ := r.Get(EntryKey(p.account, p.asset, n-1))
		e, err := DecodeEntry(v)
		if err != nil || e.BalanceThen != h.holding.Balance || e.HeldThen != h.holding.Held || e.CreditThen != h.holding.Credit {
			return fmt.Errorf("%w: the statement of %s in %s does not end with what it has", ErrAudit, p.account, p.asset)
		}
	}
	return nil
}

// Audit audits a state with the statements.
func Audit(r store.Reader) error {
	a := NewAuditor(true)
	for k, v := range r.Range(nil, nil) {
		a.Add(k, v)
	}
	return a.Finish()
}
