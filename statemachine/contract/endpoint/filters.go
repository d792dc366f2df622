package endpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/parley-bft/parley/statemachine/contract"
)

// filterAPI has the filters that clients install and ask for what is new.
type filterAPI struct {
	cfg   *Config
	reads *contract.API

	mu      sync.Mutex
	filters map[rpc.ID]*filter
}

// filter is one of them. Nothing is kept for it but where it has got to.
type filter struct {
	logs   *contract.Filter // nil: hashes of blocks
	silent bool             // of transactions that wait: there is never anything
	next   uint64           // the first block that was not asked for
	used   time.Time
	// interrupted is closed once the blocks below next may be others than it was told.
	interrupted <-chan struct{}
}

func newFilterAPI(cfg *Config, reads *contract.API) *filterAPI {
	return &filterAPI{cfg: cfg, reads: reads, filters: make(map[rpc.ID]*filter)}
}

var (
	errNoFilter   = errors.New("filter not found")
	errStale      = fmt.Errorf("%w: %s", errNoFilter, cutReason)
	errManyFilter = errors.New("too many filters: uninstall some")
)

func (a *filterAPI) install(f *filter) (rpc.ID, error) {
	var err error
	if f.interrupted, err = a.cfg.steady(); err != nil {
		return "", err
	}
	head, err := a.reads.BlockNumber()
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if len(a.filters) >= a.cfg.MaxFilters {
		for id, old := range a.filters {
			if now.Sub(old.used) > a.cfg.FilterLife {
				delete(a.filters, id)
			}
		}
	}
	if len(a.filters) >= a.cfg.MaxFilters {
		return "", errManyFilter
	}
	f.next, f.used = uint64(head)+1, now
	id := rpc.NewID()
	a.filters[id] = f
	return id, nil
}

// NewFilter is eth_newFilter.
func (a *filterAPI) NewFilter(f contract.Filter) (rpc.ID, error) {
	if f.BlockHash != nil {
		return "", errors.New("a filter for what is new has no blockHash")
	}
	return a.install(&filter{logs: &f})
}

// NewBlockFilter is eth_newBlockFilter.
func (a *filterAPI) NewBlockFilter() (rpc.ID, error) { return a.install(&filter{}) }

// NewPendingTransactionFilter is eth_newPendingTransactionFilter.
func (a *filterAPI) NewPendingTransactionFilter(*bool) (rpc.ID, error) {
	return a.install(&filter{silent: true})
}

// UninstallFilter is eth_uninstallFilter.
func (a *filterAPI) UninstallFilter(id rpc.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.filters[id]
	delete(a.filters, id)
	return ok
}

// GetFilterLogs is eth_getFilterLogs: all logs that the filter wants.
func (a *filterAPI) GetFilterLogs(ctx context.Context, id rpc.ID) ([]*types.Log, error) {
	f, _, err := a.use(id)
	switch {
	case err != nil:
		return nil, err
	case f.logs == nil:
		return nil, errNoFilter
	}
	return a.reads.GetLogs(ctx, *f.logs)
}

// use returns a filter and the first block that it was not asked for.
func (a *filterAPI) use(id rpc.ID) (f *filter, from uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f = a.filters[id]
	switch {
	case f == nil:
		return nil, 0, errNoFilter
	case over(f.interrupted):
		delete(a.filters, id)
		return nil, 0, errStale
	}
	f.used = time.Now()
	return f, f.next, nil
}

// GetFilterChanges is eth_getFilterChanges: what is new since the last call.
func (a *filterAPI) GetFilterChanges(ctx context.Context, id rpc.ID) (any, error) {
	f, from, err := a.use(id)
	switch {
	case err != nil:
		return nil, err
	case f.silent:
		return []common.Hash{}, nil
	case f.logs != nil:
		return a.newLogs(ctx, id, f, from)
	}
	return a.newBlocks(id, f, from)
}

func (a *filterAPI) advance(f *filter, next uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f.next = max(f.next, next)
}

// lost uninstalls a filter that cannot go on, since what comes next is not to be read any
// more, or never. Other errors may pass, and the next call begins where this one did.
func (a *filterAPI) lost(id rpc.ID, err error) error {
	if !errors.Is(err, contract.ErrForgotten) && !errors.Is(err, contract.ErrManyLogs) {
		return err
	}
	a.UninstallFilter(id)
	return fmt.Errorf("%w any more: %w", errNoFilter, err)
}

// newLogs are those of as many blocks as one answer may be about; the rest comes with the
// next.
func (a *filterAPI) newLogs(ctx context.Context, id rpc.ID, f *filter, from uint64) (any, error) {
	to := ^uint64(0)
	if f.logs.From != nil && *f.logs.From >= 0 {
		from = max(from, uint64(*f.logs.From))
	}
	if f.logs.To != nil && *f.logs.To >= 0 {
		to = uint64(*f.logs.To)
	}
	logs, next, err := a.reads.Logs(ctx, *f.logs, from, to)
	if err != nil {
		return nil, a.lost(id, err)
	}
	a.advance(f, next)
	if logs == nil {
		logs = []*types.Log{}
	}
	return logs, nil
}

// header is that of a block up to the head.
func (c *Config) header(height uint64) (*types.Header, error) {
	header, err := c.Machine.Header(height)
	if err == nil && header == nil {
		err = fmt.Errorf("block %d is %w", height, contract.ErrForgotten)
	}
	return header, err
}

// maxHashes bounds one answer about blocks; the rest comes with the next.
const maxHashes = 10_000

func (a *filterAPI) newBlocks(id rpc.ID, f *filter, from uint64) (any, error) {
	if err := contract.MayRead(a.reads, "eth_getBlockByNumber"); err != nil {
		return nil, err
	}
	head, err := a.reads.BlockNumber()
	if err != nil {
		return nil, err
	}
	out := []common.Hash{}
	h := from
	for ; h <= uint64(head) && len(out) < maxHashes; h++ {
		header, err := a.cfg.header(h)
		if err != nil {
			return nil, a.lost(id, err)
		}
		out = append(out, header.Hash())
	}
	a.advance(f, h)
	return out, nil
}
