package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// Filter says which logs are wanted, as eth_getLogs has it.
type Filter struct {
	BlockHash *common.Hash
	// From and To are the first and the last block; nil is the last there is.
	From, To *rpc.BlockNumber
	// Addresses are the contracts; none means all.
	Addresses []common.Address
	// Topics are what each topic may be; an empty list means anything.
	Topics [][]common.Hash
}

const (
	maxFilterAddresses = 1000
	maxFilterTopics    = 1000 // in each position
)

// UnmarshalJSON reads a filter as Ethereum's tools write it: single values in place of
// lists, null for anything.
func (f *Filter) UnmarshalJSON(data []byte) error {
	var raw struct {
		BlockHash *common.Hash      `json:"blockHash"`
		FromBlock *rpc.BlockNumber  `json:"fromBlock"`
		ToBlock   *rpc.BlockNumber  `json:"toBlock"`
		Address   json.RawMessage   `json:"address"`
		Topics    []json.RawMessage `json:"topics"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	if raw.BlockHash != nil && (raw.FromBlock != nil || raw.ToBlock != nil) {
		return errors.New("filter has a blockHash and a range: give one of them")
	}
	if len(raw.Topics) > 4 {
		return fmt.Errorf("filter has %d topics: a log has at most 4", len(raw.Topics))
	}
	*f = Filter{BlockHash: raw.BlockHash, From: raw.FromBlock, To: raw.ToBlock}
	var err error
	if f.Addresses, err = oneOrMany[common.Address](raw.Address, maxFilterAddresses); err != nil {
		return fmt.Errorf("filter's address: %w", err)
	}
	for i, t := range raw.Topics {
		topics, err := oneOrMany[common.Hash](t, maxFilterTopics)
		if err != nil {
			return fmt.Errorf("filter's topic %d: %w", i, err)
		}
		f.Topics = append(f.Topics, topics)
	}
	return nil
}

func oneOrMany[T any](data json.RawMessage, most int) ([]T, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	if data[0] != '[' {
		var one T
		err := json.Unmarshal(data, &one)
		return []T{one}, err
	}
	var many []*T
	if err := json.Unmarshal(data, &many); err != nil {
		return nil, err
	}
	if len(many) > most {
		return nil, fmt.Errorf("a list of %d: give at most %d", len(many), most)
	}
	var out []T
	for _, v := range many {
		if v == nil {
			return nil, nil // null among them: anything
		}
		out = append(out, *v)
	}
	return out, nil
}

// Matches tells whether a log is wanted.
func (f *Filter) Matches(l *types.Log) bool {
	if len(f.Addresses) > 0 && !slices.Contains(f.Addresses, l.Address) {
		return false
	}
	if len(f.Topics) > len(l.Topics) {
		return false
	}
	for i, want := range f.Topics {
		if len(want) > 0 && !slices.Contains(want, l.Topics[i]) {
			return false
		}
	}
	return true
}

// mayMatch tells by a block's bloom filter whether there can be such logs in it.
func (f *Filter) mayMatch(bloom types.Bloom) bool {
	if len(f.Addresses) > 0 && !slices.ContainsFunc(f.Addresses, func(a common.Address) bool { return bloom.Test(a[:]) }) {
		return false
	}
	for _, want := range f.Topics {
		if len(want) > 0 && !slices.ContainsFunc(want, func(h common.Hash) bool { return bloom.Test(h[:]) }) {
			return false
		}
	}
	return true
}

// GetLogs is eth_getLogs. Ten thousand blocks are as dear to look through as a call is to
// run, so it waits for its turn like one.
func (a *API) GetLogs(ctx context.Context, f Filter) ([]*types.Log, error) {
	ctx, done, err := a.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return read(a, "eth_getLogs", func(v view) ([]*types.Log, error) {
		from, to, err := v.span(&f)
		if err != nil {
			return nil, err
		}
		if to-from >= a.limits.LogBlocks {
			return nil, fmt.Errorf("blocks %d to %d: ask for at most %d at once", from, to, a.limits.LogBlocks)
		}
		logs, _, err := a.collect(ctx, v, &f, from, to)
		if err != nil {
			return nil, err
		}
		return logs, nil
	})
}

// Errors about the logs of a block.
var (
	// ErrForgotten: a block is older than Genesis.History, and nothing of it is kept.
	ErrForgotten = errors.New("not kept any more")
	// ErrManyLogs: there are more logs than ReadLimits lets one answer have.
	ErrManyLogs = errors.New("ask for fewer blocks")
)

// collect returns the logs of the blocks from the first to the last. With an error they
// are those of the blocks before next, which is the one that the error is about.
func (a *API) collect(ctx context.Context, v view, f *Filter, from, to uint64) (out []*types.Log, next uint64, err error) {
	out = []*types.Log{}
	bytes := 0 // of their data: a log may have as much of it as its gas pays for
	for h := from; h <= to; h++ {
		if err := ctx.Err(); err != nil {
			return out, h, fmt.Errorf("stopped at block %d of %d to %d: ask for fewer blocks: %w", h, from, to, err)
		}
		b, ok := v.block(h)
		if !ok {
			return out, h, fmt.Errorf("block %d is %w", h, ErrForgotten)
		}
		if b.Logs == 0 || !f.mayMatch(types.BytesToBloom(b.Bloom)) {
			continue
		}
		before := len(out)
		for i, r := range v.records(h, b) {
			for _, l := range v.logs(place{h, uint32(i)}, b, r) {
				if !f.Matches(l) {
					continue
				}
				out = append(out, l)
				if bytes += len(l.Data); bytes > a.limits.LogBytes {
					return out[:before], h, fmt.Errorf("over %d bytes in the logs of blocks %d to %d: %w", a.limits.LogBytes, from, h, ErrManyLogs)
				}
			}
		}
		if len(out) > a.limits.Logs {
			return out[:before], h, fmt.Errorf("over %d logs in blocks %d to %d: %w", a.limits.Logs, from, h, ErrManyLogs)
		}
	}
	return out, to + 1, nil
}

// span are the first and the last block of a filter.
func (v view) span(f *Filter) (from, to uint64, err error) {
	if f.BlockHash != nil {
		h, ok := v.heightOf(*f.BlockHash)
		if !ok {
			return 0, 0, errNoBlock
		}
		return h, h, nil
	}
	from, to = v.head(), v.head()
	if f.From != nil {
		if from, err = v.number(*f.From); err != nil {
			return 0, 0, err
		}
	}
	if f.To != nil && *f.To >= 0 {
		to = min(to, uint64(*f.To))
	}
	if from > to {
		return 0, 0, fmt.Errorf("blocks %d to %d: the first is above the last", from, to)
	}
	return from, to, nil
}

// fewBlocks are looked through without a turn.
const fewBlocks = 100

// Logs are those that a filter wants in the blocks from the first to the last, or as many
// of these blocks as one answer may be about: next is the first that was not looked at. The
// head is the last one there is. It is for polling, which goes on from there. An error is
// about block next, and then there are no logs: ErrForgotten, ErrManyLogs if that block
// alone has too many, or what else there may be.
//
// Whoever keeps up has few blocks to look through. Who does not waits for a turn, as for
// GetLogs.
func (a *API) Logs(ctx context.Context, f Filter, from, to uint64) (logs []*types.Log, next uint64, err error) {
	next = from
	last, err := read(a, "eth_getLogs", func(v view) (uint64, error) { return min(to, v.head()), nil })
	if err != nil || from > last {
		return nil, next, err
	}
	if last-from >= a.limits.LogBlocks {
		last = from + a.limits.LogBlocks - 1
	}
	if last-from >= fewBlocks {
		var done func()
		if ctx, done, err = a.turn(ctx); err != nil {
			return nil, next, err
		}
		defer done()
	}
	logs, err = read(a, "eth_getLogs", func(v view) ([]*types.Log, error) {
		some, at, err := a.collect(ctx, v, &f, from, last)
		if err != nil && (at == from || !errors.Is(err, ErrManyLogs) && !errors.Is(err, context.DeadlineExceeded)) {
			return nil, err
		}
		next = at
		return some, nil
	})
	return logs, next, err
}
