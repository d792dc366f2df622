package contracttest

import (
	"crypto/ecdsa"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Wallet signs one account's transactions and counts them.
type Wallet struct {
	Key     *ecdsa.PrivateKey
	Address common.Address
	// Nonce is that of the next transaction.
	Nonce uint64
	// FeeCap and Tip are the most that it pays for gas; nil for 0.
	FeeCap, Tip *big.Int

	signer types.Signer
}

// NewWallet returns a wallet for a chain whose key follows from a name, so anybody has
// it: for tests.
func NewWallet(chainID uint64, name string) *Wallet {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("parley/contracttest/" + name)))
	if err != nil {
		panic(err) // of one hash in 2^128
	}
	return &Wallet{
		Key: key, Address: crypto.PubkeyToAddress(key.PublicKey),
		signer: types.LatestSignerForChainID(new(big.Int).SetUint64(chainID)),
	}
}

// Sign signs a transaction of any type.
func (w *Wallet) Sign(tx types.TxData) *types.Transaction {
	return types.MustSignNewTx(w.Key, w.signer, tx)
}

// GasLimit is that of the transactions of [Wallet.Send] and [Wallet.Deploy].
const GasLimit = 8_000_000

// Send is a transaction to an address.
func (w *Wallet) Send(to common.Address, value *big.Int, data []byte) *types.Transaction {
	return w.next(&to, value, data)
}

// Deploy is a transaction that deploys, and the contract's address.
func (w *Wallet) Deploy(code []byte) (*types.Transaction, common.Address) {
	at := crypto.CreateAddress(w.Address, w.Nonce)
	return w.next(nil, nil, code), at
}

func (w *Wallet) next(to *common.Address, value *big.Int, data []byte) *types.Transaction {
	tx := &types.DynamicFeeTx{
		ChainID: w.signer.ChainID(), Nonce: w.Nonce, To: to, Value: value, Data: data, Gas: GasLimit,
		GasFeeCap: w.FeeCap, GasTipCap: w.Tip,
	}
	w.Nonce++
	return w.Sign(tx)
}
