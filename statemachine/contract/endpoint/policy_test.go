package endpoint_test

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// guardedStand is a stand whose endpoint reads what its gateway's role says, and whose
// senders may submit everything.
func guardedStand(t *testing.T, reads ...string) *stand {
	gateway := ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{7}).Public()
	ann := contracttest.NewWallet(contract.DevChainID, "ann")
	return newStand(t, func(g *contract.Genesis, c *endpoint.Config) {
		s, err := store.Open(t.Context(), store.DefaultConfig())
		require.NoError(t, err)
		c.Caller = gateway
		c.Machine, err = contract.NewGuarded(s, g, crypto.Hash("test", nil), access.Policy{
			Mode: access.Private, Administrators: signed.Of(1, ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{1}).Public()),
			Roles: []access.Role{{Name: "gateway", Read: reads}, {Name: "sender", Submit: []string{"*"}}},
			Members: []access.Member{
				{Key: gateway, Roles: []string{"gateway"}}, {Key: contract.AddressKey(ann.Address), Roles: []string{"sender"}},
			},
		})
		require.NoError(t, err)
	})
}

// eth_sendRawTransactionSync answers with the receipt. A gateway that may not read receipts
// says so before anything is sent: the sender would not learn that it ran.
func TestSyncSendingUnderAPolicy(t *testing.T) {
	ctx := t.Context()
	s := guardedStand(t, "eth_getTransactionCount")
	tx := s.ann.Send(common.Address{1}, big.NewInt(1), nil)
	_, err := s.SendTransactionSync(ctx, tx, nil)
	require.ErrorContains(t, err, "refused by the access policy: rule roles: ")
	require.ErrorContains(t, err, "may not read eth_getTransactionReceipt: none of its roles (gateway) permits it")
	require.Zero(t, s.order.calls, "nothing was sent")
	nonce, err := s.NonceAt(ctx, s.ann.Address, nil)
	require.NoError(t, err)
	require.Zero(t, nonce)
	require.NoError(t, s.SendTransaction(ctx, tx), "without the receipt it may be sent")
	require.Equal(t, 1, s.order.calls)

	s = guardedStand(t, "eth_getTransactionReceipt")
	receipt, err := s.SendTransactionSync(ctx, s.ann.Send(common.Address{1}, big.NewInt(1), nil), nil)
	require.NoError(t, err)
	require.Equal(t, types.ReceiptStatusSuccessful, receipt.Status)
	_, err = s.SendTransactionSync(ctx, s.ben.Send(common.Address{1}, big.NewInt(1), nil), nil)
	require.ErrorContains(t, err, "rule mode-private: ", "its sender is no member")
}
