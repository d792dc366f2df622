package contract

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// fields is an object of JSON.
type fields map[string]any

// fieldsOf are what v has in JSON, without what it leaves open, such as fields of later
// forks and of other types of transaction.
func fieldsOf(v any) (fields, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, err
	}
	out := make(fields, len(raw))
	for k, v := range raw {
		if string(v) != "null" {
			out[k] = v
		}
	}
	return out, nil
}

func (v view) blockFields(height uint64, b *block, full bool) (fields, error) {
	out, err := fieldsOf(v.header(height, b))
	if err != nil {
		return nil, err
	}
	out["hash"] = b.Hash
	out["uncles"], out["withdrawals"] = []common.Hash{}, []any{}
	records := v.records(height, b)
	txs := make([]any, len(records))
	size := common.StorageSize(600) // about a header
	for i, r := range records {
		size += common.StorageSize(r.Tx.Size())
		if !full {
			txs[i] = r.Tx.Hash()
			continue
		}
		if txs[i], err = v.transactionFields(place{height, uint32(i)}, b, r); err != nil {
			return nil, err
		}
	}
	out["transactions"], out["size"] = txs, hexutil.Uint64(size)
	return out, nil
}

func (v view) transactionFields(at place, b *block, r *record) (fields, error) {
	out, err := fieldsOf(r.Tx)
	if err != nil {
		return nil, err
	}
	maps.Copy(out, fields{
		"from": r.From, "to": r.Tx.To(), "blockHash": b.Hash, "blockTimestamp": hexutil.Uint64(b.Time),
		"blockNumber": hexutil.Uint64(at.height), "transactionIndex": hexutil.Uint64(at.index),
	})
	if r.Tx.Type() != types.LegacyTxType && r.Tx.Type() != types.AccessListTxType {
		out["gasPrice"] = (*hexutil.Big)(v.gasPrice(r.Tx))
	}
	return out, nil
}

func (v view) receiptFields(at place, b *block, r *record) (fields, error) {
	rc := r.receipt()
	rc.BlockHash, rc.TransactionIndex, rc.EffectiveGasPrice = b.Hash, uint(at.index), v.gasPrice(r.Tx)
	rc.Logs = v.logs(at, b, r)
	out, err := fieldsOf(rc)
	if err != nil {
		return nil, err
	}
	out["blockNumber"] = hexutil.Uint64(at.height)
	out["type"] = hexutil.Uint(r.Tx.Type()) // which the library leaves out if it is 0
	out["from"], out["to"] = r.From, r.Tx.To()
	delete(out, "root")
	if r.Tx.To() != nil {
		out["contractAddress"] = nil
	}
	return out, nil
}

// logs are a transaction's, with their place.
func (v view) logs(at place, b *block, r *record) []*types.Log {
	out := make([]*types.Log, len(r.Logs))
	hash := r.Tx.Hash()
	for i, l := range r.Logs {
		c := *l
		c.BlockNumber, c.BlockHash, c.BlockTimestamp = at.height, b.Hash, b.Time
		c.TxHash, c.TxIndex, c.Index = hash, uint(at.index), uint(r.FirstLog)+uint(i)
		if c.Data == nil {
			c.Data = []byte{}
		}
		out[i] = &c
	}
	return out
}

// GetBlockByNumber is eth_getBlockByNumber. A block that there is not is null.
func (a *API) GetBlockByNumber(_ context.Context, n rpc.BlockNumber, full bool) (fields, error) {
	return read(a, "eth_getBlockByNumber", func(v view) (fields, error) {
		height, err := v.number(n)
		if err != nil {
			return nil, nil //nolint:nilerr // null, as everywhere
		}
		return v.blockAt(height, full)
	})
}

// GetBlockByHash is eth_getBlockByHash.
func (a *API) GetBlockByHash(_ context.Context, hash common.Hash, full bool) (fields, error) {
	return read(a, "eth_getBlockByHash", func(v view) (fields, error) {
		height, ok := v.heightOf(hash)
		if !ok {
			return nil, nil
		}
		return v.blockAt(height, full)
	})
}

func (v view) blockAt(height uint64, full bool) (fields, error) {
	b, ok := v.block(height)
	if !ok {
		return nil, nil
	}
	return v.blockFields(height, b, full)
}

// GetBlockTransactionCountByNumber is eth_getBlockTransactionCountByNumber.
func (a *API) GetBlockTransactionCountByNumber(_ context.Context, n rpc.BlockNumber) (*hexutil.Uint, error) {
	at := rpc.BlockNumberOrHashWithNumber(n)
	return a.count("eth_getBlockTransactionCountByNumber", &at)
}

// GetBlockTransactionCountByHash is eth_getBlockTransactionCountByHash.
func (a *API) GetBlockTransactionCountByHash(_ context.Context, hash common.Hash) (*hexutil.Uint, error) {
	at := rpc.BlockNumberOrHashWithHash(hash, false)
	return a.count("eth_getBlockTransactionCountByHash", &at)
}

func (a *API) count(method string, at *rpc.BlockNumberOrHash) (*hexutil.Uint, error) {
	return read(a, method, func(v view) (*hexutil.Uint, error) {
		if height, err := v.resolve(at); err == nil {
			if b, ok := v.block(height); ok {
				n := hexutil.Uint(b.Count)
				return &n, nil
			}
		}
		return nil, nil
	})
}

// GetTransactionByHash is eth_getTransactionByHash.
func (a *API) GetTransactionByHash(_ context.Context, hash common.Hash) (fields, error) {
	return read(a, "eth_getTransactionByHash", func(v view) (fields, error) {
		r, at, ok := v.find(hash)
		if !ok {
			return nil, nil
		}
		return v.transactionAt(at, r)
	})
}

// GetRawTransactionByHash is eth_getRawTransactionByHash: the bytes that were sent.
func (a *API) GetRawTransactionByHash(_ context.Context, hash common.Hash) (hexutil.Bytes, error) {
	return read(a, "eth_getRawTransactionByHash", func(v view) (hexutil.Bytes, error) {
		r, _, ok := v.find(hash)
		if !ok {
			return nil, nil
		}
		return r.Tx.MarshalBinary()
	})
}

// GetTransactionByBlockHashAndIndex is eth_getTransactionByBlockHashAndIndex.
func (a *API) GetTransactionByBlockHashAndIndex(_ context.Context, hash common.Hash, index hexutil.Uint) (fields, error) {
	at := rpc.BlockNumberOrHashWithHash(hash, false)
	return a.transaction("eth_getTransactionByBlockHashAndIndex", &at, index)
}

// GetTransactionByBlockNumberAndIndex is eth_getTransactionByBlockNumberAndIndex.
func (a *API) GetTransactionByBlockNumberAndIndex(_ context.Context, n rpc.BlockNumber, index hexutil.Uint) (fields, error) {
	at := rpc.BlockNumberOrHashWithNumber(n)
	return a.transaction("eth_getTransactionByBlockNumberAndIndex", &at, index)
}

func (a *API) transaction(method string, block *rpc.BlockNumberOrHash, index hexutil.Uint) (fields, error) {
	return read(a, method, func(v view) (fields, error) {
		height, err := v.resolve(block)
		if err != nil || uint64(index) > 1<<32-1 {
			return nil, nil //nolint:nilerr // null, as everywhere
		}
		at := place{height, uint32(index)}
		r, ok := v.record(at)
		if !ok {
			return nil, nil
		}
		return v.transactionAt(at, r)
	})
}

func (v view) transactionAt(at place, r *record) (fields, error) {
	b, ok := v.block(at.height)
	if !ok {
		return nil, nil
	}
	return v.transactionFields(at, b, r)
}

// GetTransactionReceipt is eth_getTransactionReceipt.
func (a *API) GetTransactionReceipt(_ context.Context, hash common.Hash) (fields, error) {
	return read(a, "eth_getTransactionReceipt", func(v view) (fields, error) {
		r, at, ok := v.find(hash)
		if !ok {
			return nil, nil
		}
		b, ok := v.block(at.height)
		if !ok {
			return nil, nil
		}
		return v.receiptFields(at, b, r)
	})
}

// GetBlockReceipts is eth_getBlockReceipts.
func (a *API) GetBlockReceipts(_ context.Context, at rpc.BlockNumberOrHash) ([]fields, error) {
	return read(a, "eth_getBlockReceipts", func(v view) ([]fields, error) {
		height, err := v.resolve(&at)
		if err != nil {
			return nil, nil //nolint:nilerr // null, as everywhere
		}
		b, ok := v.block(height)
		if !ok {
			return nil, nil
		}
		out := make([]fields, 0, b.Count)
		for i, r := range v.records(height, b) {
			f, err := v.receiptFields(place{height, uint32(i)}, b, r)
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
		return out, nil
	})
}
