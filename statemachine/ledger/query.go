package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// ErrQuery is wrapped by the error for a query that is malformed or no query.
var ErrQuery = errors.New("ledger query")

// The kinds of queries. Those without a height may also be submitted as operations: the
// answer is then of the log, and certain.
const (
	firstQuery     = 64
	queryGet       = 64
	queryRange     = 65
	queryStatement = 66
	queryPath      = 67
	queryHeight    = 68 // not as an operation
	queryRangeAt   = 69 // not as an operation
)

// GetQuery returns the query for what the state has under a key, such as [AccountKey];
// [DecodeValue] reads the answer.
func GetQuery(key []byte) []byte { return canon.AppendBytes([]byte{queryGet}, key) }

// Page says what part of a range is wanted.
type Page struct {
	// Prefix is what the keys begin with. After, if not empty, is the last key that is
	// known already.
	Prefix, After []byte
	// Limit is how many entries are wanted at most; 0 is as many as the ledger gives.
	Limit uint32
}

func (p *Page) fields(c *codec) {
	c.bytes(&p.Prefix, store.MaxKeyBytes)
	c.bytes(&p.After, store.MaxKeyBytes)
	c.u32(&p.Limit)
}

// The pages of what belongs together. The first entries; set After for more.

// AccountsPage is that of all accounts.
func AccountsPage() Page { return Page{Prefix: prefixOf(spaceAccount)} }

// AssetsPage is that of all assets.
func AssetsPage() Page { return Page{Prefix: prefixOf(spaceAsset)} }

// HoldingsPage is that of an account's holdings.
func HoldingsPage(account string) Page { return Page{Prefix: prefixOf(spaceHolding, account)} }

// HoldsPage is that of the open holds on an account's balances.
func HoldsPage(payer string) Page { return Page{Prefix: prefixOf(spaceHold, payer)} }

// IncomingPage is that of the keys of open holds for an account; [NamesOf] has payee,
// payer and reference.
func IncomingPage(payee string) Page { return Page{Prefix: prefixOf(spacePayee, payee)} }

// OffersPage is that of an account's offers.
func OffersPage(account string) Page { return Page{Prefix: prefixOf(spaceOffer, account)} }

// LinesPage is that of the trust lines of an account with accounts of higher names.
func LinesPage(account string) Page { return Page{Prefix: prefixOf(spaceLine, account)} }

// LowerLinesPage is that of the keys of the trust lines of an account with accounts of
// lower names; [NamesOf] has account, asset and peer.
func LowerLinesPage(account string) Page { return Page{Prefix: prefixOf(spaceHigh, account)} }

// ProposalsPage is that of all open proposals.
func ProposalsPage() Page { return Page{Prefix: prefixOf(spaceProposal)} }

// NamesOf returns the names that a key of the state consists of.
func NamesOf(key []byte) []string {
	for n := 3; n > 0; n-- {
		if names, rest, ok := splitKey(key, n); ok && (len(rest) == 0 || n == 2 && key[0] == spaceEntry) {
			return names
		}
	}
	return nil
}

// RangeQuery returns the query for a page; [DecodeRange] reads the answer.
func RangeQuery(p Page) []byte { return append([]byte{queryRange}, encode(&p)...) }

// RangeAtQuery is [RangeQuery] of the state after the block of a height that one replica
// has executed and not forgotten.
func RangeAtQuery(height uint64, p Page) []byte {
	return append(canon.AppendUint64([]byte{queryRangeAt}, height), encode(&p)...)
}

// HeightQuery returns the query for the height that a replica has executed;
// [DecodeHeight] reads the answer.
func HeightQuery() []byte { return []byte{queryHeight} }

// StatementPage says what part of the statement of an account in an asset is wanted:
// from the first line with all of these on. Lines that the ledger keeps no more
// ([Genesis.StatementEntries]) are left out: [Statement.First] says where it begins.
type StatementPage struct {
	Account, Asset string
	Number         uint64 // from 0
	Height         uint64
	Time           statemachine.Time
	Limit          uint32 // 0: as many as the ledger gives
}

func (p *StatementPage) fields(c *codec) {
	c.account(&p.Account)
	c.asset(&p.Asset)
	c.u64(&p.Number)
	c.u64(&p.Height)
	c.time(&p.Time)
	c.u32(&p.Limit)
}

// StatementQuery returns the query for a page of a statement; [DecodeStatement] reads
// the answer.
func StatementQuery(p StatementPage) []byte { return append([]byte{queryStatement}, encode(&p)...) }

// PathQuery returns the query for the path that a payment would take: what p says but
// MaxCost, and authority, are not looked at. [DecodePath] reads the answer. now is the
// time at which offers must be good, for a query of one replica, which has no clock of its
// own to go by; submitted as an operation the query is answered by block time, whatever now
// says.
func PathQuery(p *Pay, now statemachine.Time) []byte {
	return append(canon.AppendUint64([]byte{queryPath}, uint64(now)), encode(p)...)
}

// Query answers from the state after a block.
func (h *Handler) Query(_ context.Context, r store.Reader, q []byte) ([]byte, error) {
	if len(q) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrQuery)
	}
	c := canon.NewReader(q[1:])
	switch q[0] {
	case queryHeight:
		height, err := store.HeightOf(r)
		if err != nil {
			return nil, err
		}
		return canon.AppendUint64(nil, height), nil
	case queryRangeAt:
		then, err := store.AtHeight(r, c.Uint64())
		if err != nil {
			return nil, err
		}
		return h.answer(then, queryRange, c.Rest(), nil, new(int))
	}
	return h.answer(r, q[0], q[1:], nil, new(int))
}

// read answers a query that came as an operation, in a block of this time.
func (h *Handler) read(r store.Reader, in *statemachine.Op, now statemachine.Time) statemachine.Result {
	q := in.Data
	if q[0] == queryHeight || q[0] == queryRangeAt {
		return statemachine.Reject(statemachine.CodeUnsupported, nil)
	}
	if q[0] == queryPath && h.spent(in.Client) {
		return rejectionOf(h.overspent(in.Client)).result()
	}
	looked := 0
	b, err := h.answer(r, q[0], q[1:], &now, &looked)
	h.charge(in.Client, looked)
	switch {
	case errors.Is(err, errUnknownQuery):
		return statemachine.Reject(statemachine.CodeUnsupported, nil)
	case err != nil:
		return statemachine.Reject(statemachine.CodeMalformed, nil)
	}
	return statemachine.OK(b)
}

var errUnknownQuery = fmt.Errorf("%w: of no kind that there is", ErrQuery)

// answer answers a query, and says how much a search has looked at. at is block time where
// there is one: else the client says what time it is.
func (h *Handler) answer(r store.Reader, kind byte, q []byte, at *statemachine.Time, looked *int) ([]byte, error) {
	bad := func(err error) ([]byte, error) { return nil, fmt.Errorf("%w: %w", ErrQuery, err) }
	switch kind {
	case queryGet:
		c := canon.NewReader(q)
		k := c.Bytes(store.MaxKeyBytes)
		if len(k) == 0 {
			c.Fail("an empty key")
		}
		if err := c.Close(); err != nil {
			return bad(err)
		}
		v, ok := r.Get(k)
		return canon.AppendBytes(canon.AppendBool(nil, ok), v), nil
	case queryRange:
		var p Page
		if err := decode(q, &p); err != nil {
			return bad(err)
		}
		return h.page(r, &p), nil
	case queryStatement:
		var p StatementPage
		if err := decode(q, &p); err != nil {
			return bad(err)
		}
		return h.statement(r, &p), nil
	case queryPath:
		c := canon.NewReader(q)
		now := statemachine.Time(c.Uint64())
		if at != nil {
			now = *at
		}
		var p Pay
		if err := decode(c.Rest(), &p); err != nil {
			return bad(err)
		}
		if len(p.Path)+1 > h.cfg.Limits.MaxHops {
			return bad(fmt.Errorf("a path of %d hops, where %d are allowed", len(p.Path)+1, h.cfg.Limits.MaxHops))
		}
		return h.path(r, &p, now, looked), nil
	}
	return nil, errUnknownQuery
}

// limit is how many entries an answer may have.
func (h *Handler) limit(wanted uint32) int {
	most := h.cfg.Limits.MaxRange
	if wanted > 0 && int64(wanted) < int64(most) {
		return int(wanted)
	}
	return most
}

func (h *Handler) page(r store.Reader, p *Page) []byte {
	from, to := p.Prefix, store.PrefixEnd(p.Prefix)
	if len(p.Prefix) == 0 {
		from, to = nil, nil
	}
	if len(p.After) > 0 && string(p.After) >= string(from) {
		from = append(p.After, 0)
	}
	limit := h.limit(p.Limit)
	out, n, more := make([]byte, 1+4, 1024), uint32(0), false
	if to == nil || string(from) < string(to) {
		for k, v := range r.Range(from, to) {
			if int(n) == limit || n > 0 && len(out)+8+len(k)+len(v) > h.cfg.Limits.MaxResultBytes {
				more = true
				break
			}
			out = canon.AppendBytes(canon.AppendBytes(out, k), v)
			n++
		}
	}
	canon.AppendUint32(canon.AppendBool(out[:0], more), n)
	return out
}

func (h *Handler) statement(r store.Reader, p *StatementPage) []byte {
	var holding Holding
	if v, ok := r.Get(HoldingKey(p.Account, p.Asset)); ok {
		mustDecode(v, &holding)
	}
	entry := func(n uint64) (e Entry) {
		v, _ := r.Get(EntryKey(p.Account, p.Asset, n))
		mustDecode(v, &e)
		return e
	}
	first := max(p.Number, holding.First)
	if (p.Height > 0 || p.Time > 0) && holding.Entries > 0 {
		n := sort.Search(int(holding.Entries-holding.First), func(i int) bool {
			e := entry(holding.First + uint64(i))
			return e.Height >= p.Height && e.Time >= p.Time
		})
		first = max(first, holding.First+uint64(n))
	}
	limit := uint64(h.limit(p.Limit))
	out, n := make([]byte, 4+8+1, 1024), uint64(0)
	for i := first; i < holding.Entries && n < limit; i++ {
		v, _ := r.Get(EntryKey(p.Account, p.Asset, i))
		if n > 0 && len(out)+4+len(v) > h.cfg.Limits.MaxResultBytes {
			break
		}
		out = canon.AppendBytes(out, v)
		n++
	}
	head := canon.AppendUint64(canon.AppendUint32(out[:0], uint32(n)), first)
	canon.AppendBool(head, first < holding.Entries && n < holding.Entries-first)
	return out
}

func (h *Handler) path(r store.Reader, p *Pay, now statemachine.Time, looked *int) []byte {
	nodes, edges := h.cfg.Limits.MaxPathNodes, h.cfg.Limits.MaxPathEdges
	defer func() { *looked = h.cfg.Limits.MaxPathEdges - edges }()
	s := search{r: r, now: now, limits: &h.cfg.Limits, nodes: &nodes, edges: &edges, from: Hop{p.From, p.Source}, to: Hop{p.To, p.Asset}, most: MaxAmount}
	var found *plan
	if p.From != p.To || p.Source != p.Asset {
		if p.Find {
			found = s.find(p.Amount)
		} else {
			found, _ = s.follow(p.Path, p.Amount)
		}
	}
	var out Path
	if found != nil {
		out.Found, out.Cost = true, found.steps[0].amount
		for _, st := range found.steps[1 : len(found.steps)-1] {
			out.Hops = append(out.Hops, st.Hop)
		}
	}
	return encode(&out)
}

// Path is the answer to [PathQuery]: what the payment would cost, and the hops between
// the payer and the payee. It may be refused all the same: of a path that is given, the
// room on the lines is not looked at.
type Path struct {
	Found bool
	Cost  uint64
	Hops  []Hop
}

func (p *Path) fields(c *codec) {
	c.bool(&p.Found)
	c.amount(&p.Cost)
	c.hops(&p.Hops)
}

// DecodePath reads the answer to a [PathQuery].
func DecodePath(b []byte) (Path, error) { return read[Path](b) }

// DecodeValue reads the answer to a [GetQuery].
func DecodeValue(b []byte) (value []byte, found bool, err error) {
	r := canon.NewReader(b)
	found = r.Bool()
	value = append([]byte(nil), r.Bytes(store.MaxValueBytes)...)
	if err := r.Close(); err != nil {
		return nil, false, fmt.Errorf("ledger answer: %w", err)
	}
	return value, found, nil
}

// DecodeHeight reads the answer to a [HeightQuery].
func DecodeHeight(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("ledger answer: %w: a height of %d bytes", canon.ErrMalformed, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// KeyValue is an entry of the state.
type KeyValue struct{ Key, Value []byte }

// DecodeRange reads the answer to a [RangeQuery]. more says that the page was cut
// short: ask for what is after the last key.
func DecodeRange(b []byte) (all []KeyValue, more bool, err error) {
	r := canon.NewReader(b)
	more = r.Bool()
	all = make([]KeyValue, r.Count(len(b), 8))
	for i := range all {
		all[i] = KeyValue{r.Bytes(store.MaxKeyBytes), r.Bytes(store.MaxValueBytes)}
	}
	if err := r.Close(); err != nil {
		return nil, false, fmt.Errorf("ledger answer: %w", err)
	}
	return all, more, nil
}

// Statement is a page of a statement. Its first line has the number First.
type Statement struct {
	First   uint64
	Entries []Entry
	More    bool
}

// DecodeStatement reads the answer to a [StatementQuery].
func DecodeStatement(b []byte) (Statement, error) {
	r := canon.NewReader(b)
	n := r.Uint32()
	s := Statement{First: r.Uint64(), More: r.Bool()}
	if uint64(n)*4 > uint64(r.Len()) {
		r.Fail("%d lines", n)
		n = 0
	}
	for range n {
		e, err := DecodeEntry(r.Bytes(len(b)))
		if err != nil {
			r.Fail("%v", err)
			break
		}
		s.Entries = append(s.Entries, e)
	}
	if err := r.Close(); err != nil {
		return Statement{}, fmt.Errorf("ledger answer: %w", err)
	}
	return s, nil
}
