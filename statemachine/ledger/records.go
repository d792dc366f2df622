package ledger

import (
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// Account is who may hold, pay and promise. It is controlled by its keys: what it does
// takes Threshold of them.
type Account struct {
	Keys      []crypto.PublicKey // sorted
	Threshold uint8
	// Sequence counts the transactions that named it ([Transaction.Sequences]).
	Sequence uint64
	// Holds, Offers and Lines count what is open: holds on its balances, its offers, and
	// the trust lines on which it grants credit.
	Holds, Offers, Lines uint32
}

func (a *Account) fields(c *codec) {
	c.keys(&a.Keys, maxKeysEncoded)
	c.u8(&a.Threshold)
	c.u64(&a.Sequence)
	c.u32(&a.Holds)
	c.u32(&a.Offers)
	c.u32(&a.Lines)
}

// controls tells whether k is one of the keys.
func (a *Account) controls(k crypto.PublicKey) bool {
	_, ok := slices.BinarySearchFunc(a.Keys, k, crypto.PublicKey.Compare)
	return ok
}

// Rules are what an asset allows. All but [RuleFixed] may be changed by the issuer as
// long as that one is not set.
type Rules uint8

// The rules.
const (
	// RuleFreezable: the issuer may freeze a holding, and the asset.
	RuleFreezable Rules = 1 << iota
	// RuleClawback: the issuer may take units back.
	RuleClawback
	// RuleAdmission: only accounts that the issuer admitted may receive it.
	RuleAdmission
	// RuleHolderRetires: holders may retire units, not only the issuer its own.
	RuleHolderRetires
	// RuleFixed: neither the rules nor the largest supply can be changed any more.
	RuleFixed

	allRules Rules = 1<<iota - 1
)

// Has tells whether all of these are among the rules.
func (r Rules) Has(of Rules) bool { return r&of == of }

// ruleNames are as people write them.
var ruleNames = []struct {
	rule Rules
	name string
}{
	{RuleFreezable, "freezable"}, {RuleClawback, "clawback"}, {RuleAdmission, "admission"}, {RuleHolderRetires, "holder-retires"}, {RuleFixed, "fixed"},
}

// Names returns the names of the rules.
func (r Rules) Names() []string {
	var names []string
	for _, n := range ruleNames {
		if r.Has(n.rule) {
			names = append(names, n.name)
		}
	}
	return names
}

// RuleNamed returns the rule of a name.
func RuleNamed(name string) (Rules, bool) {
	for _, n := range ruleNames {
		if n.name == name {
			return n.rule, true
		}
	}
	return 0, false
}

// Asset is something fungible that an issuer defined.
type Asset struct {
	Issuer      string
	Description string
	Decimals    uint8 // digits after the point, where people see amounts
	Rules       Rules
	Frozen      bool   // all of it
	Closed      bool   // no more is issued
	MaxSupply   uint64 // MaxAmount if there is no other
	// Issued and Retired are how many units ever were, which has no bound. The difference is
	// the supply.
	Issued, Retired Total
}

func (a *Asset) fields(c *codec) {
	c.account(&a.Issuer)
	c.text(&a.Description, MaxMemo)
	c.u8(&a.Decimals)
	c.u8((*uint8)(&a.Rules))
	c.bool(&a.Frozen)
	c.bool(&a.Closed)
	c.amount(&a.MaxSupply)
	c.total(&a.Issued)
	c.total(&a.Retired)
	if _, ok := a.Issued.minus(a.Retired); c.r != nil && !ok {
		c.r.Fail("%s issued less %s retired is no amount", FormatTotal(a.Issued, 0), FormatTotal(a.Retired, 0))
	}
}

// Supply is what there is of it.
func (a *Asset) Supply() uint64 {
	n, _ := a.Issued.minus(a.Retired) // what is no amount does not decode
	return n
}

// Holding is what an account has of an asset.
type Holding struct {
	Balance uint64 // to be spent
	Held    uint64 // set aside by open holds
	// Credit is what others owe the account in the asset on trust lines, less what it
	// owes: the sum over all accounts is 0.
	Credit   int64
	Entries  uint64 // lines that the statement has had
	Frozen   bool   // by the issuer
	Admitted bool   // by the issuer
	// First is the number of the first line that is kept, and Dropped covers those before
	// it: see [Genesis.StatementEntries].
	First   uint64
	Dropped crypto.Digest
}

func (h *Holding) fields(c *codec) {
	c.amount(&h.Balance)
	c.amount(&h.Held)
	c.i64(&h.Credit)
	c.u64(&h.Entries)
	c.bool(&h.Frozen)
	c.bool(&h.Admitted)
	if c.u64(&h.First); h.First > 0 {
		c.fixed(h.Dropped[:])
	}
}

// EntryKind says what happened to a holding.
type EntryKind uint8

// The kinds of entries in a statement.
const (
	EntryIssue EntryKind = iota + 1
	EntryRetire
	EntryTransfer
	EntryExchange // an offer was taken
	EntryHold
	EntryCapture  // a hold was paid out
	EntryRelease  // a hold was given back
	EntryExpiry   // a hold ran out and was given back
	EntryClawback // taken back by the issuer
	EntryCredit   // a payment on a trust line
)

var entryNames = [...]string{"", "issue", "retire", "transfer", "exchange", "hold", "capture", "release", "expiry", "clawback", "credit"}

func (k EntryKind) String() string {
	if int(k) < len(entryNames) {
		return entryNames[k]
	}
	return "unknown"
}

// TxID names an operation that changed something: see [IDOf].
type TxID [16]byte

// Entry is one line of the statement of an account in an asset.
type Entry struct {
	Kind   EntryKind
	Height uint64
	Time   statemachine.Time
	Tx     TxID   // zero: none, a hold that ran out
	With   string // the other account
	Ref    string // of a hold or an offer
	Memo   string // of the transaction
	// What changed, and what there was then.
	Balance, Held, Credit int64
	BalanceThen, HeldThen uint64
	CreditThen            int64
}

func (e *Entry) fields(c *codec) {
	c.u8((*uint8)(&e.Kind))
	c.u64(&e.Height)
	c.time(&e.Time)
	c.fixed(e.Tx[:])
	c.text(&e.With, MaxAccountName)
	c.text(&e.Ref, MaxReference)
	c.text(&e.Memo, MaxMemo)
	c.i64(&e.Balance)
	c.i64(&e.Held)
	c.i64(&e.Credit)
	c.amount(&e.BalanceThen)
	c.amount(&e.HeldThen)
	c.i64(&e.CreditThen)
}

// Hold is an amount that a payer has set aside for a payee. It is captured, released,
// or given back when block time is Expires.
type Hold struct {
	Asset   string
	To      string
	Agent   string // who decides instead of To, if anybody
	Amount  uint64
	Expires statemachine.Time
	Locked  bool          // capturing takes the secret
	Lock    crypto.Digest // SHA-256 of the secret
	Memo    string
}

func (h *Hold) fields(c *codec) {
	c.asset(&h.Asset)
	c.account(&h.To)
	c.optional(&h.Agent)
	c.amount(&h.Amount)
	c.time(&h.Expires)
	c.bool(&h.Locked)
	if h.Locked {
		c.fixed(h.Lock[:])
	}
	c.text(&h.Memo, MaxMemo)
}

// Line is a trust line: how much two accounts let each other owe in units of an asset,
// and what is owed. Low is the account whose name is lower.
type Line struct {
	// Balance is what High owes Low; negative: what Low owes High.
	Balance int64
	// LimitLow is how much High may owe Low, as Low said, and LimitHigh the other way.
	LimitLow, LimitHigh uint64
	// RippleLow says that Low lets payments of others pass through it over this line.
	RippleLow, RippleHigh bool
}

func (l *Line) fields(c *codec) {
	c.i64(&l.Balance)
	c.amount(&l.LimitLow)
	c.amount(&l.LimitHigh)
	c.bool(&l.RippleLow)
	c.bool(&l.RippleHigh)
}

// idle tells whether nothing is owed on the line, nor may be. What accounts say of
// payments that pass over it means nothing then, so there is no such line in the state:
// nobody's limits would count it.
func (l *Line) idle() bool { return l.Balance == 0 && l.LimitLow == 0 && l.LimitHigh == 0 }

// room is how much more can be paid to the lower account, or from it.
func (l *Line) room(toLow bool) uint64 {
	balance, limit := l.Balance, l.LimitLow
	if !toLow {
		balance, limit = -balance, l.LimitHigh
	}
	if balance >= 0 {
		return limit - min(limit, uint64(balance))
	}
	return limit + magnitude(balance) // at most 2 MaxAmount
}

// payer says in which space of the state it is noted that the lower account, or the
// higher, can be paid over the line: because it trusts the other, or because it owes it. 0
// if it cannot be paid. Nobody but the account itself gets it there, by its limit, or by
// the payments that it makes or lets through.
func (l *Line) payer(low bool) byte {
	limit := l.LimitLow
	if !low {
		limit = l.LimitHigh
	}
	switch {
	case l.room(low) == 0:
		return 0
	case limit > 0:
		return spaceTrusts
	}
	return spaceOwes
}

// ripples tells whether the lower, or the higher, account lets payments through.
func (l *Line) ripples(low bool) bool {
	if low {
		return l.RippleLow
	}
	return l.RippleHigh
}

// Offer is a promise to give up to Amount units of Sell to whoever pays Price[0] units
// of Buy for every Price[1] of them, rounded up.
type Offer struct {
	Sell, Buy string
	Amount    uint64
	Price     [2]uint64
	// Credit: it is for payments on trust lines that pass through the account;
	// otherwise for balances.
	Credit  bool
	Expires statemachine.Time // 0: never
}

func (o *Offer) fields(c *codec) {
	c.asset(&o.Sell)
	c.asset(&o.Buy)
	c.amount(&o.Amount)
	c.amount(&o.Price[0])
	c.amount(&o.Price[1])
	c.bool(&o.Credit)
	c.time(&o.Expires)
}

// Cost is what n units of Sell cost; ok is false if that is no amount.
func (o *Offer) Cost(n uint64) (cost uint64, ok bool) { return price(n, o.Price[0], o.Price[1]) }

// Proposal is a transaction that waits for approvals.
type Proposal struct {
	Body      []byte // of the transaction
	Proposer  crypto.PublicKey
	Approvals []crypto.PublicKey // sorted
}

func (p *Proposal) fields(c *codec) {
	c.bytes(&p.Body, maxBody)
	c.fixed(p.Proposer[:])
	c.keys(&p.Approvals, maxKeysEncoded)
}

// maxBody bounds a transaction where the limits of the cluster are not known.
const maxBody = 1 << 20

// Decoders of what the state holds, for whoever reads it by [GetQuery], [RangeQuery] or
// a proof. The errors wrap canon.ErrMalformed.

// DecodeAccount reads an [Account].
func DecodeAccount(b []byte) (Account, error) { return read[Account](b) }

// DecodeAsset reads an [Asset].
func DecodeAsset(b []byte) (Asset, error) { return read[Asset](b) }

// DecodeHolding reads a [Holding].
func DecodeHolding(b []byte) (Holding, error) { return read[Holding](b) }

// DecodeEntry reads an [Entry].
func DecodeEntry(b []byte) (Entry, error) { return read[Entry](b) }

// DecodeHold reads a [Hold].
func DecodeHold(b []byte) (Hold, error) { return read[Hold](b) }

// DecodeLine reads a [Line].
func DecodeLine(b []byte) (Line, error) { return read[Line](b) }

// DecodeOffer reads an [Offer].
func DecodeOffer(b []byte) (Offer, error) { return read[Offer](b) }

// DecodeProposal reads a [Proposal].
func DecodeProposal(b []byte) (Proposal, error) { return read[Proposal](b) }

func read[T any, P interface {
	*T
	fielder
}](b []byte) (T, error) {
	var v, none T
	if err := decode(b, P(&v)); err != nil {
		return none, err
	}
	return v, nil
}
