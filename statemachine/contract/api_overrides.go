package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/parley-bft/parley/statemachine/store"
)

// StateOverrides are accounts that a call finds other than they are, in go-ethereum's
// notation. A field that it does not know is an error: the answer would be one to another
// question.
type StateOverrides map[common.Address]AccountOverride

// AccountOverride is what a call finds of one account. What is not given is as it is.
type AccountOverride struct {
	Nonce   *hexutil.Uint64 `json:"nonce"`
	Code    *hexutil.Bytes  `json:"code"`
	Balance *hexutil.Big    `json:"balance"`
	// State is all of the storage, StateDiff the words of it that are others.
	State     map[common.Hash]common.Hash `json:"state"`
	StateDiff map[common.Hash]common.Hash `json:"stateDiff"`
}

// UnmarshalJSON reads an override strictly.
func (a *AccountOverride) UnmarshalJSON(data []byte) error {
	type plain AccountOverride
	return strictly(data, (*plain)(a))
}

// BlockOverrides are what a call finds of its block other than it is.
type BlockOverrides struct {
	Number        *hexutil.Big    `json:"number"`
	Time          *hexutil.Uint64 `json:"time"`
	GasLimit      *hexutil.Uint64 `json:"gasLimit"`
	FeeRecipient  *common.Address `json:"feeRecipient"`
	PrevRandao    *common.Hash    `json:"prevRandao"`
	BaseFeePerGas *hexutil.Big    `json:"baseFeePerGas"`
	BlobBaseFee   *hexutil.Big    `json:"blobBaseFee"`
	// Difficulty has no meaning any more.
	Difficulty *hexutil.Big `json:"difficulty"`
}

// UnmarshalJSON reads overrides strictly.
func (o *BlockOverrides) UnmarshalJSON(data []byte) error {
	type plain BlockOverrides
	return strictly(data, (*plain)(o))
}

func strictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("override: %w", err)
	}
	return nil
}

// apply puts them into a block.
func (o *BlockOverrides) apply(c *vm.BlockContext) {
	if o == nil {
		return
	}
	if o.Number != nil {
		c.BlockNumber = o.Number.ToInt()
	}
	if o.Time != nil {
		c.Time = uint64(*o.Time)
	}
	if o.GasLimit != nil {
		c.GasLimit = uint64(*o.GasLimit)
	}
	if o.FeeRecipient != nil {
		c.Coinbase = *o.FeeRecipient
	}
	if o.PrevRandao != nil {
		c.Random = o.PrevRandao
	}
	if o.BaseFeePerGas != nil {
		c.BaseFee = o.BaseFeePerGas.ToInt()
	}
	if o.BlobBaseFee != nil {
		c.BlobBaseFee = o.BlobBaseFee.ToInt()
	}
}

// overlaid is a state with other accounts. Only single keys are read of it: Range and
// Backward are those of the state below.
type overlaid struct {
	store.Reader
	values map[string][]byte       // nil for a key that has none
	bare   map[common.Address]bool // of whose storage there is only what values has
}

// Get returns what the state has, or what is in its place.
func (o *overlaid) Get(key []byte) ([]byte, bool) {
	if v, ok := o.values[string(key)]; ok {
		return v, v != nil
	}
	if key[0] == tagStorage && o.bare[common.BytesToAddress(key[1:1+common.AddressLength])] {
		return nil, false
	}
	return o.Reader.Get(key)
}

// over returns r with the overrides in it, as if an earlier transaction had made them.
func (o *StateOverrides) over(r store.Reader, rules params.Rules) (store.Reader, error) {
	if o == nil || len(*o) == 0 {
		return r, nil
	}
	out := &overlaid{Reader: r, values: make(map[string][]byte), bare: make(map[common.Address]bool)}
	builtIn := vm.ActivePrecompiles(rules)
	for _, addr := range slices.SortedFunc(maps.Keys(*o), common.Address.Cmp) {
		given := (*o)[addr]
		switch {
		case slices.Contains(builtIn, addr):
			return nil, fmt.Errorf("override of %v: what is built in cannot be another", addr)
		case given.State != nil && given.StateDiff != nil:
			return nil, fmt.Errorf("account %v has both 'state' and 'stateDiff'", addr)
		}
		if err := out.put(addr, &given); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (o *overlaid) put(addr common.Address, given *AccountOverride) error {
	a := loadAccount(o.Reader, addr)
	d := accountData{Nonce: a.nonce, Balance: &a.balance}
	if a.exists && a.codeHash != types.EmptyCodeHash {
		d.CodeHash = a.codeHash[:]
	}
	if given.Nonce != nil {
		d.Nonce = uint64(*given.Nonce)
	}
	if given.Balance != nil {
		balance, over := uint256.FromBig(given.Balance.ToInt())
		if over {
			return fmt.Errorf("override of %v: balance is no number of 256 bits", addr)
		}
		d.Balance = balance
	}
	if given.Code != nil {
		d.CodeHash = nil
		if code := *given.Code; len(code) > 0 {
			d.CodeHash = crypto.Keccak256(code)
			o.values[string(codeKey(common.BytesToHash(d.CodeHash)))] = code
		}
	}
	b, err := rlp.EncodeToBytes(&d)
	if err != nil {
		return fmt.Errorf("override of %v: %w", addr, err)
	}
	o.values[string(AccountKey(addr))] = b
	o.bare[addr] = given.State != nil
	for _, words := range []map[common.Hash]common.Hash{given.State, given.StateDiff} {
		for slot, word := range words {
			o.values[string(StorageKey(addr, slot))] = nil
			if word != (common.Hash{}) {
				o.values[string(StorageKey(addr, slot))] = common.TrimLeftZeroes(word[:])
			}
		}
	}
	return nil
}
