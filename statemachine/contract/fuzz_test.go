package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// FuzzOperation: no bytes make the machine panic, and what is refused changes nothing.
func FuzzOperation(f *testing.F) {
	alloc, ops := deck(f)
	for _, op := range ops {
		f.Add(op)
	}
	g := &Genesis{ChainID: testChainID, Alloc: alloc}
	f.Fuzz(func(t *testing.T, op []byte) {
		c := newTestChain(t, g)
		v, err := c.m.Store().Last()
		require.NoError(t, err)
		before := accounts(t, v)
		r := c.block(op)[0]
		require.NotEqual(t, statemachine.CodePanicked, r.Code)
		if !Included(r.Code) {
			v, err := c.m.Store().Last()
			require.NoError(t, err)
			require.Equal(t, before, accounts(t, v))
		} else if _, err := DecodeOutcome(r); err != nil {
			t.Fatal(err)
		}
		require.NoError(t, c.m.Check())
	})
}

// FuzzOutcome: results may come from a traitor.
func FuzzOutcome(f *testing.F) {
	o := Outcome{Hash: common.Hash{1}, Height: 2, GasUsed: 3, Logs: []*types.Log{{Topics: []common.Hash{{4}}, Data: []byte{5}}}, Output: []byte{6}}
	f.Add(uint32(0), o.encode())
	f.Add(uint32(CodeReverted), []byte{0xc0})
	f.Fuzz(func(t *testing.T, code uint32, data []byte) {
		o, err := DecodeOutcome(statemachine.Result{Code: statemachine.ResultCode(code), Data: data})
		if err == nil && !o.Cut && len(data) < maxOutcomeBytes {
			require.Equal(t, data, o.encode(), "there is one encoding")
		}
	})
}

// FuzzGenesis: the file is written by people.
func FuzzGenesis(f *testing.F) {
	f.Add([]byte(`{"chainId": 5, "alloc": {"0x0000000000000000000000000000000000000001": {"balance": "0x10", "code": "0x00", "storage": {"0x01": "0x02"}}}}`))
	f.Add([]byte(`{"chainId": 1337, "fork": "prague", "blockGasLimit": 30000000, "txGasLimit": 20000000, "baseFee": 7, "history": 300}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := ParseGenesis(data)
		if err != nil {
			require.ErrorIs(t, err, ErrGenesis)
			return
		}
		m := newMachine(t, g)
		require.NoError(t, m.Check())
	})
}

// FuzzQuery: a query is answered or refused, and always in the same way.
func FuzzQuery(f *testing.F) {
	alloc, ops := deck(f)
	c := newTestChain(f, &Genesis{ChainID: testChainID, Alloc: alloc})
	c.block(ops[:10]...)
	for _, q := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",true]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x0","topics":[null,["0x0000000000000000000000000000000000000000000000000000000000000000"]]}]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x0000000000000000000000000000000000000004","data":"0x1234"},"latest"]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_estimateGas","params":[{"data":"0x60006000f3"}]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x00000000000000000000000000000000000000aa","gasPrice":"0x9"},"latest",{"0x00000000000000000000000000000000000000aa":{"code":"0x435f52426020525f545f5500","nonce":"0x1","balance":"0x2","stateDiff":{"0x0000000000000000000000000000000000000000000000000000000000000000":"0x0000000000000000000000000000000000000000000000000000000000000001"}}},{"number":"0x7","time":"0x8","baseFeePerGas":"0x9","blobBaseFee":"0x1","gasLimit":"0x1"}]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_createAccessList","params":[{"to":"0x00000000000000000000000000000000000000aa","maxFeePerGas":"0x9"},"latest",{"0x00000000000000000000000000000000000000aa":{"code":"0x5f5f5ff05f5260205ff3","state":{}}}]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x0000000000000000000000000000000000000004","0x0","latest"]}`,
		`[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","id":2,"method":"eth_blockNumber"}]`,
	} {
		f.Add([]byte(q))
	}
	f.Fuzz(func(t *testing.T, q []byte) {
		a, err := c.m.Query(context.Background(), q)
		b, again := c.m.Query(context.Background(), q)
		require.Equal(t, err == nil, again == nil)
		require.Equal(t, string(a), string(b))
		require.True(t, err != nil || len(a) == 0 || json.Valid(a))
	})
}

// takes are instructions that touch the state, with how many words each takes.
var takes = []struct {
	op vm.OpCode
	n  int
}{
	{vm.SSTORE, 2}, {vm.SSTORE, 2}, {vm.SSTORE, 2}, {vm.SLOAD, 1}, {vm.TSTORE, 2}, {vm.TLOAD, 1}, {vm.BALANCE, 1}, {vm.EXTCODEHASH, 1},
	{vm.EXTCODESIZE, 1}, {vm.SELFBALANCE, 0}, {vm.CREATE, 3}, {vm.CREATE2, 4}, {vm.CALL, 7}, {vm.CALL, 7}, {vm.STATICCALL, 6},
	{vm.DELEGATECALL, 6}, {vm.CALLCODE, 7}, {vm.SELFDESTRUCT, 1}, {vm.LOG0, 2}, {vm.LOG1, 3}, {vm.ADD, 2}, {vm.MSTORE, 2}, {vm.CODECOPY, 3},
	{vm.KECCAK256, 2}, {vm.REVERT, 2}, {vm.RETURN, 2}, {vm.BLOCKHASH, 1}, {vm.NUMBER, 0}, {vm.PREVRANDAO, 0}, {vm.COINBASE, 0},
	{vm.GAS, 0}, {vm.CALLER, 0}, {vm.CALLVALUE, 0}, {vm.BASEFEE, 0}, {vm.POP, 1}, {vm.RETURNDATASIZE, 0}, {vm.JUMP, 1}, {vm.INVALID, 0},
}

// randomCode is a program that is likelier than noise to do something.
func randomCode(r *rand.Rand, n int) []byte {
	var code []byte
	for len(code) < n {
		t := takes[r.IntN(len(takes)-min(2, r.IntN(12)))]
		for i := range t.n {
			switch {
			case i == t.n-1 && t.n >= 6: // gas of a call
				code = append(code, byte(vm.PUSH2), byte(r.IntN(256)), byte(r.IntN(256)))
			case i == t.n-2 && t.n >= 6, t.n == 1 && r.IntN(2) == 0: // whom: a precompile, or one of those with code
				code = append(code, byte(vm.PUSH1), byte(r.IntN(0x14)))
			case r.IntN(30) == 0:
				// One word short.
			default:
				code = append(code, byte(vm.PUSH1), byte(r.IntN(4)))
			}
		}
		code = append(code, byte(t.op))
	}
	return code
}

// Random programs that call and create each other do the same here and in go-ethereum,
// to the last unit of gas, in blocks of several transactions.
func TestRandomProgramsAreAsInGeth(t *testing.T) {
	statuses := make(map[statemachine.ResultCode]int)
	for seed := range uint64(60) {
		differ(t, rand.New(rand.NewPCG(seed, 7)), statuses)
	}
	for _, code := range []statemachine.ResultCode{statemachine.CodeOK, CodeReverted, CodeOutOfGas, CodeBadInstruction} {
		require.Positive(t, statuses[code], CodeText(code))
	}
	t.Log(statuses)
}

func FuzzPrograms(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		differ(t, rand.New(rand.NewPCG(a, b)), make(map[statemachine.ResultCode]int))
	})
}

// differ runs random blocks on both.
func differ(t *testing.T, r *rand.Rand, statuses map[statemachine.ResultCode]int) {
	w := contracttest.NewWallet(testChainID, "ann")
	w.FeeCap = big.NewInt(9)
	g := &Genesis{ChainID: testChainID, BaseFee: 9, Coinbase: common.Address{19: 0x12}, Alloc: rich(w)}
	for i := byte(0x10); i < 0x14; i++ {
		a := types.Account{Balance: big.NewInt(r.Int64N(3)), Nonce: uint64(r.IntN(2)), Code: randomCode(r, 20+r.IntN(200))}
		if r.IntN(4) == 0 {
			a.Code = nil
			a.Nonce = 1
		} else if r.IntN(2) == 0 {
			a.Storage = map[common.Hash]common.Hash{{}: {31: 1}, {31: 1}: {1}}
		}
		g.Alloc[common.Address{19: i}] = a
	}
	ours, theirs := newTestChain(t, g), newGethChain(t, g)
	for range 3 {
		var txs []*types.Transaction
		for range 1 + r.IntN(4) {
			gas := []uint64{60_000, 200_000, 1_000_000}[r.IntN(3)]
			tx := &types.DynamicFeeTx{
				ChainID: big.NewInt(testChainID), Nonce: w.Nonce, Gas: gas, GasFeeCap: big.NewInt(12), GasTipCap: big.NewInt(int64(r.IntN(3))),
				Value: big.NewInt(r.Int64N(3)),
			}
			if r.IntN(4) == 0 {
				tx.Data, tx.Gas = randomCode(r, 100), 500_000
			} else {
				tx.To = &common.Address{19: byte(0x10 + r.IntN(4))}
				if r.IntN(8) == 0 {
					tx.To = &common.Address{19: byte(1 + r.IntN(0x11))} // a precompile
				}
				tx.Data = randomCode(r, r.IntN(60))
			}
			if r.IntN(3) == 0 {
				tx.AccessList = types.AccessList{{Address: common.Address{19: 0x11}, StorageKeys: []common.Hash{{}, {31: 1}}}}
			}
			w.Nonce++
			txs = append(txs, w.Sign(tx))
		}
		v, err := ours.m.Store().Last()
		require.NoError(t, err)
		for i, result := range ours.send(txs...) {
			require.True(t, Included(result.Code), "%d %s", i, CodeText(result.Code))
			statuses[result.Code]++
		}
		want := theirs.run(ours.header(ours.height), hashes(v, make(map[uint64]common.Hash)), txs...)
		requireSame(t, ours, theirs, want)
		require.NoError(t, ours.m.Check())
	}
}

// EIP-7702: an account delegates to a contract, uses its storage, and takes it back.
func TestDelegation(t *testing.T) {
	w, sponsor := contracttest.NewWallet(testChainID, "ann"), contracttest.NewWallet(testChainID, "ben")
	hostile := contracttest.Load("Hostile")
	g := &Genesis{ChainID: testChainID, Alloc: rich(w, sponsor)}
	ours, theirs := newTestChain(t, g), newGethChain(t, g)
	run := func(tx *types.Transaction) statemachine.Result {
		v, err := ours.m.Store().Last()
		require.NoError(t, err)
		r := ours.send(tx)[0]
		requireSame(t, ours, theirs, theirs.run(ours.header(ours.height), hashes(v, make(map[uint64]common.Hash)), tx))
		return r
	}
	deploy, at := sponsor.Deploy(hostile.Deploy())
	run(deploy)
	delegate := func(to common.Address, nonce uint64, data []byte) *types.Transaction {
		auth, err := types.SignSetCode(w.Key, types.SetCodeAuthorization{ChainID: *u256(testChainID), Address: to, Nonce: nonce})
		require.NoError(t, err)
		tx := sponsor.Sign(&types.SetCodeTx{
			ChainID: u256(testChainID), Nonce: sponsor.Nonce, Gas: 1_000_000, To: w.Address, Data: data,
			GasFeeCap: u256(0), GasTipCap: u256(0), Value: u256(0), AuthList: []types.SetCodeAuthorization{auth},
		})
		sponsor.Nonce++
		return tx
	}
	require.Equal(t, statemachine.CodeOK, run(delegate(at, 0, hostile.Call("fill", big.NewInt(2)))).Code)
	require.Equal(t, statemachine.CodeOK, run(delegate(at, 7, nil)).Code, "an authorization that is not valid is passed over")
	w.Nonce = 1
	require.Equal(t, statemachine.CodeOK, run(w.Send(w.Address, nil, hostile.Call("fill", big.NewInt(3)))).Code)
	require.Equal(t, statemachine.CodeOK, run(delegate(common.Address{}, 2, nil)).Code)
	v, err := ours.m.Store().Last()
	require.NoError(t, err)
	require.Empty(t, loadAccount(v, w.Address).loadCode(v))
	require.NoError(t, ours.m.Check())
}

// The journal goes back to any of its marks, as go-ethereum's does.
func FuzzJournal(f *testing.F) {
	f.Add([]byte("some of the operations that there are, one for each byte or two"))
	f.Fuzz(func(t *testing.T, script []byte) { journals(t, bytes.NewReader(script)) })
}

func TestJournal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		script := make([]byte, 200)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		journals(t, bytes.NewReader(script))
	}
}

// journals plays a script on both states and compares all that can be asked.
func journals(t *testing.T, script *bytes.Reader) {
	g := &Genesis{ChainID: testChainID, Alloc: types.GenesisAlloc{
		{1}: {Balance: big.NewInt(5)}, {2}: {Balance: new(big.Int), Nonce: 1, Code: []byte{1}, Storage: map[common.Hash]common.Hash{{1}: {9}}},
	}}
	m := newMachine(t, g)
	v, err := m.Store().Last()
	require.NoError(t, err)
	ours, theirs := newTxState(v), newGethChain(t, g).db
	rules := g.ChainConfig().Rules(new(big.Int), true, 0)
	for _, s := range []vm.StateDB{ours, theirs} {
		s.SetTxContext(common.Hash{7}, 0, 1)
		s.Prepare(rules, common.Address{1}, common.Address{3}, &common.Address{2}, nil, nil)
	}
	next := func() byte { b, _ := script.ReadByte(); return b }
	var marks, their []int
	for script.Len() > 0 {
		op, addr, slot, val := next()%15, common.Address{1 + next()%4}, common.Hash{next() % 3}, next()%3
		if op == 14 && len(marks) > 0 {
			i := int(val) % len(marks)
			ours.RevertToSnapshot(marks[i])
			theirs.RevertToSnapshot(their[i])
			marks, their = marks[:i], their[:i]
		}
		for _, s := range []vm.StateDB{ours, theirs} {
			amount := u256(uint64(val))
			switch op {
			case 0, 1:
				s.SetState(addr, slot, common.Hash{val})
			case 2:
				s.SetTransientState(addr, slot, common.Hash{val})
			case 3:
				s.AddBalance(addr, amount, 0)
			case 4:
				if s.GetBalance(addr).Cmp(amount) >= 0 {
					s.SubBalance(addr, amount, 0)
				}
			case 5:
				s.SetNonce(addr, uint64(val), 0)
			case 6:
				s.SetCode(addr, bytes.Repeat([]byte{1}, int(val)), 0)
			case 7:
				if !s.Exist(addr) {
					s.CreateAccount(addr)
					s.CreateContract(addr)
				}
			case 8:
				if s.IsNewContract(addr) {
					s.SelfDestruct(addr)
				}
			case 9:
				s.AddRefund(uint64(val))
			case 10:
				if s.GetRefund() >= uint64(val) {
					s.SubRefund(uint64(val))
				}
			case 11:
				s.AddSlotToAccessList(addr, slot)
			case 12:
				s.AddLog(&types.Log{Address: addr})
			}
		}
		if op == 13 {
			marks, their = append(marks, ours.Snapshot()), append(their, theirs.Snapshot())
		}
		compare(t, ours, theirs)
	}
}

func compare(t *testing.T, ours *txState, theirs *state.StateDB) {
	require.Equal(t, theirs.GetRefund(), ours.GetRefund())
	require.Len(t, ours.logs, len(theirs.GetLogs(common.Hash{7}, 0, common.Hash{}, 0)))
	for a := byte(1); a < 5; a++ {
		addr := common.Address{a}
		require.Equal(t, theirs.Exist(addr), ours.Exist(addr))
		require.Equal(t, theirs.Empty(addr), ours.Empty(addr))
		require.Equal(t, theirs.GetBalance(addr), ours.GetBalance(addr))
		require.Equal(t, theirs.GetNonce(addr), ours.GetNonce(addr))
		require.Equal(t, theirs.GetCodeHash(addr), ours.GetCodeHash(addr))
		require.Equal(t, theirs.GetCodeSize(addr), ours.GetCodeSize(addr))
		require.Equal(t, theirs.HasSelfDestructed(addr), ours.HasSelfDestructed(addr))
		require.Equal(t, theirs.IsNewContract(addr), ours.IsNewContract(addr))
		require.Equal(t, theirs.AddressInAccessList(addr), ours.AddressInAccessList(addr))
		for s := byte(0); s < 3; s++ {
			slot := common.Hash{s}
			now, committed := theirs.GetStateAndCommittedState(addr, slot)
			ourNow, ourCommitted := ours.GetStateAndCommittedState(addr, slot)
			require.Equal(t, []common.Hash{now, committed}, []common.Hash{ourNow, ourCommitted})
			require.Equal(t, theirs.GetTransientState(addr, slot), ours.GetTransientState(addr, slot))
			_, warm := theirs.SlotInAccessList(addr, slot)
			_, ourWarm := ours.SlotInAccessList(addr, slot)
			require.Equal(t, warm, ourWarm)
		}
	}
}
