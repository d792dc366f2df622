package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What says nothing of limits or debts is not kept: no number of lines is counted down, and
// left in the state for what was said of payments over them.
func TestIdleLinesAreGone(t *testing.T) {
	b := town(t)
	gone := func() {
		t.Helper()
		for _, space := range []byte{spaceLine, spaceHigh, spaceTrusts, spaceOwes} {
			for k := range b.view().Range([]byte{space}, []byte{space + 1}) {
				require.Fail(t, "a line is there", "%q", k)
			}
		}
		require.Zero(t, b.account("alice").Lines)
	}
	b.ok(alice, trust("alice", "bob", 1, true))
	b.no(ErrInvalid, alice, trust("alice", "bob", 0, true))
	b.ok(alice, trust("alice", "bob", 0, false))
	gone()

	// With what the other one said.
	b.ok(alice, trust("alice", "bob", 1, true))
	b.ok(bob, trust("bob", "alice", 0, true))
	b.ok(alice, trust("alice", "bob", 0, false))
	gone()

	// A debt keeps it until it is paid back, also on the way to somebody else, where it
	// must let the payment through first.
	b.ok(alice, trust("alice", "bob", 10, true))
	b.ok(bob, eur("bob", "alice", 10))
	b.ok(alice, trust("alice", "bob", 0, true))
	b.ok(bob, trust("bob", "alice", 0, true))
	require.Equal(t, Line{Balance: 10, RippleLow: true, RippleHigh: true}, b.lineOf("alice", "bob"))
	b.ok(carol, trust("carol", "bob", 10, true))
	b.ok(bob, trust("bob", "carol", 0, true))
	b.ok(alice, eur("alice", "carol", 10, "bob"))
	_, there := b.view().Get(LineKey("alice", "bob", "EUR"))
	require.False(t, there)
	b.ok(carol, trust("carol", "bob", 0, false))
	require.Equal(t, Line{Balance: -10, RippleLow: true}, b.lineOf("bob", "carol"))
	b.ok(carol, eur("carol", "bob", 10))
	gone()
}
