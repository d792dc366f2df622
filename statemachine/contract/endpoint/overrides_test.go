package endpoint_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

type object = map[string]any

// number reads a word that a call returned.
func number(t *testing.T, raw json.RawMessage) int64 {
	var b hexutil.Bytes
	require.NoError(t, json.Unmarshal(raw, &b))
	return new(big.Int).SetBytes(b).Int64()
}

// A call may find accounts and its block other than they are, and nothing of that stays.
func TestOverrides(t *testing.T) {
	s := newStand(t, nil)
	coin := contracttest.Load("Coin")
	deploy, at := s.ann.Deploy(coin.Deploy(big.NewInt(1000)))
	require.NoError(t, s.SendTransaction(t.Context(), deploy))
	nobody := common.Address{0xaa}
	supply := object{"to": at, "data": hexutil.Bytes(coin.Call("totalSupply"))}
	word := func(n byte) common.Hash { return common.Hash{31: n} }
	call := func(args object, overrides ...any) json.RawMessage {
		got, err := s.ask("eth_call", append([]any{args, "latest"}, overrides...)...)
		require.NoError(t, err)
		return got
	}

	// Storage: some of it, or all.
	require.EqualValues(t, 1000, number(t, call(supply)))
	balance := object{"to": at, "data": hexutil.Bytes(coin.Call("balanceOf", s.ann.Address))}
	less := object{at.Hex(): object{"stateDiff": object{word(2).Hex(): word(7).Hex()}}}
	require.EqualValues(t, 7, number(t, call(supply, less)))
	require.EqualValues(t, 1000, number(t, call(balance, less)), "what is not given is as it is")
	all := object{at.Hex(): object{"state": object{word(2).Hex(): word(8).Hex()}}}
	require.EqualValues(t, 8, number(t, call(supply, all)))
	require.Zero(t, number(t, call(balance, all)))
	require.Zero(t, number(t, call(supply, object{at.Hex(): object{"state": object{}}})))
	require.Zero(t, number(t, call(supply, object{at.Hex(): object{"stateDiff": object{word(2).Hex(): common.Hash{}.Hex()}}})))

	// Code: of an account that there is not, and none where there was.
	code, err := s.CodeAt(t.Context(), at, nil)
	require.NoError(t, err)
	elsewhere := object{"to": nobody, "data": supply["data"]}
	require.Equal(t, `"0x"`, string(call(elsewhere)))
	require.EqualValues(t, 9, number(t, call(elsewhere, object{nobody.Hex(): object{"code": hexutil.Bytes(code), "state": object{word(2).Hex(): word(9).Hex()}}})))
	require.Equal(t, `"0x"`, string(call(supply, object{at.Hex(): object{"code": "0x"}})))

	// Ether and nonce: CREATE's address follows from the nonce.
	pay := object{"from": nobody, "to": s.ben.Address, "value": "0x5"}
	_, err = s.ask("eth_call", pay, "latest")
	require.ErrorContains(t, err, "insufficient funds")
	require.Equal(t, `"0x"`, string(call(pay, object{nobody.Hex(): object{"balance": "0x5"}})))
	rich := object{nobody.Hex(): object{"balance": "0xde0b6b3a7640000"}}
	got, err := s.ask("eth_estimateGas", pay, "latest", rich)
	require.NoError(t, err)
	require.Equal(t, `"0x5208"`, string(got))
	// PUSH0 PUSH0 PUSH0 CREATE PUSH0 MSTORE PUSH1 32 PUSH0 RETURN
	made := object{"to": nobody, "data": "0x"}
	for nonce, want := range map[string]uint64{"0x1": 1, "0x7": 7} {
		got := call(made, object{nobody.Hex(): object{"code": "0x5f5f5ff05f5260205ff3", "nonce": nonce}})
		require.True(t, strings.HasSuffix(string(got), strings.ToLower(crypto.CreateAddress(nobody, want).Hex()[2:])+`"`), nonce)
	}

	// The block, with code that returns what it sees of it.
	for opcode, c := range map[string]struct {
		field string
		value any
	}{
		"43": {"number", "0x7b"}, "42": {"time", "0x7b"}, "45": {"gasLimit", "0x7b"}, "48": {"baseFeePerGas", "0x7b"}, "4a": {"blobBaseFee", "0x7b"},
		"41": {"feeRecipient", common.Address{19: 123}}, "44": {"prevRandao", word(123)},
	} {
		look := object{nobody.Hex(): object{"code": "0x" + opcode + "5f5260205ff3"}}
		require.NotEqualValues(t, 123, number(t, call(made, look)), c.field)
		require.EqualValues(t, 123, number(t, call(made, look, object{c.field: c.value})), c.field)
	}

	// The list of what a call uses knows of them too, and nothing of all this stays.
	list, err := s.ask("eth_createAccessList", elsewhere, "latest", object{nobody.Hex(): object{"code": hexutil.Bytes(code)}})
	require.NoError(t, err)
	require.Contains(t, string(list), word(2).Hex())
	require.EqualValues(t, 1000, number(t, call(supply)))
	require.Equal(t, `"0x"`, string(call(elsewhere)))
}
