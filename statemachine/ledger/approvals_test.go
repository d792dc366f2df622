package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// An approval counts for the accounts that its key controls, and for no other that the
// proposal needs.
func TestApprovalsCountForTheirAccounts(t *testing.T) {
	b := town(t)
	b.ok(mallory, NewAccount("board", 2, alice.public(), bob.public()))
	b.ok(alice, &Transfer{"EUR", "alice", "board", 500}, &Transfer{"EUR", "alice", "carol", 100})
	tx := &Transaction{Expires: b.now + 100*second, Actions: []Action{
		&Transfer{"EUR", "board", "dave", 2}, &Transfer{"EUR", "carol", "dave", 1},
	}}
	require.True(t, b.do(alice, Propose(tx)).Pending)
	require.True(t, b.do(carol, Approve(tx.Digest())).Pending, "two of those who have a say, and one of the board's two")
	b.has("dave", "EUR", 0, 0)
	require.False(t, b.do(bob, Approve(tx.Digest())).Pending)
	b.has("dave", "EUR", 3, 0)
}

// A key that was taken from an account while a proposal waits has approved nothing any
// more, also when it is given back later.
func TestApprovalsOfKeysThatComeBack(t *testing.T) {
	b := town(t)
	all := []crypto.PublicKey{alice.public(), bob.public(), carol.public()}
	b.ok(mallory, NewAccount("board", 3, all...))
	b.ok(alice, &Transfer{"EUR", "alice", "board", 500})
	setKeys := func(threshold uint8, keys []crypto.PublicKey, signers ...*person) {
		t.Helper()
		set := &Transaction{Expires: b.now + 100*second, Actions: []Action{&SetKeys{"board", NewAccount("board", threshold, keys...).Keys, threshold}}}
		var signatures []Signature
		for _, p := range signers {
			signatures = append(signatures, set.Sign(thisCluster, p.signer))
		}
		require.NoError(t, b.do(mallory, Submit(set, signatures...)).Err())
	}
	tx := &Transaction{Expires: b.now + 500*second, Actions: []Action{&Transfer{"EUR", "board", "dave", 1}}}
	require.True(t, b.do(alice, Propose(tx)).Pending)
	require.True(t, b.do(bob, Approve(tx.Digest())).Pending)
	setKeys(2, []crypto.PublicKey{alice.public(), dave.public()}, alice, bob, carol)
	require.True(t, b.do(alice, Approve(tx.Digest())).Pending)
	setKeys(3, all, alice, dave)
	require.True(t, b.do(carol, Approve(tx.Digest())).Pending, "bob approved it before his key was taken away")
	b.has("dave", "EUR", 0, 0)
	require.False(t, b.do(bob, Approve(tx.Digest())).Pending)
	b.has("dave", "EUR", 1, 0)
}
