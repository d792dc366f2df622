package endpoint_test

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// What go-ethereum's client asks for.
func TestClient(t *testing.T) {
	s := newStand(t, nil)
	ctx := t.Context()
	id, err := s.ChainID(ctx)
	require.NoError(t, err)
	require.Equal(t, big.NewInt(contract.DevChainID), id)
	net, err := s.NetworkID(ctx)
	require.NoError(t, err)
	require.Equal(t, id, net)
	progress, err := s.SyncProgress(ctx)
	require.NoError(t, err)
	require.Nil(t, progress)
	price, err := s.SuggestGasPrice(ctx)
	require.NoError(t, err)
	require.Zero(t, price.Sign())
	tip, err := s.SuggestGasTipCap(ctx)
	require.NoError(t, err)
	require.Zero(t, tip.Sign())
	var version string
	require.NoError(t, s.Client.Client().CallContext(ctx, &version, "web3_clientVersion"))
	require.Equal(t, "parley", version)

	// Deployed and called by geth's bindings, which estimate gas and fees themselves.
	coin := contracttest.Load("Coin")
	auth := bind.NewKeyedTransactor(s.ann.Key, id)
	auth.Context = ctx
	deployed, err := bind.LinkAndDeploy(&bind.DeploymentParams{
		Contracts: []*bind.MetaData{{Bin: hexutil.Encode(coin.Code), ID: "coin"}},
		Inputs:    map[string][]byte{"coin": coin.Call("", big.NewInt(1000))},
	}, bind.DefaultDeployer(auth, s))
	require.NoError(t, err)
	at := deployed.Addresses["coin"]
	_, err = bind.WaitDeployed(ctx, s, deployed.Txs["coin"].Hash())
	require.NoError(t, err)
	bound := bind.NewBoundContract(at, coin.ABI, s, s, s)
	tx, err := bound.Transact(auth, "transfer", s.ben.Address, big.NewInt(10))
	require.NoError(t, err)
	receipt, err := bind.WaitMined(ctx, s, tx.Hash())
	require.NoError(t, err)
	require.Equal(t, types.ReceiptStatusSuccessful, receipt.Status)
	require.Less(t, tx.Gas(), receipt.GasUsed*3/2, "a good estimate")
	require.Equal(t, uint64(2), receipt.BlockNumber.Uint64())
	require.Len(t, receipt.Logs, 1)
	require.Equal(t, receipt.BlockHash, receipt.Logs[0].BlockHash)

	// Refusals carry the reason.
	_, err = bound.Transact(auth, "transfer", s.ben.Address, big.NewInt(100_000))
	require.ErrorContains(t, err, "execution reverted")
	data, ok := ethclient.RevertErrorData(err)
	require.True(t, ok)
	require.Equal(t, coin.ABI.Errors["ERC20InsufficientBalance"].ID.Bytes()[:4], data[:4])
	_, err = s.EstimateGas(ctx, ethereum.CallMsg{From: s.ann.Address, To: &at, Gas: 30_000, Data: coin.Call("transfer", s.ben.Address, big.NewInt(1))})
	require.ErrorContains(t, err, "gas required exceeds allowance")

	// Earlier states.
	for height, want := range map[int64]int64{1: 0, 2: 10} {
		out, err := s.CallContract(ctx, ethereum.CallMsg{To: &at, Data: coin.Call("balanceOf", s.ben.Address)}, big.NewInt(height))
		require.NoError(t, err)
		require.Equal(t, want, new(big.Int).SetBytes(out).Int64())
	}
	none, err := s.CodeAt(ctx, at, new(big.Int))
	require.NoError(t, err)
	require.Empty(t, none)
	code, err := s.CodeAt(ctx, at, nil)
	require.NoError(t, err)
	require.NotEmpty(t, code)
	slot, err := s.StorageAt(ctx, at, common.BigToHash(big.NewInt(2)), nil)
	require.NoError(t, err)
	require.Equal(t, int64(1000), new(big.Int).SetBytes(slot).Int64(), "the total supply is the third word")
	nonce, err := s.PendingNonceAt(ctx, s.ann.Address)
	require.NoError(t, err)
	require.Equal(t, uint64(2), nonce)
	_, err = s.BalanceAt(ctx, at, big.NewInt(99))
	require.ErrorContains(t, err, "block not found")

	// Blocks and transactions by every name.
	block, err := s.BlockByNumber(ctx, big.NewInt(2))
	require.NoError(t, err)
	require.Equal(t, receipt.BlockHash, block.Hash())
	byHash, err := s.BlockByHash(ctx, block.Hash())
	require.NoError(t, err)
	require.Equal(t, block.Hash(), byHash.Hash())
	parent, err := s.HeaderByHash(ctx, block.ParentHash())
	require.NoError(t, err)
	require.Equal(t, int64(1), parent.Number.Int64())
	got, pending, err := s.TransactionByHash(ctx, tx.Hash())
	require.NoError(t, err)
	require.False(t, pending)
	require.Equal(t, tx.Hash(), got.Hash())
	got, err = s.TransactionInBlock(ctx, block.Hash(), 0)
	require.NoError(t, err)
	require.Equal(t, tx.Hash(), got.Hash())
	from, err := s.TransactionSender(ctx, got, block.Hash(), 0)
	require.NoError(t, err)
	require.Equal(t, s.ann.Address, from)
	count, err := s.TransactionCount(ctx, block.Hash())
	require.NoError(t, err)
	require.Equal(t, uint(1), count)
	receipts, err := s.BlockReceipts(ctx, rpc.BlockNumberOrHashWithNumber(2))
	require.NoError(t, err)
	require.Equal(t, text(t, receipt), text(t, receipts[0]))
	_, err = s.TransactionReceipt(ctx, common.Hash{1})
	require.ErrorIs(t, err, ethereum.NotFound)
	_, _, err = s.TransactionByHash(ctx, common.Hash{1})
	require.ErrorIs(t, err, ethereum.NotFound)
	_, err = s.BlockByNumber(ctx, big.NewInt(99))
	require.ErrorIs(t, err, ethereum.NotFound)
	fees, err := s.FeeHistory(ctx, 2, nil, []float64{50})
	require.NoError(t, err)
	require.Len(t, fees.BaseFee, 3)
	require.Len(t, fees.Reward, 2)

	// Logs by address and topic.
	transfer := coin.ABI.Events["Transfer"].ID
	for want, q := range map[int]ethereum.FilterQuery{
		2: {FromBlock: new(big.Int), Addresses: []common.Address{at}, Topics: [][]common.Hash{{transfer}}},
		1: {FromBlock: new(big.Int), Topics: [][]common.Hash{nil, {common.BytesToHash(s.ann.Address[:])}}},
		0: {FromBlock: new(big.Int), Addresses: []common.Address{{1}}},
	} {
		logs, err := s.FilterLogs(ctx, q)
		require.NoError(t, err)
		require.Len(t, logs, want)
	}
	hash := block.Hash()
	logs, err := s.FilterLogs(ctx, ethereum.FilterQuery{BlockHash: &hash})
	require.NoError(t, err)
	require.Len(t, logs, 1)

	// Executed in one call, with its receipt.
	receipt, err = s.SendTransactionSync(ctx, s.ben.Send(s.ann.Address, big.NewInt(5), nil), nil)
	require.NoError(t, err)
	require.Equal(t, uint64(21000), receipt.GasUsed)
}
