package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/ethereum/go-ethereum/rpc"

	"github.com/parley-bft/parley/statemachine/store"
)

// MaxQueryBytes is the length of the longest query.
const MaxQueryBytes = 1 << 20

// maxAnswerBytes bounds an answer: a megabyte travels in one message everywhere.
const maxAnswerBytes = 1 << 20

// maxQueryBatch bounds the calls of one query. go-ethereum's server keeps the answers of a
// batch until all are there, and has no bound of its own.
const maxQueryBatch = 64

var errQuery = errors.New("malformed query")

// Query answers a request of JSON-RPC, such as
//
//	{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x...","latest"]}
//
// from the last state, which is the only one that it knows. Replicas with the same state
// give the same answer, byte for byte, so that a client can compare several.
func (h *handler) Query(ctx context.Context, r store.Reader, q []byte) ([]byte, error) {
	if len(q) > MaxQueryBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errQuery, len(q), MaxQueryBytes)
	}
	api := *h.queries
	api.source = only{r}
	server := rpc.NewServer()
	server.SetBatchLimits(maxQueryBatch, maxAnswerBytes)
	defer server.Stop()
	if err := server.RegisterName("eth", &api); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(q))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	w := &answer{header: make(http.Header)}
	server.ServeHTTP(w, req)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case w.status != 0 && w.status != http.StatusOK:
		return nil, fmt.Errorf("%w: %s", errQuery, bytes.TrimSpace(w.body.Bytes()))
	case w.body.Len() > maxAnswerBytes:
		return nil, fmt.Errorf("answer has %d bytes, at most %d: ask for less", w.body.Len(), maxAnswerBytes)
	}
	return bytes.TrimSpace(w.body.Bytes()), nil
}

// answer takes what a handler of HTTP writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answer) Header() http.Header         { return w.header }
func (w *answer) WriteHeader(status int)      { w.status = status }
func (w *answer) Write(b []byte) (int, error) { return w.body.Write(b) }
