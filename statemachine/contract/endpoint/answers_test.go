package endpoint_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// ask calls a method and returns what it answers, as it is.
func (s *stand) ask(method string, params ...any) (json.RawMessage, error) {
	var out json.RawMessage
	err := s.Client.Client().CallContext(s.t.Context(), &out, method, params...)
	return out, err
}

// The time that a sender gives for its receipt is a number (viem, ethclient) or hex, and
// once it is over the answer is EIP-7966's, with the hash to ask for.
func TestPatienceForAReceipt(t *testing.T) {
	s := newStand(t, nil)
	for _, patience := range []any{60_000, "60000", "0xea60", nil} {
		raw, err := s.ann.Send(common.Address{1}, nil, nil).MarshalBinary()
		require.NoError(t, err)
		receipt, err := s.ask("eth_sendRawTransactionSync", hexutil.Bytes(raw), patience)
		require.NoError(t, err, patience)
		require.Contains(t, string(receipt), `"status":"0x1"`)
	}
	hour := time.Hour - time.Second
	_, err := s.SendTransactionSync(t.Context(), s.ann.Send(common.Address{1}, nil, nil), &hour)
	require.NoError(t, err)

	leave := make(chan struct{})
	s.order.before = func([][]byte) error { <-leave; return nil }
	tx := s.ann.Send(common.Address{1}, nil, nil)
	short := time.Millisecond
	_, err = s.SendTransactionSync(t.Context(), tx, &short)
	close(leave)
	var coded rpc.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, 4, coded.ErrorCode())
	var data rpc.DataError
	require.ErrorAs(t, err, &data)
	require.Equal(t, tx.Hash().Hex(), data.ErrorData())
	require.NoError(t, s.SendTransaction(t.Context(), tx), "the same again, which waits for the first")
}

// Errors have the words by which ethers.js and viem tell what is wrong.
func TestWordsOfRefusals(t *testing.T) {
	s := newStand(t, nil)
	unprotected, err := types.SignNewTx(s.ann.Key, types.HomesteadSigner{}, &types.LegacyTx{Gas: 21000, To: &common.Address{1}})
	require.NoError(t, err)
	err = s.SendTransaction(t.Context(), unprotected)
	require.ErrorContains(t, err, "only replay-protected (EIP-155) transactions")
	var coded rpc.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, -32003, coded.ErrorCode())
}

// What a transaction and its block say beside what ethclient reads.
func TestTransactionFields(t *testing.T) {
	s := newStand(t, nil)
	tx := s.ann.Send(common.Address{1}, nil, nil)
	require.NoError(t, s.SendTransaction(t.Context(), tx))
	header, err := s.HeaderByNumber(t.Context(), nil)
	require.NoError(t, err)
	for method, params := range map[string][]any{
		"eth_getTransactionByHash":                {tx.Hash()},
		"eth_getTransactionByBlockHashAndIndex":   {header.Hash(), "0x0"},
		"eth_getTransactionByBlockNumberAndIndex": {"latest", "0x0"},
	} {
		got, err := s.ask(method, params...)
		require.NoError(t, err)
		require.Contains(t, string(got), `"blockTimestamp":"`+hexutil.EncodeUint64(header.Time)+`"`, method)
	}
	got, err := s.ask("eth_getBlockByNumber", "latest", true)
	require.NoError(t, err)
	require.Contains(t, string(got), `"blockTimestamp":"`+hexutil.EncodeUint64(header.Time)+`"`)

	var raw hexutil.Bytes
	require.NoError(t, s.Client.Client().CallContext(t.Context(), &raw, "eth_getRawTransactionByHash", tx.Hash()))
	sent, err := tx.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, sent, []byte(raw))
	got, err = s.ask("eth_getRawTransactionByHash", common.Hash{1})
	require.NoError(t, err)
	require.Equal(t, `"0x"`, string(got), "as in geth")
}

// A legacy transaction and its receipt have a type, as the others do, and what is not of
// their type or fork is left out instead of null, which strict readers take for a value.
func TestFieldsOfALegacyTransaction(t *testing.T) {
	s := newStand(t, nil)
	tx := s.ann.Sign(&types.LegacyTx{Gas: 21000, To: &common.Address{1}})
	require.NoError(t, s.SendTransaction(t.Context(), tx))
	for method, params := range map[string][]any{
		"eth_getTransactionByHash": {tx.Hash()}, "eth_getTransactionReceipt": {tx.Hash()}, "eth_getBlockByNumber": {"latest", true},
	} {
		got, err := s.ask(method, params...)
		require.NoError(t, err)
		require.Contains(t, string(got), `"type":"0x0"`, method)
		text := strings.ReplaceAll(string(got), `"contractAddress":null`, "") // as everywhere
		require.NotContains(t, text, "null", method)
	}
	deploy, _ := s.ann.Deploy(contracttest.Load("Hostile").Deploy())
	deploy = s.ann.Sign(&types.LegacyTx{Nonce: 1, Gas: deploy.Gas(), Data: deploy.Data()})
	require.NoError(t, s.SendTransaction(t.Context(), deploy))
	for _, method := range []string{"eth_getTransactionByHash", "eth_getTransactionReceipt"} {
		got, err := s.ask(method, deploy.Hash())
		require.NoError(t, err)
		require.Contains(t, string(got), `"to":null`, method)
	}
}

// An estimate is exact where that is known beforehand, and names the want of funds.
func TestEstimatesOfTransfers(t *testing.T) {
	s := newStand(t, func(g *contract.Genesis, _ *endpoint.Config) { g.BaseFee = 7 })
	transfer := map[string]any{"from": s.ann.Address, "to": common.Address{0xbe}, "value": "0x1"}
	got, err := s.ask("eth_estimateGas", transfer)
	require.NoError(t, err)
	require.Equal(t, `"0x5208"`, string(got))
	transfer["accessList"] = types.AccessList{{Address: common.Address{1}, StorageKeys: []common.Hash{}}}
	got, err = s.ask("eth_estimateGas", transfer)
	require.NoError(t, err)
	require.Greater(t, string(got), `"0x5b68"`, "the list costs 2400, and its share of the margin")
	for _, value := range []string{"0x0", "0x1"} {
		_, err = s.ask("eth_estimateGas", map[string]any{"from": common.Address{0xaa}, "to": common.Address{0xbe}, "value": value, "maxFeePerGas": "0x7"})
		require.ErrorContains(t, err, "insufficient funds for transfer")
	}
}

// A number of blocks may be written as one, as in geth, and there is a price of blobs.
func TestFeeHistoryForms(t *testing.T) {
	s := newStand(t, func(g *contract.Genesis, _ *endpoint.Config) { g.BaseFee = 7 })
	for _, n := range []any{1, "1", "0x1"} {
		got, err := s.ask("eth_feeHistory", n, "latest", []float64{})
		require.NoError(t, err, n)
		require.JSONEq(t, `{"oldestBlock":"0x0","baseFeePerGas":["0x7","0x7"],"gasUsedRatio":[0],"baseFeePerBlobGas":["0x1","0x1"],"blobGasUsedRatio":[0]}`, string(got))
	}
}

// A call that means another chain is refused: its answer would be one of a question that
// nobody asked.
func TestCallsOfAnotherChain(t *testing.T) {
	s := newStand(t, nil)
	for _, method := range []string{"eth_call", "eth_estimateGas", "eth_createAccessList"} {
		_, err := s.ask(method, map[string]any{"to": common.Address{1}, "chainId": "0x7"}, "latest")
		require.ErrorContains(t, err, "chainId does not match node's (have=7, want=1337)", method)
		_, err = s.ask(method, map[string]any{"to": common.Address{1}, "chainId": "0x539"}, "latest")
		require.NoError(t, err, method)
	}
}

// The list of what a call uses has the words that it reads, and makes it as cheap as it says.
func TestAccessList(t *testing.T) {
	s := newStand(t, nil)
	coin := contracttest.Load("Coin")
	deploy, at := s.ann.Deploy(coin.Deploy(big.NewInt(1000)))
	require.NoError(t, s.SendTransaction(t.Context(), deploy))
	call := map[string]any{"from": s.ann.Address, "to": at, "data": hexutil.Bytes(coin.Call("transfer", s.ben.Address, big.NewInt(3)))}
	type answer struct {
		AccessList types.AccessList `json:"accessList"`
		GasUsed    hexutil.Uint64   `json:"gasUsed"`
		Error      string           `json:"error"`
	}
	var got answer
	require.NoError(t, s.Client.Client().CallContext(t.Context(), &got, "eth_createAccessList", call))
	require.Empty(t, got.Error)
	require.Len(t, got.AccessList, 1, "the coin, and neither the sender nor what is built in")
	require.Equal(t, at, got.AccessList[0].Address)
	require.Len(t, got.AccessList[0].StorageKeys, 2, "two balances")
	tx := s.ann.Sign(&types.AccessListTx{
		ChainID: big.NewInt(contract.DevChainID), Nonce: 1, Gas: uint64(got.GasUsed), To: &at,
		Data: coin.Call("transfer", s.ben.Address, big.NewInt(3)), AccessList: got.AccessList,
	})
	receipt, err := s.SendTransactionSync(t.Context(), tx, nil)
	require.NoError(t, err)
	require.Equal(t, types.ReceiptStatusSuccessful, receipt.Status)
	require.Equal(t, uint64(got.GasUsed), receipt.GasUsed)

	// One that fails has a list all the same, and says why.
	call["data"] = hexutil.Bytes(coin.Call("transfer", s.ben.Address, big.NewInt(1e9)))
	require.NoError(t, s.Client.Client().CallContext(t.Context(), &got, "eth_createAccessList", call, "latest"))
	require.Equal(t, "execution reverted", got.Error)
	require.Len(t, got.AccessList[0].StorageKeys, 1)
}

// Who asks for transactions that wait is told of none, and not that there is no such news.
func TestPendingTransactionsOverSockets(t *testing.T) {
	s := newStand(t, nil)
	ws := s.socket()
	news, heads := make(chan common.Hash, 10), make(chan *types.Header, 10)
	sub, err := ws.Client().EthSubscribe(t.Context(), news, "newPendingTransactions")
	require.NoError(t, err)
	defer sub.Unsubscribe()
	h, err := ws.SubscribeNewHead(t.Context(), heads)
	require.NoError(t, err)
	defer h.Unsubscribe()
	require.NoError(t, s.SendTransaction(t.Context(), s.ann.Send(common.Address{1}, nil, nil)))
	<-heads
	require.Empty(t, news)
	_, err = s.ask("eth_subscribe", "newPendingTransactions")
	require.ErrorContains(t, err, "notifications not supported", "over HTTP")
}
