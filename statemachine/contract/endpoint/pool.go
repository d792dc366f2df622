package endpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/contract"
)

// Errors of transactions that were not sent.
var (
	errFull = errors.New("too many transactions wait at this endpoint: send again later")
	// errReplaced begins with what tools know. Here no price replaces a transaction.
	errReplaced = errors.New("replacement transaction underpriced: another transaction with that nonce is under way, and the first one stays")
	errReadOnly = errors.New("this endpoint only reads")
	errStopped  = errors.New("the endpoint stops")
	errUnknown  = errors.New("the outcome is unknown: the nonce was used, perhaps by this transaction, and this replica has not executed that yet: ask for the receipt later, or send the same bytes again")
)

// pool has transactions ordered: those of one account one after the other, as their
// nonces want it, for the cluster keeps no transaction for which it is too early. An
// account has one request under way at a time; what has come in the meantime shares the
// next one.
type pool struct {
	ctx     context.Context
	cfg     *Config
	sockets *sockets

	mu      sync.Mutex
	senders map[common.Address]*sender
	waiting int
	running sync.WaitGroup
	closed  bool
}

// sender is an account with transactions that wait.
type sender struct {
	address common.Address
	txs     map[uint64]*pending
	busy    bool
}

// pending is a transaction that waits.
type pending struct {
	tx       *types.Transaction
	raw      []byte
	deadline time.Time
	done     chan struct{}
	result   statemachine.Result
	err      error
}

func newPool(ctx context.Context, cfg *Config, s *sockets) *pool {
	return &pool{ctx: ctx, cfg: cfg, sockets: s, senders: make(map[common.Address]*sender)}
}

// send waits until a transaction has been executed. The error is a
// *contract.RejectedError if it was refused, an *access.Refusal if the policy did that;
// there is none if the transaction is in the chain, whether it failed there or not, and
// whoever brought it.
func (p *pool) send(ctx context.Context, raw []byte) (*types.Transaction, error) {
	if p.cfg.Submit == nil {
		return nil, errReadOnly
	}
	tx, from, err := p.cfg.Machine.Decode(raw)
	if err != nil {
		return nil, err
	}
	w := p.started(ctx, raw, tx)
	if w == nil {
		if w, err = p.add(from, tx, raw); err != nil {
			return tx, err
		}
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return tx, ctx.Err()
	}
	switch {
	case w.err != nil:
		return tx, w.err
	case w.result.Code == contract.CodeNonceUsed:
		return tx, p.again(from, tx)
	}
	if r := access.RefusalOf(w.result); r != nil {
		return tx, r
	}
	_, err = contract.DecodeOutcome(w.result)
	return tx, err
}

// again tells why a nonce was used: nil if it was by this very transaction. So it is when
// the sender did not hear of the outcome and sends the same bytes again, and when it gave
// them to endpoints of several replicas, of which one was quicker. A replica that lags, and
// does not know yet what used it, does not say that it was another.
func (p *pool) again(from common.Address, tx *types.Transaction) error {
	// Before the transaction is looked for: with the nonce above, what used it is there.
	nonce, err := p.cfg.Machine.Nonce(from)
	if err != nil {
		return err
	}
	_, ran, err := p.cfg.Machine.Find(tx.Hash())
	switch {
	case err != nil:
		return err
	case p.cfg.notServing() != nil:
		return errUnknown
	case ran:
		return nil
	case nonce <= tx.Nonce():
		return errUnknown
	}
	return &contract.RejectedError{Code: contract.CodeNonceUsed}
}

func (p *pool) add(from common.Address, tx *types.Transaction, raw []byte) (*pending, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.ctx.Err() != nil {
		return nil, errStopped
	}
	s := p.senders[from]
	if s == nil {
		s = &sender{address: from, txs: make(map[uint64]*pending)}
		p.senders[from] = s
	}
	if w := s.txs[tx.Nonce()]; w != nil {
		if w.tx.Hash() == tx.Hash() {
			return w, nil
		}
		return nil, errReplaced
	}
	if p.waiting >= p.cfg.MaxWaiting || len(s.txs) >= p.cfg.MaxWaitingPerSender {
		p.forget(s)
		return nil, errFull
	}
	w := &pending{tx: tx, raw: raw, deadline: time.Now().Add(p.cfg.Gap), done: make(chan struct{})}
	s.txs[tx.Nonce()] = w
	p.waiting++
	p.work(s)
	return w, nil
}

// work lets a goroutine care for the account, unless one does. The lock is held.
func (p *pool) work(s *sender) {
	if s.busy {
		return
	}
	s.busy = true
	p.running.Go(func() { p.serve(s) })
}

// forget drops an account without transactions. The lock is held.
func (p *pool) forget(s *sender) {
	if len(s.txs) == 0 {
		delete(p.senders, s.address)
	}
}

// finish ends the waiting of a transaction. The lock is held.
func (p *pool) finish(s *sender, w *pending, r statemachine.Result, err error) {
	w.result, w.err = r, err
	close(w.done)
	delete(s.txs, w.tx.Nonce())
	p.waiting--
}

// serve sends an account's transactions until none is left, or those that are left have
// waited too long for those before them.
func (p *pool) serve(s *sender) {
	for {
		batch, wait := p.next(s)
		switch {
		case len(batch) > 0:
			p.submit(s, batch)
		case wait == 0:
			return
		default:
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-p.ctx.Done():
			}
			timer.Stop()
		}
	}
}

// pollGap is how often a transaction that is early looks for those before it, which may
// come through another replica.
const pollGap = 20 * time.Millisecond

// next returns the transactions that can go now, or how long to wait for some. With
// neither the account is done.
func (p *pool) next(s *sender) (batch []*pending, wait time.Duration) {
	nonce, err := p.cfg.Machine.Nonce(s.address)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = p.stopped()
	}
	if err == nil { // the nonce that was read may be none of the account's
		err = p.cfg.notServing()
	}
	// Up to there none is missing: these wait for their turn, however long the cluster takes for
	// those before them, or this replica to come here.
	gap := nonce
	for s.txs[gap] != nil {
		gap++
	}
	now := time.Now()
	for n, w := range s.txs {
		switch {
		case err != nil:
			p.finish(s, w, statemachine.Result{}, err)
		case n < nonce:
			p.finish(s, w, statemachine.Reject(contract.CodeNonceUsed, nil), nil)
		case n > gap && now.After(w.deadline):
			p.finish(s, w, statemachine.Reject(contract.CodeNonceAhead, nil), nil)
		}
	}
	size := 0
	for w := s.txs[nonce]; w != nil; w = s.txs[nonce] {
		if size += len(w.raw); size > p.cfg.MaxRequestBytes && len(batch) > 0 {
			break
		}
		batch = append(batch, w)
		nonce++
	}
	switch {
	case len(batch) > 0:
		return batch, 0
	case len(s.txs) > 0:
		return nil, pollGap
	}
	s.busy = false
	p.forget(s)
	return nil, 0
}

func (p *pool) stopped() error {
	if p.ctx.Err() != nil {
		return errStopped
	}
	return nil
}

// submit has transactions executed and tells those who wait.
func (p *pool) submit(s *sender, batch []*pending) {
	ops := make([][]byte, len(batch))
	for i, w := range batch {
		ops[i] = w.raw
	}
	results, err := p.cfg.Submit.SubmitAll(p.ctx, ops)
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("endpoint: %d results for %d transactions", len(results), len(batch))
	}
	if err == nil {
		p.catchUp(s.address, batch, results)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range batch {
		switch {
		case err != nil:
			p.finish(s, w, statemachine.Result{}, err)
		case results[i].Code == contract.CodeBlockFull, results[i].Code == contract.CodeNonceAhead && i > 0:
			// It has changed nothing and may go again; so may what came behind it.
			w.deadline = time.Now().Add(p.cfg.Gap)
		default:
			p.finish(s, w, results[i], nil)
		}
	}
}

// catchUpTime is how long a transaction that the cluster has executed waits for this
// replica to have executed it too, so that who sent it can read what it did.
const catchUpTime = 5 * time.Second

// catchUp waits until this replica knows what the results say. A nonce that was used
// names no height: what used it is executed here once the account's next nonce is above.
func (p *pool) catchUp(from common.Address, batch []*pending, results []statemachine.Result) {
	ctx, cancel := context.WithTimeout(p.ctx, catchUpTime)
	defer cancel()
	for i := len(results) - 1; i >= 0; i-- {
		if o, err := contract.DecodeOutcome(results[i]); err == nil {
			_ = p.cfg.Machine.Await(ctx, o.Height)
			return
		}
		if results[i].Code == contract.CodeNonceUsed {
			p.awaitNonce(ctx, from, batch[i].tx.Nonce()+1)
			return
		}
	}
}

// awaitNonce returns when the next nonce of an account is at least so much here, or ctx
// ends.
func (p *pool) awaitNonce(ctx context.Context, from common.Address, least uint64) {
	for {
		head, err := p.cfg.Machine.Head()
		if err != nil {
			return
		}
		if nonce, err := p.cfg.Machine.Nonce(from); err != nil || nonce >= least {
			return
		}
		if p.cfg.Machine.Await(ctx, head+1) != nil {
			return
		}
	}
}

// wait returns when nothing runs any more.
func (p *pool) wait() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.running.Wait()
}
