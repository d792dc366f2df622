package contract

import (
	"context"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/eth/tracers/logger"
	"github.com/ethereum/go-ethereum/rpc"
)

// AccessList is what eth_createAccessList returns.
type AccessList struct {
	List types.AccessList `json:"accessList"`
	// Error says how the call ended if it failed. The list is that of what it did until then.
	Error   string         `json:"error,omitempty"`
	GasUsed hexutil.Uint64 `json:"gasUsed"`
}

// CreateAccessList is eth_createAccessList: the accounts and words of storage that a call
// uses beside its sender and the contract that it calls, and the gas with that list.
func (a *API) CreateAccessList(ctx context.Context, args CallArgs, at *rpc.BlockNumberOrHash, state *StateOverrides) (*AccessList, error) {
	ctx, done, err := a.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return readAt(a, "eth_createAccessList", at, func(v view, height uint64, b *block) (*AccessList, error) {
		s, err := v.scene(height, b, state, nil)
		if err != nil {
			return nil, err
		}
		// As for an estimate: what the list is for is a transaction.
		m, err := args.message(s, min(a.limits.CallGas, v.genesis.TxGasLimit))
		if err != nil {
			return nil, err
		}
		to := contractAddress(m.From, loadAccount(s.r, m.From).nonce)
		if m.To != nil {
			to = *m.To
		}
		warm := map[common.Address]struct{}{m.From: {}, to: {}} // without being listed
		for _, p := range vm.ActivePrecompiles(v.config.Rules(s.block.BlockNumber, true, s.block.Time)) {
			warm[p] = struct{}{}
		}
		for _, auth := range m.SetCodeAuthorizations {
			if authority, err := auth.Authority(); err == nil {
				warm[authority] = struct{}{}
			}
		}
		// With a list the gas is another, and a call that looks at its gas may do
		// something else: until nothing new is used. The time of the call bounds it.
		known := logger.NewAccessListTracer(m.AccessList, warm)
		for {
			m.AccessList = known.AccessList()
			seen := logger.NewAccessListTracer(m.AccessList, warm)
			result, err := s.watch(ctx, m, seen.Hooks())
			if err != nil {
				return nil, err
			}
			if seen.Equal(known) {
				out := &AccessList{List: m.AccessList, GasUsed: hexutil.Uint64(result.UsedGas)}
				if result.Err != nil {
					out.Error = result.Err.Error()
				}
				return out, nil
			}
			known = seen
		}
	})
}
