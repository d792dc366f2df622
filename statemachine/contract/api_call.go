package contract

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// CallArgs are a transaction that is tried and not sent.
type CallArgs struct {
	From                 *common.Address              `json:"from"`
	To                   *common.Address              `json:"to"`
	Gas                  *hexutil.Uint64              `json:"gas"`
	GasPrice             *hexutil.Big                 `json:"gasPrice"`
	MaxFeePerGas         *hexutil.Big                 `json:"maxFeePerGas"`
	MaxPriorityFeePerGas *hexutil.Big                 `json:"maxPriorityFeePerGas"`
	Value                *hexutil.Big                 `json:"value"`
	Data                 *hexutil.Bytes               `json:"data"`
	Input                *hexutil.Bytes               `json:"input"`
	AccessList           *types.AccessList            `json:"accessList"`
	AuthorizationList    []types.SetCodeAuthorization `json:"authorizationList"`
	ChainID              *hexutil.Big                 `json:"chainId"`
}

func toUint256(name string, b *hexutil.Big) (*uint256.Int, error) {
	if b == nil {
		return new(uint256.Int), nil
	}
	v, over := uint256.FromBig(b.ToInt())
	if over || b.ToInt().Sign() < 0 {
		return nil, fmt.Errorf("%s is no number of 256 bits", name)
	}
	return v, nil
}

// message is the call as the EVM takes it. gas is its limit if it names none, and the
// most it may name.
func (args *CallArgs) message(s *scene, gas uint64) (*core.Message, error) {
	if id := args.ChainID; id != nil && id.ToInt().Cmp(s.config.ChainID) != 0 {
		return nil, fmt.Errorf("chainId does not match node's (have=%v, want=%v)", id.ToInt(), s.config.ChainID)
	}
	m := &core.Message{To: args.To, GasLimit: gas, SetCodeAuthorizations: args.AuthorizationList}
	if args.From != nil {
		m.From = *args.From
	}
	if args.Gas != nil {
		m.GasLimit = min(gas, uint64(*args.Gas))
	}
	switch {
	case args.Input != nil:
		m.Data = *args.Input
	case args.Data != nil:
		m.Data = *args.Data
	}
	if args.AccessList != nil {
		m.AccessList = *args.AccessList
	}
	var err error
	if m.Value, err = toUint256("value", args.Value); err != nil {
		return nil, err
	}
	if args.GasPrice != nil {
		if args.MaxFeePerGas != nil || args.MaxPriorityFeePerGas != nil {
			return nil, errors.New("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
		}
		if m.GasPrice, err = toUint256("gasPrice", args.GasPrice); err != nil {
			return nil, err
		}
		m.GasFeeCap, m.GasTipCap = m.GasPrice, m.GasPrice
		return m, nil
	}
	if m.GasFeeCap, err = toUint256("maxFeePerGas", args.MaxFeePerGas); err != nil {
		return nil, err
	}
	if m.GasTipCap, err = toUint256("maxPriorityFeePerGas", args.MaxPriorityFeePerGas); err != nil {
		return nil, err
	}
	m.GasPrice = new(uint256.Int)
	if !m.GasFeeCap.IsZero() || !m.GasTipCap.IsZero() {
		sum, over := new(uint256.Int).AddOverflow(uint256.MustFromBig(s.block.BaseFee), m.GasTipCap)
		if m.GasPrice = sum; over || sum.Gt(m.GasFeeCap) {
			m.GasPrice = m.GasFeeCap
		}
	}
	return m, nil
}

// RevertError says that a contract refused a call. Ethereum's tools know its code.
type RevertError struct{ Data []byte }

func (e *RevertError) Error() string {
	if reason, err := abi.UnpackRevert(e.Data); err == nil {
		return "execution reverted: " + reason
	}
	return "execution reverted"
}

// ErrorCode is that of a revert.
func (e *RevertError) ErrorCode() int { return 3 }

// ErrorData is what the contract said.
func (e *RevertError) ErrorData() any { return hexutil.Encode(e.Data) }

var errTimeout = errors.New("execution took too long and was given up")

// scene is where a call takes place: a state, and a block as contracts see it.
type scene struct {
	view
	block vm.BlockContext
}

// scene is that after a block, with what a client wants to be otherwise.
func (v view) scene(height uint64, b *block, state *StateOverrides, change *BlockOverrides) (*scene, error) {
	s := &scene{v, v.context(height, b.Time, b.Random, hashes(v.r, make(map[uint64]common.Hash)))}
	change.apply(&s.block)
	var err error
	s.r, err = state.over(v.r, v.config.Rules(s.block.BlockNumber, true, s.block.Time))
	return s, err
}

// run executes a call. Nothing of it is kept.
func (s *scene) run(ctx context.Context, m *core.Message) (*core.ExecutionResult, error) {
	return s.watch(ctx, m, nil)
}

// watch is run with hooks, which may be nil.
func (s *scene) watch(ctx context.Context, m *core.Message, hooks *tracing.Hooks) (*core.ExecutionResult, error) {
	evm := vm.NewEVM(s.block, newTxState(s.r), s.config, vm.Config{NoBaseFee: true, Tracer: hooks})
	defer evm.Release()
	stop := context.AfterFunc(ctx, evm.Cancel)
	defer stop()
	call := *m
	call.SkipNonceCheck().SkipEOACheck().SkipGasLimitCapCheck()
	result, err := core.ApplyMessage(evm, &call, nil)
	if evm.Cancelled() {
		return nil, errTimeout
	}
	return result, err
}

// turn waits until another call may run, and bounds its time.
func (a *API) turn(ctx context.Context) (context.Context, func(), error) {
	select {
	case a.calls <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("%d others run at once, and this waits for its turn: ask again later: %w", cap(a.calls), ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, a.limits.CallTime)
	return ctx, func() { cancel(); <-a.calls }, nil
}

// Call is eth_call.
func (a *API) Call(ctx context.Context, args CallArgs, at *rpc.BlockNumberOrHash, state *StateOverrides, change *BlockOverrides) (hexutil.Bytes, error) {
	ctx, done, err := a.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return readAt(a, "eth_call", at, func(v view, height uint64, b *block) (hexutil.Bytes, error) {
		s, err := v.scene(height, b, state, change)
		if err != nil {
			return nil, err
		}
		m, err := args.message(s, a.limits.CallGas)
		if err != nil {
			return nil, err
		}
		result, err := s.run(ctx, m)
		switch {
		case err != nil:
			return nil, err
		case errors.Is(result.Err, vm.ErrExecutionReverted):
			return nil, &RevertError{result.Revert()}
		case result.Err != nil:
			return nil, result.Err
		}
		return append(hexutil.Bytes{}, result.Return()...), nil
	})
}

// EstimateGas is eth_estimateGas: a gas limit with which the call succeeds, at most 1.5
// percent above the least.
func (a *API) EstimateGas(ctx context.Context, args CallArgs, at *rpc.BlockNumberOrHash, state *StateOverrides, change *BlockOverrides) (hexutil.Uint64, error) {
	ctx, done, err := a.turn(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	return readAt(a, "eth_estimateGas", at, func(v view, height uint64, b *block) (hexutil.Uint64, error) {
		s, err := v.scene(height, b, state, change)
		if err != nil {
			return 0, err
		}
		m, err := args.message(s, min(a.limits.CallGas, v.genesis.TxGasLimit))
		if err != nil {
			return 0, err
		}
		gas, err := s.estimate(ctx, m)
		return hexutil.Uint64(gas), err
	})
}

// estimate searches for the least gas limit. That of m is the most.
func (s *scene) estimate(ctx context.Context, m *core.Message) (uint64, error) {
	if price := m.GasFeeCap; !price.IsZero() { // what the sender can pay is a limit too
		balance := loadAccount(s.r, m.From).balance
		if !balance.Gt(m.Value) { // nothing is left for gas
			return 0, core.ErrInsufficientFundsForTransfer
		}
		most := new(uint256.Int).Div(new(uint256.Int).Sub(&balance, m.Value), price)
		if most.IsUint64() {
			m.GasLimit = min(m.GasLimit, most.Uint64())
		}
	}
	try := func(gas uint64) (ok bool, r *core.ExecutionResult, err error) {
		attempt := *m
		attempt.GasLimit = gas
		r, err = s.run(ctx, &attempt)
		if errors.Is(err, core.ErrIntrinsicGas) || errors.Is(err, core.ErrFloorDataGas) {
			return false, nil, nil
		}
		return err == nil && r.Err == nil, r, err
	}
	if m.To != nil && len(m.Data) == 0 && len(loadAccount(s.r, *m.To).loadCode(s.r)) == 0 {
		// Of a transfer of ether it is known beforehand, unless something makes it dearer.
		if ok, r, _ := try(params.TxGas); ok {
			return r.UsedGas, nil
		}
	}
	high := m.GasLimit
	ok, r, err := try(high)
	switch {
	case err != nil:
		return 0, err
	case ok:
	case r == nil:
		return 0, fmt.Errorf("gas required exceeds allowance (%d)", high)
	case errors.Is(r.Err, vm.ErrExecutionReverted):
		return 0, &RevertError{r.Revert()}
	case errors.Is(r.Err, vm.ErrOutOfGas):
		return 0, fmt.Errorf("gas required exceeds allowance (%d)", high)
	default:
		return 0, r.Err
	}
	low := max(r.UsedGas, params.TxGas) - 1
	// Most calls need what they use, refunds included, and the 64th part that is held
	// back from inner calls.
	likely := (r.MaxUsedGas + params.CallStipend) * 64 / 63
	for low+1 < high && float64(high-low)/float64(high) > 0.015 {
		middle := low + (high-low)/2
		if likely > low && likely < high {
			middle = likely
		} else {
			middle = min(middle, 2*low)
		}
		likely = 0
		ok, _, err := try(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}
