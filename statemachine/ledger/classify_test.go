package ledger

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

func TestClassify(t *testing.T) {
	h, err := NewHandler(DefaultConfig(thisCluster))
	require.NoError(t, err)
	pay := &Transfer{Asset: "EUR", From: "alice", To: "bob", Amount: 1}
	back := &Transfer{Asset: "USD", From: "bob", To: "alice", Amount: 1}
	submits, reads := Kinds()
	for want, op := range map[string][]byte{
		"submit/transfer":     Do(pay),
		"submit/several":      Do(pay, &Issue{Asset: "EUR", To: "bob", Amount: 1}),
		"submit/open-account": Do(NewAccount("alice", 1, alice.public())),
		"submit/nothing":      Do(),
		"propose/transfer":    Propose(&Transaction{Actions: []Action{pay, back}, Expires: 1}),
		"approve":             Approve(crypto.Digest{}), "withdraw": Withdraw(crypto.Digest{}),
		"get": GetQuery([]byte("a")), "range": RangeQuery(AccountsPage()), "statement": StatementQuery(StatementPage{Account: "alice", Asset: "EUR"}),
		"height": HeightQuery(), "range-at": RangeAtQuery(1, AccountsPage()), "": {255},
	} {
		kind, read := h.Classify(op)
		require.Equal(t, want, kind)
		require.Equal(t, want != "" && op[0] >= firstQuery, read, want)
		kinds := submits
		if read {
			kinds = reads
		}
		require.Equal(t, want != "" && want != "submit/nothing", slices.Contains(kinds, want), want)
	}
	for _, b := range [][]byte{nil, {0}, Do(pay)[:9], {firstQuery - 1}} {
		kind, read := h.Classify(b)
		require.Empty(t, kind)
		require.False(t, read)
	}
	// Every action has a name, or a policy could not speak of it.
	for k := range actionKind(255) {
		if newAction(k) != nil {
			require.NotEmpty(t, actionNames[k], k)
			require.Contains(t, submits, "propose/"+actionNames[k])
		}
	}
}
