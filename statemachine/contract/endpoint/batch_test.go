package endpoint_test

import (
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

type answered struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// sendAll sends transactions in one request of several calls.
func (s *stand) sendAll(method string, edit func(*http.Request), txs ...*types.Transaction) (status int, answers []answered, text string) {
	var calls []map[string]any
	for i, tx := range txs {
		raw, err := tx.MarshalBinary()
		require.NoError(s.t, err)
		calls = append(calls, map[string]any{"jsonrpc": "2.0", "id": i, "method": method, "params": []any{hexutil.Bytes(raw)}})
	}
	b, err := json.Marshal(calls)
	require.NoError(s.t, err)
	status, text = s.post(string(b), edit)
	_ = json.Unmarshal([]byte(text), &answers)
	return status, answers, text
}

// A batch may have an account's transactions in any order, as libraries put it together
// of what was signed at the same time: none waits for one whose turn comes after its own.
func TestBatchInAnyOrder(t *testing.T) {
	s := newStand(t, nil)
	var txs []*types.Transaction
	for range 3 {
		txs = append(txs, s.ann.Send(common.Address{1}, big.NewInt(1), nil), s.ben.Send(common.Address{1}, big.NewInt(1), nil))
	}
	slices.Reverse(txs)
	for _, method := range []string{"eth_sendRawTransaction", "eth_sendRawTransactionSync"} {
		status, answers, text := s.sendAll(method, nil, txs...)
		require.Equal(t, http.StatusOK, status)
		require.Len(t, answers, len(txs), text)
		for i, a := range answers {
			require.Nil(t, a.Error, text)
			require.Equal(t, i, a.ID)
			require.Contains(t, string(a.Result), txs[i].Hash().Hex())
		}
	}
	balance, err := s.BalanceAt(t.Context(), common.Address{1}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(len(txs)), balance.Int64())
}

// Each call of a batch has an answer of its own, and one that fails is sent once.
func TestBatchWithFailures(t *testing.T) {
	s := newStand(t, nil)
	good := s.ann.Send(common.Address{1}, big.NewInt(1), nil)
	poor := contracttest.NewWallet(contract.DevChainID, "poor").Send(common.Address{1}, big.NewInt(1), nil)
	foreign := contracttest.NewWallet(contract.DevChainID+1, "ann").Send(common.Address{1}, nil, nil)
	next := s.ann.Send(common.Address{1}, big.NewInt(1), nil)
	runs := make(map[string]int)
	s.order.before = func(ops [][]byte) error {
		for _, op := range ops {
			runs[string(op)]++
		}
		return nil
	}
	_, answers, text := s.sendAll("eth_sendRawTransaction", nil, next, poor, foreign, good, good)
	require.Len(t, answers, 5, text)
	for i, want := range []string{"", "insufficient funds", "not for this chain", "", ""} {
		if want == "" {
			require.Nil(t, answers[i].Error, text)
			continue
		}
		require.NotNil(t, answers[i].Error, text)
		require.Equal(t, -32003, answers[i].Error.Code)
		require.Contains(t, answers[i].Error.Message, want)
	}
	require.Len(t, runs, 3)
	for _, n := range runs {
		require.Equal(t, 1, n)
	}
}

// A batch that is refused as such has sent nothing.
func TestBatchThatIsRefused(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.MaxBatch, c.MaxBodyBytes = 2, 1000 })
	w := contracttest.NewWallet(contract.DevChainID, "ann")
	small := []*types.Transaction{w.Send(common.Address{1}, nil, nil), w.Send(common.Address{1}, nil, nil)}
	status, _, _ := s.sendAll("eth_sendRawTransaction", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, small...)
	require.Equal(t, http.StatusUnsupportedMediaType, status)
	status, _, _ = s.sendAll("eth_sendRawTransaction", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, small...)
	require.Equal(t, http.StatusForbidden, status)
	_, _, text := s.sendAll("eth_sendRawTransaction", nil, append(small, w.Send(common.Address{1}, nil, nil))...)
	require.Contains(t, text, "batch too large")
	large := w.Send(common.Address{1}, nil, make([]byte, 2000))
	status, _, _ = s.sendAll("eth_sendRawTransaction", nil, small[0], large)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	status, _, _ = s.sendAll("eth_sendRawTransaction", func(r *http.Request) { r.ContentLength = -1 }, small[0], large)
	require.Equal(t, http.StatusOK, status, "what is too long is cut off, and no JSON then")
	require.Zero(t, s.order.calls)
	nonce, err := s.NonceAt(t.Context(), w.Address, nil)
	require.NoError(t, err)
	require.Zero(t, nonce)
}

// So it is over a WebSocket, where batches are under way beside each other.
func TestBatchInAnyOrderOverSocket(t *testing.T) {
	s := newStand(t, nil)
	c := s.socket().Client()
	var calls []rpc.BatchElem
	var want []common.Hash
	for range 3 {
		for _, w := range []*contracttest.Wallet{s.ann, s.ben} {
			tx := w.Send(common.Address{1}, big.NewInt(1), nil)
			raw, err := tx.MarshalBinary()
			require.NoError(t, err)
			calls = append(calls, rpc.BatchElem{Method: "eth_sendRawTransaction", Args: []any{hexutil.Bytes(raw)}, Result: new(common.Hash)})
			want = append(want, tx.Hash())
		}
	}
	slices.Reverse(calls)
	slices.Reverse(want)
	// The later half is a batch of its own, and is sent first.
	early := calls[:3]
	done := make(chan error, 1)
	go func() { done <- c.BatchCallContext(t.Context(), early) }()
	require.NoError(t, c.BatchCallContext(t.Context(), calls[3:]))
	require.NoError(t, <-done)
	for i, call := range calls {
		require.NoError(t, call.Error)
		require.Equal(t, want[i], *call.Result.(*common.Hash))
	}
	balance, err := s.BalanceAt(t.Context(), common.Address{1}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(len(want)), balance.Int64())
}

// A frame that is no JSON is answered, and not completed by the next one.
func TestBrokenFrames(t *testing.T) {
	s := newStand(t, nil)
	ws, answer, err := websocket.DefaultDialer.Dial(s.socketURL(), nil)
	require.NoError(t, err)
	defer ws.Close()
	defer answer.Body.Close()
	require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"method":"eth_`)))
	require.NoError(t, ws.WriteMessage(websocket.TextMessage, []byte(`chainId","params":[]}`)))
	_, text, err := ws.ReadMessage()
	require.NoError(t, err)
	require.Contains(t, string(text), "-32700")
	_, _, err = ws.ReadMessage()
	require.Error(t, err)
}
