package endpoint

import (
	"context"

	"github.com/ethereum/go-ethereum/rpc"

	"github.com/parley-bft/parley/statemachine/contract"
)

// subscribeAPI are the kinds of eth_subscribe.
type subscribeAPI struct {
	ctx     context.Context // of the server
	machine *contract.Machine
	reads   *contract.API
}

// NewHeads notifies of each block's header.
func (a *subscribeAPI) NewHeads(ctx context.Context) (*rpc.Subscription, error) {
	return a.follow(ctx, "eth_getBlockByNumber", func(notify func(any) error, from, to uint64) error {
		for h := from; h <= to; h++ {
			header, err := a.machine.Header(h)
			if err != nil || header == nil {
				continue // pruned: the subscriber is too slow
			}
			if err := notify(header); err != nil {
				return err
			}
		}
		return nil
	})
}

// Logs notifies of each log that matches.
func (a *subscribeAPI) Logs(ctx context.Context, f contract.Filter) (*rpc.Subscription, error) {
	return a.follow(ctx, "eth_getLogs", func(notify func(any) error, from, to uint64) error {
		logs, _, err := a.reads.Logs(a.ctx, f, from, to)
		if err != nil {
			return nil //nolint:nilerr // too many, or pruned: the subscriber has the logs after them
		}
		for _, l := range logs {
			if err := notify(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// follow calls tell with the heights that came, until the subscriber leaves or may not
// read what the method reads any more.
func (a *subscribeAPI) follow(ctx context.Context, method string, tell func(notify func(any) error, from, to uint64) error) (*rpc.Subscription, error) {
	notifier, ok := rpc.NotifierFromContext(ctx)
	if !ok {
		return nil, rpc.ErrNotificationsUnsupported
	}
	if err := contract.MayRead(a.reads, method); err != nil {
		return nil, err
	}
	at, err := a.machine.Head()
	if err != nil {
		return nil, err
	}
	sub := notifier.CreateSubscription()
	go func() {
		ctx, cancel := context.WithCancel(a.ctx)
		defer cancel()
		go func() {
			select {
			case <-sub.Err():
				cancel()
			case <-ctx.Done():
			}
		}()
		for a.machine.Await(ctx, at+1) == nil {
			head, err := a.machine.Head()
			if err != nil || head <= at || contract.MayRead(a.reads, method) != nil {
				return
			}
			if tell(func(v any) error { return notifier.Notify(sub.ID, v) }, at+1, head) != nil {
				return
			}
			at = head
		}
	}()
	return sub, nil
}
