package ledger

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// Action is one leg of a [Transaction]. The comment of each says whose authority it
// takes: as many of that account's keys as its threshold says.
type Action interface {
	fielder
	kind() actionKind
	// needs says whose authority it takes (see needs.go).
	needs(x *exec) (need, error)
	// run does it, in a transaction that is discarded if there is an error.
	run(x *exec) error
}

type actionKind uint8

// The kinds; the numbers are part of the encoding.
const (
	kindOpenAccount actionKind = 1
	kindSetKeys     actionKind = 2
	kindAdvance     actionKind = 3

	kindDefineAsset actionKind = 16
	kindSetRules    actionKind = 17
	kindCloseAsset  actionKind = 18
	kindIssue       actionKind = 19
	kindRetire      actionKind = 20
	kindFreeze      actionKind = 21
	kindAdmit       actionKind = 22
	kindClawback    actionKind = 23

	kindTransfer actionKind = 32
	kindHold     actionKind = 33
	kindCapture  actionKind = 34
	kindRelease  actionKind = 35

	kindTrust       actionKind = 48
	kindPay         actionKind = 49
	kindOffer       actionKind = 50
	kindCancelOffer actionKind = 51
	kindTakeOffer   actionKind = 52
)

// newAction returns an empty action of a kind, or nil.
func newAction(k actionKind) Action {
	switch k {
	case kindOpenAccount:
		return new(OpenAccount)
	case kindSetKeys:
		return new(SetKeys)
	case kindAdvance:
		return new(Advance)
	case kindDefineAsset:
		return new(DefineAsset)
	case kindSetRules:
		return new(SetRules)
	case kindCloseAsset:
		return new(CloseAsset)
	case kindIssue:
		return new(Issue)
	case kindRetire:
		return new(Retire)
	case kindFreeze:
		return new(Freeze)
	case kindAdmit:
		return new(Admit)
	case kindClawback:
		return new(Clawback)
	case kindTransfer:
		return new(Transfer)
	case kindHold:
		return new(PlaceHold)
	case kindCapture:
		return new(Capture)
	case kindRelease:
		return new(Release)
	case kindTrust:
		return new(Trust)
	case kindPay:
		return new(Pay)
	case kindOffer:
		return new(MakeOffer)
	case kindCancelOffer:
		return new(CancelOffer)
	case kindTakeOffer:
		return new(TakeOffer)
	}
	return nil
}

// OpenAccount opens an account. If the ledger began with registrars it takes one of
// them; else anybody may.
type OpenAccount struct {
	Account   string
	Keys      []crypto.PublicKey // sorted; [NewAccount] sorts
	Threshold uint8
}

func (a *OpenAccount) kind() actionKind { return kindOpenAccount }
func (a *OpenAccount) fields(c *codec) {
	c.account(&a.Account)
	c.keys(&a.Keys, maxKeysEncoded)
	c.u8(&a.Threshold)
}

// SetKeys gives an account other keys. It takes the old ones.
type SetKeys struct {
	Account   string
	Keys      []crypto.PublicKey
	Threshold uint8
}

func (a *SetKeys) kind() actionKind { return kindSetKeys }
func (a *SetKeys) fields(c *codec) {
	c.account(&a.Account)
	c.keys(&a.Keys, maxKeysEncoded)
	c.u8(&a.Threshold)
}

// Advance counts up an account's sequence number: signed transactions that name the
// present one are void. It takes the account.
type Advance struct{ Account string }

func (a *Advance) kind() actionKind { return kindAdvance }
func (a *Advance) fields(c *codec)  { c.account(&a.Account) }

// DefineAsset defines an asset. It takes the issuer.
type DefineAsset struct {
	Asset, Issuer, Description string
	Decimals                   uint8
	Rules                      Rules
	MaxSupply                  uint64 // 0: as much as there can be
}

func (a *DefineAsset) kind() actionKind { return kindDefineAsset }
func (a *DefineAsset) fields(c *codec) {
	c.asset(&a.Asset)
	c.account(&a.Issuer)
	c.text(&a.Description, MaxMemo)
	c.u8(&a.Decimals)
	c.u8((*uint8)(&a.Rules))
	c.amount(&a.MaxSupply)
}

// SetRules changes rules and largest supply, unless the rules are fixed. It takes the
// issuer.
type SetRules struct {
	Asset     string
	Rules     Rules
	MaxSupply uint64 // 0: as much as there can be
}

func (a *SetRules) kind() actionKind { return kindSetRules }
func (a *SetRules) fields(c *codec) {
	c.asset(&a.Asset)
	c.u8((*uint8)(&a.Rules))
	c.amount(&a.MaxSupply)
}

// CloseAsset ends the issuing of an asset for good. It takes the issuer.
type CloseAsset struct{ Asset string }

func (a *CloseAsset) kind() actionKind { return kindCloseAsset }
func (a *CloseAsset) fields(c *codec)  { c.asset(&a.Asset) }

// Issue makes new units. It takes the issuer.
type Issue struct {
	Asset, To string
	Amount    uint64
}

func (a *Issue) kind() actionKind { return kindIssue }
func (a *Issue) fields(c *codec) {
	c.asset(&a.Asset)
	c.account(&a.To)
	c.amount(&a.Amount)
}

// Retire takes units out of the world. It takes the account that has them: the issuer,
// or any holder where the rules say so.
type Retire struct {
	Asset, From string
	Amount      uint64
}

func (a *Retire) kind() actionKind { return kindRetire }
func (a *Retire) fields(c *codec) {
	c.asset(&a.Asset)
	c.account(&a.From)
	c.amount(&a.Amount)
}

// Freeze freezes what an account has of an asset, or all of the asset if Account is
// empty, or lifts that. What is frozen neither leaves nor arrives. It takes the issuer,
// and RuleFreezable.
type Freeze struct {
	Asset, Account string
	On             bool
}

func (a *Freeze) kind() actionKind { return kindFreeze }
func (a *Freeze) fields(c *codec) {
	c.asset(&a.Asset)
	c.optional(&a.Account)
	c.bool(&a.On)
}

// Admit says whether an account may receive an asset with RuleAdmission. It takes the
// issuer.
type Admit struct {
	Asset, Account string
	On             bool
}

func (a *Admit) kind() actionKind { return kindAdmit }
func (a *Admit) fields(c *codec) {
	c.asset(&a.Asset)
	c.account(&a.Account)
	c.bool(&a.On)
}

// Clawback takes units from an account back to the issuer, frozen ones too. It takes
// the issuer, and RuleClawback. What is on hold stays on hold.
type Clawback struct {
	Asset, From string
	Amount      uint64
}

func (a *Clawback) kind() actionKind { return kindClawback }
func (a *Clawback) fields(c *codec) {
	c.asset(&a.Asset)
	c.account(&a.From)
	c.amount(&a.Amount)
}

// Transfer moves units. It takes the account From.
type Transfer struct {
	Asset, From, To string
	Amount          uint64
}

func (a *Transfer) kind() actionKind { return kindTransfer }
func (a *Transfer) fields(c *codec) {
	c.asset(&a.Asset)
	c.account(&a.From)
	c.account(&a.To)
	c.amount(&a.Amount)
}

// PlaceHold sets an amount aside for a payee, under a reference that From has no other
// open hold under. It takes the account From.
type PlaceHold struct {
	From, Reference string
	Asset, To       string
	Agent           string // who may capture instead of To, if not empty
	Amount          uint64
	Expires         statemachine.Time
	// Lock, if not zero, is the SHA-256 of a secret that capturing takes.
	Lock crypto.Digest
}

func (a *PlaceHold) kind() actionKind { return kindHold }
func (a *PlaceHold) fields(c *codec) {
	c.account(&a.From)
	c.reference(&a.Reference)
	c.asset(&a.Asset)
	c.account(&a.To)
	c.optional(&a.Agent)
	c.amount(&a.Amount)
	c.time(&a.Expires)
	c.fixed(a.Lock[:])
}

// Capture pays out a hold, or a part of it; the rest goes back to the payer. It takes
// the hold's agent, or its payee if it has none, before it expires.
type Capture struct {
	From, Reference string
	Amount          uint64 // 0: all of it
	Secret          []byte // where the hold has a lock
}

func (a *Capture) kind() actionKind { return kindCapture }
func (a *Capture) fields(c *codec) {
	c.account(&a.From)
	c.reference(&a.Reference)
	c.amount(&a.Amount)
	c.bytes(&a.Secret, maxSecret)
}

const maxSecret = 256

// Release gives a hold back to the payer. It takes the payee or the agent; once the
// hold has expired, the payer will do.
type Release struct{ From, Reference string }

func (a *Release) kind() actionKind { return kindRelease }
func (a *Release) fields(c *codec) {
	c.account(&a.From)
	c.reference(&a.Reference)
}

// Trust says how much Peer may owe Account in units of an asset, and whether payments
// of others may pass through Account over this line. It takes the account Account. A line
// on which nothing is owed, and neither may owe anything, is gone, with what both said.
type Trust struct {
	Account, Peer, Asset string
	Limit                uint64
	Ripple               bool
}

func (a *Trust) kind() actionKind { return kindTrust }
func (a *Trust) fields(c *codec) {
	c.account(&a.Account)
	c.account(&a.Peer)
	c.asset(&a.Asset)
	c.amount(&a.Limit)
	c.bool(&a.Ripple)
}

// Hop is a point of a payment's path: an account, and the asset in whose units it is
// owed there. Two hops with one account are a conversion, by an offer of that account.
type Hop struct{ Account, Asset string }

// Pay makes To get Amount in IOUs of its peer on the path, denominated in Asset, and
// From owe its own peer at most MaxCost, denominated in Source. It takes the account
// From; the others have agreed by their limits, ripple flags and offers.
type Pay struct {
	From, To      string
	Source, Asset string
	Amount        uint64
	MaxCost       uint64
	// Path is what lies between From and To. Without it From and To must be peers, if
	// Find is not set; with Find the ledger looks for the path with the fewest hops.
	Path []Hop
	Find bool
}

func (a *Pay) kind() actionKind { return kindPay }
func (a *Pay) fields(c *codec) {
	c.account(&a.From)
	c.account(&a.To)
	c.asset(&a.Source)
	c.asset(&a.Asset)
	c.amount(&a.Amount)
	c.amount(&a.MaxCost)
	c.hops(&a.Path)
	c.bool(&a.Find)
}

// maxHopsEncoded bounds a path where the limits are not known.
const maxHopsEncoded = 64

func (c *codec) hops(p *[]Hop) {
	n := uint32(len(*p))
	if c.r == nil {
		c.u32(&n)
	} else if k := c.r.Count(maxHopsEncoded, 10); k > 0 {
		*p = make([]Hop, k)
	}
	for i := range *p {
		c.account(&(*p)[i].Account)
		c.asset(&(*p)[i].Asset)
	}
}

// MakeOffer offers up to Amount of Sell at Price, or replaces the offer that the
// account has under the reference. It takes the account. Nothing is set aside.
type MakeOffer struct {
	Account, Reference string
	Offer              Offer
}

func (a *MakeOffer) kind() actionKind { return kindOffer }
func (a *MakeOffer) fields(c *codec) {
	c.account(&a.Account)
	c.reference(&a.Reference)
	a.Offer.fields(c)
}

// CancelOffer withdraws an offer. It takes the account.
type CancelOffer struct{ Account, Reference string }

func (a *CancelOffer) kind() actionKind { return kindCancelOffer }
func (a *CancelOffer) fields(c *codec) {
	c.account(&a.Account)
	c.reference(&a.Reference)
}

// TakeOffer exchanges balances: Taker gets Amount of what Account's offer sells, and
// pays its price, at most MaxCost. It takes the account Taker.
type TakeOffer struct {
	Account, Reference string
	Taker              string
	Amount, MaxCost    uint64
}

func (a *TakeOffer) kind() actionKind { return kindTakeOffer }
func (a *TakeOffer) fields(c *codec) {
	c.account(&a.Account)
	c.reference(&a.Reference)
	c.account(&a.Taker)
	c.amount(&a.Amount)
	c.amount(&a.MaxCost)
}
