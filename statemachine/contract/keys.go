package contract

import (
	"encoding/binary"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/parley-bft/parley/statemachine/store"
)

// What is where in the store. The first byte of a key says what it is:
//
//	a address         an account: nonce, balance, hash of its code
//	s address slot    a word of a contract's storage, without leading zeros
//	c hash            code
//	b height          a block's header, in short
//	x height index    a transaction with its receipt
//	n hash            the height of a block
//	t hash            the place of a transaction: height and index
//	h                 the head: the height of the last block
//	g                 the genesis' digest
//
// Numbers are big-endian, so that blocks are in order.
const (
	tagAccount     = 'a'
	tagStorage     = 's'
	tagCode        = 'c'
	tagBlock       = 'b'
	tagRecord      = 'x'
	tagBlockHash   = 'n'
	tagTransaction = 't'
	tagHead        = 'h'
	tagGenesis     = 'g'
)

// AccountKey is the key under which an account is stored, for proofs by
// [store.ProofQuery]; [DecodeAccount] reads what is there. Without one there is no such
// account.
func AccountKey(a common.Address) []byte { return append([]byte{tagAccount}, a[:]...) }

// StorageKey is the key of a word of a contract's storage; what is there is the word
// without leading zeros, and nothing if it is zero.
func StorageKey(a common.Address, slot common.Hash) []byte {
	b := make([]byte, 0, 1+common.AddressLength+common.HashLength)
	b = append(b, tagStorage)
	b = append(b, a[:]...)
	return append(b, slot[:]...)
}

func codeKey(h common.Hash) []byte        { return append([]byte{tagCode}, h[:]...) }
func blockHashKey(h common.Hash) []byte   { return append([]byte{tagBlockHash}, h[:]...) }
func transactionKey(h common.Hash) []byte { return append([]byte{tagTransaction}, h[:]...) }

func blockKey(height uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tagBlock}, height)
}

func recordKey(p place) []byte {
	return p.append([]byte{tagRecord})
}

var (
	headKey    = []byte{tagHead}
	genesisKey = []byte{tagGenesis}
)

// place is where a transaction is.
type place struct {
	height uint64
	index  uint32
}

func (p place) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, p.height)
	return binary.BigEndian.AppendUint32(b, p.index)
}

func placeOf(b []byte) place {
	return place{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])}
}

// getRLP reads what setRLP wrote. The state's digest is certified, so what does not
// decode was damaged here.
func getRLP(r store.Reader, key []byte, into any) bool {
	b, ok := r.Get(key)
	if !ok {
		return false
	}
	if err := rlp.DecodeBytes(b, into); err != nil {
		panic(&store.Failure{Op: "decode", Err: fmt.Errorf("key %q: %w", key, err)})
	}
	return true
}

func setRLP(t store.Txn, key []byte, v any) {
	b, err := rlp.EncodeToBytes(v)
	if err != nil {
		panic(fmt.Sprintf("contract: %T does not encode: %v", v, err)) // a bug
	}
	t.Set(key, b)
}

func getUint64(r store.Reader, key []byte) (uint64, bool) {
	b, ok := r.Get(key)
	if !ok || len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

func setUint64(t store.Txn, key []byte, v uint64) {
	t.Set(key, binary.BigEndian.AppendUint64(nil, v))
}
