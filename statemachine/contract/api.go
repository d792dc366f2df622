package contract

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store"
)

// ReadLimits bound what one read may cost. A zero field stands for the default.
type ReadLimits struct {
	// CallGas bounds the gas of eth_call and eth_estimateGas: the block's gas limit.
	CallGas uint64
	// CallTime is how long one of these, or eth_getLogs, may take: 5 s.
	CallTime time.Duration
	// Calls is how many of all these run at once; others wait: as many as there are
	// processors, less one.
	Calls int
	// LogBlocks is how many blocks eth_getLogs looks through, Logs how many it finds at
	// most: 10,000 and 10,000.
	LogBlocks uint64
	Logs      int
	// LogBytes is how many bytes of data these may have together: 16 MiB.
	LogBytes int
}

func (l ReadLimits) filled(g *Genesis) ReadLimits {
	if l.CallGas == 0 {
		l.CallGas = g.BlockGasLimit
	}
	if l.CallTime == 0 {
		l.CallTime = 5 * time.Second
	}
	if l.Calls == 0 {
		l.Calls = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if l.LogBlocks == 0 {
		l.LogBlocks = 10_000
	}
	if l.Logs == 0 {
		l.Logs = 10_000
	}
	if l.LogBytes == 0 {
		l.LogBytes = 16 << 20
	}
	return l
}

// API has the methods of Ethereum's JSON-RPC in the namespace eth that read, in the
// form that go-ethereum's package rpc wants; package endpoint serves it. Its answers
// are those of one replica.
type API struct {
	chain  *chain
	source source
	limits ReadLimits
	calls  chan struct{}
	// permit says why what a method reads must not be read, by an access policy; nil
	// permits everything.
	permit func(method string) error
}

func newAPI(c *chain, s source, l ReadLimits) *API {
	l = l.filled(c.genesis)
	return &API{chain: c, source: s, limits: l, calls: make(chan struct{}, l.Calls)}
}

// API returns reads of the machine's state: under an access policy, those of a stranger.
func (m *Machine) API(l ReadLimits) *API { return m.APIOf(crypto.PublicKey{}, l) }

// APIOf returns a caller's reads, whom the access policy lets read if there is one.
func (m *Machine) APIOf(caller crypto.PublicKey, l ReadLimits) *API {
	a := newAPI(m.handler.chain, kept{m.Store(), m.part}, l)
	if m.guard != nil {
		a.permit = func(method string) error { return m.guard.Permit(caller, method) }
	}
	return a
}

// MayRead returns why a method's answer must not be read through a, or nil: for methods
// that put it together of other reads.
func MayRead(a *API, method string) error {
	if a.permit == nil {
		return nil
	}
	return a.permit(method)
}

// read runs do on the last state, for a method. What the database cannot read, and what
// has been pruned in the meantime, is an error, and so is what the policy refuses.
func read[T any](a *API, method string, do func(v view) (T, error)) (out T, err error) {
	if err := MayRead(a, method); err != nil {
		return out, err
	}
	failed := store.Catch(func() {
		var r store.Reader
		if r, err = a.source.last(); err == nil {
			out, err = do(view{a.chain, r})
		}
	})
	if failed != nil {
		return out, failed
	}
	return out, err
}

// readAt runs do on the state after a block, of which b is the header.
func readAt[T any](a *API, method string, at *rpc.BlockNumberOrHash, do func(v view, height uint64, b *block) (T, error)) (T, error) {
	return read(a, method, func(v view) (out T, err error) {
		height, err := v.resolve(at)
		if err != nil {
			return out, err
		}
		b, ok := v.block(height)
		if !ok {
			return out, fmt.Errorf("block %d is not kept any more", height)
		}
		if height != v.head() {
			if v.r, err = a.source.at(height); err != nil {
				return out, err
			}
		}
		return do(v, height, b)
	})
}

var errNoBlock = errors.New("block not found")

// resolve returns the height of a block; nil is the last one. A block is final as soon
// as it is there, so all names of the newest mean the same.
func (v view) resolve(at *rpc.BlockNumberOrHash) (uint64, error) {
	if at == nil {
		return v.head(), nil
	}
	if hash, ok := at.Hash(); ok {
		h, found := v.heightOf(hash)
		if !found {
			return 0, errNoBlock
		}
		return h, nil
	}
	n, _ := at.Number()
	return v.number(n)
}

func (v view) number(n rpc.BlockNumber) (uint64, error) {
	switch {
	case n == rpc.EarliestBlockNumber:
		return 0, nil
	case n < 0:
		return v.head(), nil
	case uint64(n) > v.head():
		return 0, errNoBlock
	}
	return uint64(n), nil
}

// ChainId is eth_chainId.
func (a *API) ChainId() hexutil.Uint64 { return hexutil.Uint64(a.chain.genesis.ChainID) } //nolint:staticcheck // as Ethereum spells it

// BlockNumber is eth_blockNumber.
func (a *API) BlockNumber() (hexutil.Uint64, error) {
	return read(a, "eth_blockNumber", func(v view) (hexutil.Uint64, error) { return hexutil.Uint64(v.head()), nil })
}

// Accounts is eth_accounts: replicas hold no keys of users.
func (a *API) Accounts() []common.Address { return []common.Address{} }

// GetBalance is eth_getBalance.
func (a *API) GetBalance(_ context.Context, addr common.Address, at *rpc.BlockNumberOrHash) (*hexutil.Big, error) {
	return readAt(a, "eth_getBalance", at, func(v view, _ uint64, _ *block) (*hexutil.Big, error) {
		return (*hexutil.Big)(loadAccount(v.r, addr).balance.ToBig()), nil
	})
}

// GetTransactionCount is eth_getTransactionCount: the nonce of the next transaction.
func (a *API) GetTransactionCount(_ context.Context, addr common.Address, at *rpc.BlockNumberOrHash) (hexutil.Uint64, error) {
	return readAt(a, "eth_getTransactionCount", at, func(v view, _ uint64, _ *block) (hexutil.Uint64, error) {
		return hexutil.Uint64(loadAccount(v.r, addr).nonce), nil
	})
}

// GetCode is eth_getCode.
func (a *API) GetCode(_ context.Context, addr common.Address, at *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	return readAt(a, "eth_getCode", at, func(v view, _ uint64, _ *block) (hexutil.Bytes, error) {
		return append(hexutil.Bytes{}, loadAccount(v.r, addr).loadCode(v.r)...), nil
	})
}

// GetStorageAt is eth_getStorageAt.
func (a *API) GetStorageAt(_ context.Context, addr common.Address, slot string, at *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	key, err := parseSlot(slot)
	if err != nil {
		return nil, err
	}
	return readAt(a, "eth_getStorageAt", at, func(v view, _ uint64, _ *block) (hexutil.Bytes, error) {
		word := loadAccount(v.r, addr).committedWord(v.r, key)
		return word[:], nil
	})
}

// parseSlot reads a place in a contract's storage, which clients write as a number or
// as 32 bytes.
func parseSlot(s string) (common.Hash, error) {
	digits := s
	if len(digits) > 1 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X') {
		digits = digits[2:]
	}
	if len(digits) == 0 || len(digits) > 2*common.HashLength {
		return common.Hash{}, fmt.Errorf("storage slot of %d digits: give 1 to %d", len(digits), 2*common.HashLength)
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	b, err := hexutil.Decode("0x" + digits)
	if err != nil {
		return common.Hash{}, fmt.Errorf("storage slot: %w", err)
	}
	return common.BytesToHash(b), nil
}

// GasPrice is eth_gasPrice: the base fee, which suffices.
func (a *API) GasPrice() *hexutil.Big { return (*hexutil.Big)(a.chain.baseFee) }

// MaxPriorityFeePerGas is eth_maxPriorityFeePerGas: nobody is served earlier for more.
func (a *API) MaxPriorityFeePerGas() *hexutil.Big { return new(hexutil.Big) }

// blobBaseFee is the least there is: no blobs are taken.
var blobBaseFee = big.NewInt(1)

// BlobBaseFee is eth_blobBaseFee; there are no blobs.
func (a *API) BlobBaseFee() *hexutil.Big { return (*hexutil.Big)(blobBaseFee) }

// FeeHistory is what eth_feeHistory returns.
type FeeHistory struct {
	OldestBlock  hexutil.Uint64   `json:"oldestBlock"`
	Reward       [][]*hexutil.Big `json:"reward,omitempty"`
	BaseFee      []*hexutil.Big   `json:"baseFeePerGas"`
	GasUsedRatio []float64        `json:"gasUsedRatio"`
	// There are no blobs: these are what they would cost.
	BlobBaseFee      []*hexutil.Big `json:"baseFeePerBlobGas"`
	BlobGasUsedRatio []float64      `json:"blobGasUsedRatio"`
}

const maxFeeHistory = 1024

// FeeHistory is eth_feeHistory.
func (a *API) FeeHistory(_ context.Context, blocks math.HexOrDecimal64, last rpc.BlockNumber, percentiles []float64) (*FeeHistory, error) {
	if len(percentiles) > 100 {
		return nil, fmt.Errorf("%d percentiles: at most 100", len(percentiles))
	}
	return read(a, "eth_feeHistory", func(v view) (*FeeHistory, error) {
		end, err := v.number(last)
		if err != nil {
			return nil, err
		}
		n := min(uint64(blocks), maxFeeHistory, end+1)
		out := &FeeHistory{OldestBlock: hexutil.Uint64(end + 1 - n), GasUsedRatio: []float64{}, BlobGasUsedRatio: make([]float64, n)}
		for h := end + 1 - n; h <= end; h++ {
			ratio := 0.0
			if b, ok := v.block(h); ok {
				ratio = float64(b.GasUsed) / float64(v.genesis.BlockGasLimit)
			}
			out.GasUsedRatio = append(out.GasUsedRatio, ratio)
			out.BaseFee = append(out.BaseFee, (*hexutil.Big)(v.baseFee))
			if len(percentiles) > 0 {
				none := make([]*hexutil.Big, len(percentiles))
				for i := range none {
					none[i] = new(hexutil.Big)
				}
				out.Reward = append(out.Reward, none)
			}
		}
		out.BaseFee = append(out.BaseFee, (*hexutil.Big)(v.baseFee)) // of the next block
		for range out.BaseFee {
			out.BlobBaseFee = append(out.BlobBaseFee, (*hexutil.Big)(blobBaseFee))
		}
		return out, nil
	})
}

// unsupported is EIP-1474's error for a method that there is not.
type unsupported struct{ method, instead string }

func (e *unsupported) Error() string  { return e.method + " is not supported: " + e.instead }
func (e *unsupported) ErrorCode() int { return -32004 }

// GetProof is eth_getProof, which there is not: a header's state root is the digest of the
// store, whose proofs have a format of their own ([store.ProofQuery], [AccountKey],
// [StorageKey]), and no root of a Merkle-Patricia trie.
func (a *API) GetProof(common.Address, []string, *rpc.BlockNumberOrHash) (any, error) {
	return nil, &unsupported{"eth_getProof", "the state is no Merkle-Patricia trie. Ask a replica by Parley's client for a proof of " +
		"the store (store.ProofQuery of contract.AccountKey or contract.StorageKey), which proof.Proof verifies against the stateRoot of the next block or a checkpoint"}
}
