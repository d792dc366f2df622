package endpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/rpc"

	"github.com/parley-bft/parley/statemachine/contract"
)

var errInterrupted = errors.New(cutReason)

// subscribeAPI are the kinds of eth_subscribe.
type subscribeAPI struct {
	ctx     context.Context // of the server
	cfg     *Config
	reads   *contract.API
	sockets *sockets

	mu   sync.Mutex
	open map[*rpc.Client]int // subscriptions of each connection that has any
}

func newSubscribeAPI(ctx context.Context, cfg *Config, reads *contract.API, s *sockets) *subscribeAPI {
	return &subscribeAPI{ctx: ctx, cfg: cfg, reads: reads, sockets: s, open: make(map[*rpc.Client]int)}
}

// enter counts a subscription of the connection that a call came over; whoever ends it
// calls leave. Package rpc bounds nothing here.
func (a *subscribeAPI) enter(ctx context.Context) (leave func(), err error) {
	c, ok := rpc.ClientFromContext(ctx)
	if !ok {
		return nil, rpc.ErrNotificationsUnsupported
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[c] >= a.cfg.MaxSubscriptions {
		return nil, fmt.Errorf("the connection has %d subscriptions, as many as it may have: end some with eth_unsubscribe", a.open[c])
	}
	a.open[c]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.open[c]--; a.open[c] == 0 {
			delete(a.open, c)
		}
	}, nil
}

// NewHeads notifies of each block's header.
func (a *subscribeAPI) NewHeads(ctx context.Context) (*rpc.Subscription, error) {
	return a.follow(ctx, "eth_getBlockByNumber", a.tellHeads)
}

func (a *subscribeAPI) tellHeads(notify func(any) error, from, to uint64) error {
	for h := from; h <= to; h++ {
		header, err := a.cfg.header(h)
		if err != nil {
			return err
		}
		if err := notify(header); err != nil {
			return err
		}
	}
	return nil
}

// Logs notifies of each log that matches.
func (a *subscribeAPI) Logs(ctx context.Context, f contract.Filter) (*rpc.Subscription, error) {
	return a.follow(ctx, "eth_getLogs", func(notify func(any) error, from, to uint64) error {
		return a.tellLogs(f, notify, from, to)
	})
}

// tellLogs notifies of the logs of some blocks, of as many at once as one answer may be
// about. The error is why those of a block cannot be told.
func (a *subscribeAPI) tellLogs(f contract.Filter, notify func(any) error, from, to uint64) error {
	for from <= to {
		logs, next, err := a.reads.Logs(a.ctx, f, from, to)
		switch {
		case err != nil:
			return err
		case next == from: // the state is an earlier one
			return errInterrupted
		}
		for _, l := range logs {
			if err := notify(l); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// NewPendingTransactions notifies of nothing: a transaction that waits here is nobody's
// business before it has run. Clients that ask for such news have no use for an error.
func (a *subscribeAPI) NewPendingTransactions(ctx context.Context, _ *bool) (*rpc.Subscription, error) {
	notifier, ok := rpc.NotifierFromContext(ctx)
	if !ok {
		return nil, rpc.ErrNotificationsUnsupported
	}
	leave, err := a.enter(ctx)
	if err != nil {
		return nil, err
	}
	sub := notifier.CreateSubscription()
	go func() {
		defer leave()
		select {
		case <-sub.Err():
		case <-a.ctx.Done():
		}
	}()
	return sub, nil
}

// follow calls tell with the heights that came, until the subscriber leaves. If it may not
// read what the method reads any more, if something of a height cannot be told, or the state
// is another one, its connection ends with the reason: no notification says that one of many
// subscriptions has ended, and whoever hears of later blocks takes it that there was nothing
// in the earlier ones.
func (a *subscribeAPI) follow(ctx context.Context, method string, tell func(notify func(any) error, from, to uint64) error) (*rpc.Subscription, error) {
	notifier, ok := rpc.NotifierFromContext(ctx)
	if !ok {
		return nil, rpc.ErrNotificationsUnsupported
	}
	if err := contract.MayRead(a.reads, method); err != nil {
		return nil, err
	}
	interrupted, err := a.cfg.steady()
	if err != nil {
		return nil, err
	}
	at, err := a.cfg.Machine.Head()
	if err != nil {
		return nil, err
	}
	leave, err := a.enter(ctx)
	if err != nil {
		return nil, err
	}
	sub := notifier.CreateSubscription()
	socket := a.sockets.of(ctx)
	go func() {
		defer leave()
		ctx, cancel := context.WithCancel(a.ctx)
		defer cancel()
		go func() {
			select {
			case <-sub.Err():
				cancel()
			case <-interrupted:
				cancel()
			case <-ctx.Done():
			}
		}()
		// Asked after the state was read: what is told was read before it became another.
		notify := func(v any) error {
			if over(interrupted) || a.cfg.notServing() != nil {
				return errInterrupted
			}
			return notifier.Notify(sub.ID, v)
		}
		for a.cfg.Machine.Await(ctx, at+1) == nil {
			head, err := a.cfg.Machine.Head()
			switch {
			case err != nil:
			case head <= at:
				err = errInterrupted
			default:
				if err = contract.MayRead(a.reads, method); err == nil {
					err = tell(notify, at+1, head)
				}
			}
			if err != nil {
				socket.end(err.Error())
				return
			}
			at = head
		}
	}()
	return sub, nil
}
