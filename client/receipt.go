package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/statemachine"
)

// Receipt returns the proof of an operation's result, checked: it verifies against
// the roster and is about ref. With op, which must be the operation, the receipt
// contains the whole request that the operation was part of, and so shows and proves
// the operation; if op is nil, it contains no more than the request's digest.
//
// Receipts exist once a checkpoint covers the operation's block, normally within
// milliseconds; Receipt waits for that as long as ctx permits. ErrNoReceipt says
// that every replica that answered has discarded what it is made of, or never
// heard of it.
func (c *Client) Receipt(ctx context.Context, ref Ref, op []byte) (*receipt.Receipt, error) {
	pause := c.cfg.BackoffMin
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var problems []string
		final := 0
		for i := range c.links {
			l := c.links[(i+int(ref.Request[0]))%len(c.links)] // not all start with the same one
			r, none, err := c.receiptFrom(ctx, l, ref, op)
			switch {
			case err == nil && r != nil:
				return r, nil
			case ctx.Err() != nil:
				return nil, fmt.Errorf("receipt: %w", context.Cause(ctx))
			case none:
				final++
			}
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s: %v", l.name, err))
			}
		}
		if final == len(c.links) {
			return nil, fmt.Errorf("%w: %s", ErrNoReceipt, strings.Join(problems, "; "))
		}
		timer.Reset(jitter(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("receipt: %w; %s", context.Cause(ctx), strings.Join(problems, "; "))
		case <-c.ctx.Done():
			return nil, ErrClosed
		}
		pause = min(2*pause, receiptPause)
	}
}

// receiptPause is the longest pause between two rounds: under load a replica that
// keeps few blocks discards one soon after it is certified.
const receiptPause = 200 * time.Millisecond

// receiptTimeout bounds how long one replica can keep us waiting.
const receiptTimeout = 5 * time.Second

// receiptFrom asks one replica. none says that asking it again is no use.
func (c *Client) receiptFrom(ctx context.Context, l *link, ref Ref, op []byte) (r *receipt.Receipt, none bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, receiptTimeout)
	defer cancel()
	m, err := l.line.api.Receipt(ctx, &api.ReceiptRequest{Height: uint64(ref.Height), Request: ref.Request[:], Operation: uint32(ref.Op)},
		grpc.MaxCallRecvMsgSize(2*maxReceive)) // the result and the request
	if err != nil {
		return nil, false, err
	}
	switch m.State {
	case api.ReceiptResponse_STATE_FOUND:
	case api.ReceiptResponse_STATE_PRUNED:
		return nil, true, errors.New("it has discarded the block (how many it keeps: receiptBlocks in its replica.json)")
	case api.ReceiptResponse_STATE_UNKNOWN:
		return nil, true, errors.New("no such result")
	default:
		return nil, false, nil
	}
	// Whatever does not check comes from a faulty replica: another may do.
	if r, err = receipt.Decode(m.Receipt); err != nil {
		return nil, true, err
	}
	// A request that ran may stand in the same block once more, as a duplicate of itself.
	if r.Request != ref.Request || r.Height != ref.Height || uint64(r.Index) != uint64(ref.Op) || r.Status != statemachine.Executed {
		return nil, true, errors.New("a receipt of something else")
	}
	if op == nil {
		r = r.WithoutRequest()
	} else if err := r.CheckOperation(op); err != nil {
		return nil, true, err
	}
	if err := receipt.Verify(c.cfg.Roster, r); err != nil {
		return nil, true, err
	}
	return r, false, nil
}
