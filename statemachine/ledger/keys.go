package ledger

import (
	"encoding/binary"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// The state is an ordered map; the first byte of a key says what its value is. Names
// end with a zero byte, which they do not contain, so that everything of an account, or
// of an account in one asset, is one range.
const (
	spaceAccount  = 'a' // account -> Account
	spaceAsset    = 'b' // asset -> Asset
	spaceHolding  = 'c' // account, asset -> Holding
	spaceEntry    = 'd' // account, asset, number -> Entry
	spaceHold     = 'e' // payer, reference -> Hold
	spacePayee    = 'f' // payee, payer, reference -> nothing
	spaceLine     = 'g' // low account, asset, high account -> Line
	spaceHigh     = 'h' // high account, asset, low account -> nothing
	spaceOffer    = 'i' // account, reference -> Offer
	spaceProposal = 'j' // digest -> Proposal
	spaceProposer = 'k' // client's key -> number of open proposals
	spaceSpent    = 'l' // digest -> nothing: transactions with detached signatures that ran
	spaceDue      = 'm' // time, key of what expires -> nothing
	spaceMeta     = 'n' // name -> value
	spaceTrusts   = 'o' // account, asset, peer -> nothing: the peer can pay, and the account trusts it
	spaceOwes     = 'p' // account, asset, peer -> nothing: the peer can pay, because the account owes it
)

func key(space byte, names ...string) []byte {
	n := 1
	for _, s := range names {
		n += len(s) + 1
	}
	b := append(make([]byte, 0, n), space)
	for _, s := range names {
		b = append(append(b, s...), 0)
	}
	return b
}

// AccountKey is where the state keeps an [Account].
func AccountKey(account string) []byte { return key(spaceAccount, account) }

// AssetKey is where the state keeps an [Asset].
func AssetKey(asset string) []byte { return key(spaceAsset, asset) }

// HoldingKey is where the state keeps a [Holding].
func HoldingKey(account, asset string) []byte { return key(spaceHolding, account, asset) }

// EntryKey is where the state keeps an [Entry].
func EntryKey(account, asset string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(key(spaceEntry, account, asset), number)
}

// HoldKey is where the state keeps a [Hold].
func HoldKey(payer, reference string) []byte { return key(spaceHold, payer, reference) }

// OfferKey is where the state keeps an [Offer].
func OfferKey(account, reference string) []byte { return key(spaceOffer, account, reference) }

// LineKey is where the state keeps the [Line] between two accounts, in either order.
func LineKey(a, b, asset string) []byte {
	if a > b {
		a, b = b, a
	}
	return key(spaceLine, a, asset, b)
}

func highKey(low, high, asset string) []byte { return key(spaceHigh, high, asset, low) }

// payerKey is where the state notes that an account can be paid by another over their
// line; nil if it cannot.
func payerKey(account, peer, asset string, l *Line) []byte {
	space := l.payer(account < peer)
	if space == 0 {
		return nil
	}
	return key(space, account, asset, peer)
}

func payeeKey(payee, payer, reference string) []byte { return key(spacePayee, payee, payer, reference) }

// ProposalKey is where the state keeps a [Proposal].
func ProposalKey(d crypto.Digest) []byte { return append([]byte{spaceProposal}, d[:]...) }

func proposerKey(k crypto.PublicKey) []byte { return append([]byte{spaceProposer}, k[:]...) }

func spentKey(d crypto.Digest) []byte { return append([]byte{spaceSpent}, d[:]...) }

// dueKey is that of what is to be cleared away once block time is at.
func dueKey(at statemachine.Time, what []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{spaceDue}, uint64(at)), what...)
}

var (
	registrarsKey = key(spaceMeta, "registrars")
	accountsKey   = key(spaceMeta, "accounts")
	assetsKey     = key(spaceMeta, "assets")
	limitsKey     = key(spaceMeta, "limits")
	statementsKey = key(spaceMeta, "statements") // how many lines of each are kept
)

// Prefixes of what belongs together, for [RangeQuery].
func prefixOf(space byte, names ...string) []byte { return key(space, names...) }

// splitKey takes the names off a key of a space; rest is what follows n of them.
func splitKey(k []byte, n int) (names []string, rest []byte, ok bool) {
	if len(k) == 0 {
		return nil, nil, false
	}
	rest = k[1:]
	for range n {
		i := 0
		for i < len(rest) && rest[i] != 0 {
			i++
		}
		if i == len(rest) {
			return nil, nil, false
		}
		names = append(names, string(rest[:i]))
		rest = rest[i+1:]
	}
	return names, rest, true
}
