package contract

import (
	"errors"

	"github.com/ethereum/go-ethereum/common"

	"github.com/parley-bft/parley/statemachine/store"
)

// view reads blocks and transactions from one state.
type view struct {
	*chain
	r store.Reader
}

// head is the height of the last block.
func (v view) head() uint64 {
	h, _ := getUint64(v.r, headKey)
	return h
}

func (v view) block(height uint64) (*block, bool) {
	b := new(block)
	return b, getRLP(v.r, blockKey(height), b)
}

func (v view) heightOf(hash common.Hash) (uint64, bool) { return getUint64(v.r, blockHashKey(hash)) }

// find returns a transaction and its place.
func (v view) find(hash common.Hash) (*record, place, bool) {
	b, ok := v.r.Get(transactionKey(hash))
	if !ok || len(b) != 12 {
		return nil, place{}, false
	}
	at := placeOf(b)
	r, ok := v.record(at)
	return r, at, ok
}

func (v view) record(at place) (*record, bool) {
	r := new(record)
	return r, getRLP(v.r, recordKey(at), r)
}

// records are all of a block's.
func (v view) records(height uint64, b *block) []*record {
	out := make([]*record, 0, b.Count)
	for i := range b.Count {
		if r, ok := v.record(place{height, uint32(i)}); ok {
			out = append(out, r)
		}
	}
	return out
}

// source has the states that can be read.
type source interface {
	last() (store.Reader, error)
	at(height uint64) (store.Reader, error)
}

// kept is every height that a store keeps: the part with a prefix, if it has one.
type kept struct {
	s    *store.Store
	part string
}

func (k kept) last() (store.Reader, error)            { return k.reader(k.s.Last()) }
func (k kept) at(height uint64) (store.Reader, error) { return k.reader(k.s.At(height)) }

func (k kept) reader(v *store.View, err error) (store.Reader, error) {
	switch {
	case err != nil:
		return nil, err
	case k.part == "":
		return v, nil
	}
	return store.PrefixReader(v, k.part), nil
}

// only is a single state.
type only struct{ r store.Reader }

var errOneState = errors.New("a query is answered from the last state alone: leave out the block, or say \"latest\"")

func (o only) last() (store.Reader, error) { return o.r, nil }

func (o only) at(height uint64) (store.Reader, error) {
	if head, _ := getUint64(o.r, headKey); height != head {
		return nil, errOneState
	}
	return o.r, nil
}
