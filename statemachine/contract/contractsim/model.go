package contractsim

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"

	pcrypto "github.com/parley-bft/parley/crypto"
)

// Model is go-ethereum itself: its state database and its gas pool, in which the agreed
// transactions are executed, and with whose outcome each result is compared. It knows a
// block's time and no more of it, so the workload's contracts ask for nothing else.
type Model struct {
	genesis *contract.Genesis
	config  *params.ChainConfig
	signer  types.Signer
	db      *state.StateDB
	block   vm.BlockContext
	pool    *core.GasPool
	place   [2]uint64 // of the last transaction: height and index
}

// NewModel returns the model of a workload, in its initial state.
func NewModel(w *Workload) *Model {
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		panic(err) // in memory nothing can fail
	}
	for addr, a := range w.genesis.Alloc {
		db.AddBalance(addr, uint256.MustFromBig(a.Balance), tracing.BalanceIncreaseGenesisBalance)
	}
	config := w.genesis.ChainConfig()
	m := &Model{genesis: w.genesis, config: config, signer: types.LatestSigner(config), db: db}
	db.Finalise(config.Rules(new(big.Int), true, 0))
	return m
}

// Begin begins a block.
func (m *Model) Begin(now statemachine.Time) {
	m.pool = core.NewGasPool(m.genesis.BlockGasLimit)
	m.block = vm.BlockContext{
		CanTransfer: core.CanTransfer, Transfer: core.Transfer, GetHash: func(uint64) common.Hash { return common.Hash{} },
		GasLimit: m.genesis.BlockGasLimit, BlockNumber: big.NewInt(1), Time: uint64(now) / 1e9,
		Difficulty: new(big.Int), BaseFee: new(big.Int), BlobBaseFee: big.NewInt(1), Random: new(common.Hash),
	}
}

// Judge runs an operation and says what is wrong with its result.
func (m *Model) Judge(_ pcrypto.PublicKey, op []byte, got statemachine.Result) error {
	tx := new(types.Transaction)
	var msg *core.Message
	err := tx.UnmarshalBinary(op)
	if err == nil {
		msg, err = core.TransactionToMessage(tx, m.signer, m.block.BaseFee)
	}
	var result *core.ExecutionResult
	if err == nil {
		m.db.SetTxContext(tx.Hash(), 0, 1)
		evm := vm.NewEVM(m.block, m.db, m.config, vm.Config{})
		defer evm.Release()
		// A transaction that is refused uses nothing up.
		pool, mark := m.pool.Snapshot(), m.db.Snapshot()
		if result, err = core.ApplyMessage(evm, msg, m.pool); err != nil {
			m.pool.Set(pool)
			m.db.RevertToSnapshot(mark)
		}
		defer func() { m.db.Finalise(evm.GetRules()) }()
	}
	if err != nil {
		return refused(err, got)
	}
	return m.included(tx, msg, result, got)
}

// refused judges the result of a transaction that cannot be in the chain.
func refused(why error, got statemachine.Result) error {
	if contract.Included(got.Code) {
		return fmt.Errorf("is in the chain, and go-ethereum refuses it: %w", why)
	}
	for err, code := range map[error]statemachine.ResultCode{
		core.ErrNonceTooLow: contract.CodeNonceUsed, core.ErrNonceTooHigh: contract.CodeNonceAhead, core.ErrGasLimitReached: contract.CodeBlockFull,
	} {
		if errors.Is(why, err) && got.Code != code {
			return fmt.Errorf("was refused as %q and not for %w", contract.CodeText(got.Code), why)
		}
	}
	if len(got.Data) != 0 {
		return fmt.Errorf("was refused with %x", got.Data)
	}
	return nil
}

// outOfGas are go-ethereum's errors of that kind.
func outOfGas(err error) bool {
	return errors.Is(err, vm.ErrOutOfGas) || errors.Is(err, vm.ErrCodeStoreOutOfGas) || errors.Is(err, vm.ErrGasUintOverflow)
}

// included judges the result of one that is.
func (m *Model) included(tx *types.Transaction, msg *core.Message, want *core.ExecutionResult, got statemachine.Result) error {
	if !contract.Included(got.Code) {
		return fmt.Errorf("was refused as %q, and go-ethereum takes it", contract.CodeText(got.Code))
	}
	o, err := contract.DecodeOutcome(got)
	if err != nil {
		return err
	}
	logs := m.db.GetLogs(tx.Hash(), 0, common.Hash{}, 0)
	var at common.Address
	if tx.To() == nil {
		at = crypto.CreateAddress(msg.From, tx.Nonce())
	}
	place := [2]uint64{o.Height, o.Index}
	switch {
	case o.Hash != tx.Hash():
		return fmt.Errorf("has the outcome of %v", o.Hash)
	case place[0] < m.place[0] || place[0] == m.place[0] && m.place != [2]uint64{} && place[1] != m.place[1]+1 || place[0] > m.place[0] && place[1] != 0:
		return fmt.Errorf("is at %v, after %v", place, m.place)
	case want.Failed() != (got.Code != statemachine.CodeOK), errors.Is(want.Err, vm.ErrExecutionReverted) != (got.Code == contract.CodeReverted),
		outOfGas(want.Err) != (got.Code == contract.CodeOutOfGas):
		return fmt.Errorf("ended as %q, in go-ethereum with %v", contract.CodeText(got.Code), want.Err)
	case o.GasUsed != want.UsedGas:
		return fmt.Errorf("used %d gas, in go-ethereum %d", o.GasUsed, want.UsedGas)
	case o.Contract != at:
		return fmt.Errorf("deployed %v, in go-ethereum %v", o.Contract, at)
	case !bytes.Equal(o.Output, want.ReturnData):
		return fmt.Errorf("returned %x, in go-ethereum %x", o.Output, want.ReturnData)
	case len(o.Logs) != len(logs):
		return fmt.Errorf("has %d events, in go-ethereum %d", len(o.Logs), len(logs))
	}
	for i, l := range logs {
		if g := o.Logs[i]; g.Address != l.Address || !bytes.Equal(g.Data, l.Data) || fmt.Sprint(g.Topics) != fmt.Sprint(l.Topics) {
			return fmt.Errorf("event %d is %v, in go-ethereum %v", i, g, l)
		}
	}
	m.place = place
	return nil
}
