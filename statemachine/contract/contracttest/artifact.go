// Package contracttest has real contracts to try a chain with: OpenZeppelin's ERC-20,
// ERC-721, voting token, Governor and Timelock, some that mean ill, and stories that
// are told with them, transaction by transaction.
//
// The contracts are compiled by compile.mjs, which says how; LICENSE-OpenZeppelin is
// about what they are made of.
package contracttest

import (
	"embed"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

//go:embed artifacts/*.json
var artifacts embed.FS

// Contract is a compiled contract.
type Contract struct {
	Name string
	ABI  abi.ABI
	// Code is what deploys it, before the arguments of the constructor.
	Code []byte
}

var loaded sync.Map // by name

// Load returns one of the contracts in artifacts/. It panics if there is none of that
// name.
func Load(name string) *Contract {
	if c, ok := loaded.Load(name); ok {
		return c.(*Contract)
	}
	data, err := artifacts.ReadFile("artifacts/" + name + ".json")
	if err != nil {
		panic(err)
	}
	var file struct {
		ABI      json.RawMessage `json:"abi"`
		Bytecode hexutil.Bytes   `json:"bytecode"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	parsed, err := abi.JSON(strings.NewReader(string(file.ABI)))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	c, _ := loaded.LoadOrStore(name, &Contract{Name: name, ABI: parsed, Code: file.Bytecode})
	return c.(*Contract)
}

// Deploy is the data of the transaction that deploys the contract.
func (c *Contract) Deploy(args ...any) []byte {
	return append(append([]byte(nil), c.Code...), c.Call("", args...)...)
}

// Call is the data of a call of a method; without a name it is the constructor's
// arguments.
func (c *Contract) Call(method string, args ...any) []byte {
	b, err := c.ABI.Pack(method, args...)
	if err != nil {
		panic(fmt.Sprintf("%s.%s: %v", c.Name, method, err))
	}
	return b
}

// Returns reads what a call of a method returned.
func (c *Contract) Returns(method string, data []byte) ([]any, error) {
	return c.ABI.Unpack(method, data)
}

//go:embed gas.json
var gasFile []byte

// StoryFee is the price of gas in the story whose gas [SimulatedGas] has.
var StoryFee = big.NewInt(20e9)

// SimulatedGas is what go-ethereum's simulated backend says the transactions of
// NewStory(1337, StoryFee) use, by hash. The module crosscheck runs it and writes the
// file.
func SimulatedGas() map[common.Hash]uint64 {
	gas := make(map[common.Hash]uint64)
	if err := json.Unmarshal(gasFile, &gas); err != nil {
		panic(err)
	}
	return gas
}
