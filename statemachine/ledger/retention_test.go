package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// A ledger that keeps so many lines of a statement keeps the last ones, and an archive of
// all of them can be checked against it.
func TestStatementsAreBounded(t *testing.T) {
	const keep, transfers = 16, 50
	b := town(t, func(c *Config) { c.Genesis = &Genesis{StatementEntries: keep}; c.Limits.MaxRange = 1000 })
	var archive []Entry
	read := func(p StatementPage) Statement {
		p.Account, p.Asset = "alice", "EUR"
		s, err := DecodeStatement(b.query(StatementQuery(p)))
		require.NoError(t, err)
		return s
	}
	collect := func() {
		s := read(StatementPage{Number: uint64(len(archive))})
		require.EqualValues(t, len(archive), s.First)
		archive = append(archive, s.Entries...)
	}
	lines := func() (n int) {
		prefix := key(spaceEntry, "alice", "EUR")
		for range b.view().Range(prefix, append(prefix[:len(prefix):len(prefix)], 0xff)) {
			n++
		}
		return n
	}
	collect()
	var middle uint64
	for i := range transfers {
		b.ok(alice, &Transfer{"EUR", "alice", "bob", 1})
		collect()
		require.LessOrEqual(t, lines(), keep)
		if i == transfers-5 {
			middle = b.height
		}
	}
	h := b.holding("alice", "EUR")
	require.EqualValues(t, transfers+1, h.Entries)
	require.EqualValues(t, transfers+1-keep, h.First)
	require.EqualValues(t, 950, h.Balance)
	require.Equal(t, keep, lines())

	// What is asked for from the beginning begins where it can; heights are found.
	s := read(StatementPage{})
	require.Equal(t, h.First, s.First)
	require.Equal(t, archive[h.First:], s.Entries)
	require.Equal(t, h.First, read(StatementPage{Height: 1}).First)
	require.EqualValues(t, transfers-4, read(StatementPage{Height: middle}).First)
	require.False(t, s.More)

	// The archive leads to the digest, and no other does.
	fold := func(lines []Entry) (d crypto.Digest) {
		for i := range h.First {
			d = DroppedDigest(d, "alice", "EUR", i, &lines[i])
		}
		return d
	}
	require.Equal(t, h.Dropped, fold(archive))
	forged := append([]Entry(nil), archive...)
	forged[3].Balance--
	require.NotEqual(t, h.Dropped, fold(forged))

	// The audit follows what is kept.
	b.audit()
	block := b.m.Store().Block()
	defer block.Discard()
	x := &exec{l: new(Handler), t: block}
	var e Entry
	x.load(EntryKey("alice", "EUR", h.First+1), &e)
	e.Balance--
	x.t.Set(EntryKey("alice", "EUR", h.First+1), encode(&e))
	require.ErrorIs(t, Audit(block), ErrAudit)

	require.ErrorContains(t, (&Genesis{StatementEntries: 15}).Check(DefaultLimits()), "statementEntries is 15: give at least 16")
}

// What a line takes, as the manual says.
func TestStatementLineSize(t *testing.T) {
	b := town(t)
	b.ok(alice, &Transfer{"EUR", "alice", "bob", 1})
	k := EntryKey("alice", "EUR", 1)
	v, ok := b.view().Get(k)
	require.True(t, ok)
	require.InDelta(t, 115, len(k)+len(v), 10)
}
