package endpoint

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// batch is the transactions of a request of several calls. Its calls are answered one
// after the other, and a call that sends waits until its transaction has run. So one that
// comes before the transaction of the nonce below its own would wait in vain:
//
//  1. A program sends two transactions at once. Its library signs the second one sooner,
//     and puts what came within a few milliseconds into one batch (as ethers.js does).
//  2. The first call waits for the transaction that the second call has.
//  3. The second call waits for its turn.
//
// Thus the first call that sends has all of the batch begin.
type batch struct {
	once    sync.Once
	raw     []hexutil.Bytes
	size    int // of these together
	started map[common.Hash]*pending
	left    int // of a socket's: so many have not been asked for
}

// batchOf returns the batch of a request; nil if it does not send several transactions.
func (c *Config) batchOf(request []byte) *batch {
	b := &batch{raw: sends(request, c.MaxBatch)}
	if len(b.raw) < 2 {
		return nil
	}
	for _, raw := range b.raw {
		b.size += len(raw)
	}
	b.left = len(b.raw)
	return b
}

type batchKey struct{}

// noteBatch lets calls of a batch find the transactions of the others. A request that is
// no batch, or no request, is left to whoever answers it.
func (c *Config) noteBatch(r *http.Request) *http.Request {
	if r.Method != http.MethodPost || r.ContentLength > int64(c.MaxBodyBytes) {
		return r
	}
	in := bufio.NewReader(r.Body)
	if first, err := firstByte(in); err != nil || first != '[' {
		r.Body = body{in, r.Body}
		return r
	}
	all, err := io.ReadAll(io.LimitReader(in, int64(c.MaxBodyBytes)+1)) // by which it is too long
	r.Body = body{io.MultiReader(bytes.NewReader(all), failing{err}, in), r.Body}
	if err != nil || len(all) > c.MaxBodyBytes {
		return r
	}
	b := c.batchOf(all)
	if b == nil {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), batchKey{}, b))
}

// body is what is left of a request's.
type body struct {
	io.Reader
	io.Closer
}

// failing is a reader that ends with an error, or without any.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// firstByte returns the first byte that is no space, if there are not very many of these.
// All are left where they are.
func firstByte(in *bufio.Reader) (byte, error) {
	for n := 1; ; n++ {
		begin, err := in.Peek(n)
		if err != nil {
			return 0, err
		}
		if c := begin[n-1]; !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, nil
		}
	}
}

// sends are the transactions that a batch of at most so many calls sends.
func sends(request []byte, most int) []hexutil.Bytes {
	var calls []json.RawMessage
	if json.Unmarshal(request, &calls) != nil || len(calls) > most {
		return nil
	}
	var out []hexutil.Bytes
	for _, call := range calls {
		var c struct {
			Method string            `json:"method"`
			Params []json.RawMessage `json:"params"`
		}
		if json.Unmarshal(call, &c) != nil || len(c.Params) == 0 {
			continue
		}
		if c.Method != "eth_sendRawTransaction" && c.Method != "eth_sendRawTransactionSync" {
			continue
		}
		var raw hexutil.Bytes
		if json.Unmarshal(c.Params[0], &raw) == nil {
			out = append(out, raw)
		}
	}
	return out
}

// note remembers the batch that a frame is, for its calls to find: package rpc gives those
// of a WebSocket no context of their own. Batches that never were answered to the end stay
// behind, so of all together there is no more than one frame may have; the calls of what
// had to go begin by themselves.
func (c *socket) note(frame []byte) {
	if !bytes.HasPrefix(bytes.TrimLeft(frame, " \t\r\n"), []byte("[")) {
		return
	}
	b := c.cfg.batchOf(frame)
	if b == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted = append(c.noted, b)
	c.size += b.size
	for c.size > c.cfg.MaxBodyBytes || len(c.noted) > maxNoted {
		c.size -= c.noted[0].size
		c.noted = slices.Delete(c.noted, 0, 1)
	}
}

// maxNoted is how many batches of one socket are remembered at once.
const maxNoted = 100

// take returns the batch of which a transaction is, or nil. Each of a batch's is asked for
// once: then it is forgotten.
func (c *socket) take(raw []byte) *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range c.noted {
		if !slices.ContainsFunc(b.raw, func(r hexutil.Bytes) bool { return bytes.Equal(r, raw) }) {
			continue
		}
		if b.left--; b.left == 0 {
			c.size -= b.size
			c.noted = slices.Delete(c.noted, i, i+1)
		}
		return b
	}
	return nil
}

// batchFor returns the batch that a transaction came in, or nil.
func (p *pool) batchFor(ctx context.Context, raw []byte) *batch {
	if b, ok := ctx.Value(batchKey{}).(*batch); ok {
		return b
	}
	if c := p.sockets.of(ctx); c != nil {
		return c.take(raw)
	}
	return nil
}

// started returns a transaction that has begun to wait together with its batch, or nil.
// Only a call that is answered comes here: not before a request has been found in order.
func (p *pool) started(ctx context.Context, raw []byte, tx *types.Transaction) *pending {
	b := p.batchFor(ctx, raw)
	if b == nil {
		return nil
	}
	b.once.Do(func() { b.started = p.addAll(b.raw) })
	return b.started[tx.Hash()]
}

// addAll has transactions wait, in the order of their nonces, so that those of an account
// for which there is no room are its last ones. What cannot wait is left to its own call.
func (p *pool) addAll(raws []hexutil.Bytes) map[common.Hash]*pending {
	type signed struct {
		raw  []byte
		tx   *types.Transaction
		from common.Address
	}
	var all []signed
	for _, raw := range raws {
		if tx, from, err := p.cfg.Machine.Decode(raw); err == nil {
			all = append(all, signed{raw, tx, from})
		}
	}
	slices.SortStableFunc(all, func(a, b signed) int { return cmp.Compare(a.tx.Nonce(), b.tx.Nonce()) })
	out := make(map[common.Hash]*pending, len(all))
	full := make(map[common.Address]bool)
	for _, s := range all {
		if full[s.from] {
			continue
		}
		w, err := p.add(s.from, s.tx, s.raw)
		if err == nil {
			out[s.tx.Hash()] = w
		}
		full[s.from] = errors.Is(err, errFull)
	}
	return out
}
