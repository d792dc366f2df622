package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"

	"github.com/parley-bft/parley/internal/strictjson"
)

// Genesis is the beginning of a chain and its rules for good. It is the genesis of the
// application in the cluster file, so all replicas have the same.
type Genesis struct {
	// ChainID keeps transactions of one chain from being replayed on another: every
	// signature covers it. Give each cluster its own.
	ChainID uint64 `json:"chainId"`
	// Fork names Ethereum's rules: "osaka" (the default) or "prague".
	Fork string `json:"fork,omitempty"`

	// BlockGasLimit bounds the gas of the transactions of one block: 30,000,000 by
	// default, which is well below a second of work. What finds no room is rejected
	// with CodeBlockFull and may be sent again.
	BlockGasLimit uint64 `json:"blockGasLimit,omitempty"`
	// TxGasLimit bounds the gas limit of one transaction: 16,777,216 by default, which
	// is also the most under the rules of osaka.
	TxGasLimit uint64 `json:"txGasLimit,omitempty"`
	// BaseFee is the least price of gas, in wei: 0 by default. It never changes, and
	// what is paid of it is burnt.
	BaseFee uint64 `json:"baseFee,omitempty"`
	// Coinbase gets what transactions pay above the base fee.
	Coinbase common.Address `json:"coinbase,omitzero"`

	// History is for how many blocks headers, transactions, receipts and logs are kept:
	// 1,048,576 by default, at least 256.
	History uint64 `json:"history,omitempty"`

	// Alloc are the accounts that there are at the beginning, in the notation of geth's
	// genesis files: an address with balance, nonce, code and storage.
	Alloc types.GenesisAlloc `json:"alloc,omitempty"`
}

// Names of [Genesis.Fork].
const (
	ForkPrague = "prague"
	ForkOsaka  = "osaka"
)

const (
	defaultBlockGas = 30_000_000
	defaultHistory  = 1 << 20
	minHistory      = 256 // as many hashes as BLOCKHASH can ask for
)

// DevChainID is the chain id of [DefaultGenesis]: that of development chains.
const DevChainID = 1337

// DefaultGenesis is a chain for trying things out: nobody has anything, and gas costs
// nothing.
func DefaultGenesis() *Genesis { return (&Genesis{ChainID: DevChainID}).filled() }

// ErrGenesis is wrapped by every error about a genesis.
var ErrGenesis = errors.New("contract genesis")

// ParseGenesis reads a genesis; an empty one is [DefaultGenesis].
func ParseGenesis(data json.RawMessage) (*Genesis, error) {
	if len(data) == 0 {
		return DefaultGenesis(), nil
	}
	// Not into a Genesis at once: accounts have a notation of their own.
	var f struct {
		ChainID       uint64          `json:"chainId"`
		Fork          string          `json:"fork"`
		BlockGasLimit uint64          `json:"blockGasLimit"`
		TxGasLimit    uint64          `json:"txGasLimit"`
		BaseFee       uint64          `json:"baseFee"`
		Coinbase      common.Address  `json:"coinbase"`
		History       uint64          `json:"history"`
		Alloc         json.RawMessage `json:"alloc"`
	}
	if err := strictjson.Decode(data, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	alloc, err := parseAlloc(f.Alloc)
	if err != nil {
		return nil, fmt.Errorf("%w: alloc: %w", ErrGenesis, err)
	}
	g := (&Genesis{
		ChainID: f.ChainID, Fork: f.Fork, BlockGasLimit: f.BlockGasLimit, TxGasLimit: f.TxGasLimit, BaseFee: f.BaseFee,
		Coinbase: f.Coinbase, History: f.History, Alloc: alloc,
	}).filled()
	return g, g.Validate()
}

// parseAlloc reads accounts. A misspelt field is an error, and so is an account that is
// there twice.
func parseAlloc(data json.RawMessage) (types.GenesisAlloc, error) {
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	var fields map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("write an object of accounts: %w", err)
	}
	for addr, account := range fields {
		for name := range account {
			switch name {
			case "balance", "nonce", "code", "storage":
			default:
				return nil, fmt.Errorf("%s.%s is no field of an account: write balance, nonce, code or storage", addr, name)
			}
		}
	}
	var alloc types.GenesisAlloc
	if err := json.Unmarshal(data, &alloc); err != nil {
		return nil, err
	}
	if len(alloc) != len(fields) {
		return nil, errors.New("an account is there twice")
	}
	return alloc, nil
}

// filled returns a copy with the defaults in place of what is zero.
func (g *Genesis) filled() *Genesis {
	out := *g
	if out.Fork == "" {
		out.Fork = ForkOsaka
	}
	if out.BlockGasLimit == 0 {
		out.BlockGasLimit = defaultBlockGas
	}
	if out.TxGasLimit == 0 {
		out.TxGasLimit = min(out.BlockGasLimit, params.MaxTxGas)
	}
	if out.History == 0 {
		out.History = defaultHistory
	}
	return &out
}

// Validate names the first field that is out of range, its value and the remedy. A
// zero stands for the default.
func (g *Genesis) Validate() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("%w: %s is %v: %s", ErrGenesis, field, value, remedy)
	}
	f := g.filled()
	most := uint64(params.MaxTxGas)
	if f.Fork == ForkPrague {
		most = f.BlockGasLimit
	}
	switch {
	case f.ChainID == 0 || f.ChainID > 1<<53:
		return bad("chainId", f.ChainID, fmt.Sprintf("write a number from 1 to %d that no other chain has", uint64(1<<53)))
	case f.Fork != ForkPrague && f.Fork != ForkOsaka:
		return bad("fork", f.Fork, "write "+ForkOsaka+" or "+ForkPrague)
	case f.BlockGasLimit < 1_000_000 || f.BlockGasLimit > 10_000_000_000:
		return bad("blockGasLimit", f.BlockGasLimit, "write 1000000 to 10000000000")
	case f.TxGasLimit < params.TxGas || f.TxGasLimit > min(most, f.BlockGasLimit):
		return bad("txGasLimit", f.TxGasLimit, fmt.Sprintf("write %d to %d", params.TxGas, min(most, f.BlockGasLimit)))
	case f.History < minHistory:
		return bad("history", f.History, fmt.Sprintf("write at least %d", minHistory))
	}
	for addr, a := range f.Alloc {
		field := "alloc." + addr.Hex()
		switch {
		case a.Balance != nil && (a.Balance.Sign() < 0 || a.Balance.BitLen() > 256):
			return bad(field+".balance", a.Balance, "write 0 to 2^256-1")
		case len(a.Code) > params.MaxCodeSize:
			return bad(field+".code", fmt.Sprintf("%d bytes long", len(a.Code)), fmt.Sprintf("give at most %d", params.MaxCodeSize))
		case len(a.Storage) > 0 && len(a.Code) == 0:
			return bad(field+".storage", "given without code", "give both or neither")
		}
	}
	if _, overflow := f.supply(); overflow {
		return bad("alloc", "over 2^256-1 wei in all", "write smaller balances")
	}
	return nil
}

// supply is what all accounts have at the beginning.
func (g *Genesis) supply() (total *uint256.Int, overflow bool) {
	total = new(uint256.Int)
	for _, a := range g.Alloc {
		if a.Balance == nil {
			continue
		}
		v, over := uint256.FromBig(a.Balance)
		if over {
			return total, true
		}
		if _, over := total.AddOverflow(total, v); over {
			return total, true
		}
	}
	return total, false
}

// ChainConfig are the chain's rules in go-ethereum's terms: for signers, and to run
// the same transactions on go-ethereum itself.
func (g *Genesis) ChainConfig() *params.ChainConfig {
	f := g.filled()
	zero := func() *big.Int { return new(big.Int) }
	now := func() *uint64 { return new(uint64) }
	c := &params.ChainConfig{
		ChainID:        new(big.Int).SetUint64(f.ChainID),
		HomesteadBlock: zero(), EIP150Block: zero(), EIP155Block: zero(), EIP158Block: zero(),
		ByzantiumBlock: zero(), ConstantinopleBlock: zero(), PetersburgBlock: zero(), IstanbulBlock: zero(),
		MuirGlacierBlock: zero(), BerlinBlock: zero(), LondonBlock: zero(), ArrowGlacierBlock: zero(), GrayGlacierBlock: zero(),
		TerminalTotalDifficulty: zero(), MergeNetsplitBlock: zero(),
		ShanghaiTime: now(), CancunTime: now(), PragueTime: now(),
		BlobScheduleConfig: &params.BlobScheduleConfig{Cancun: params.DefaultCancunBlobConfig, Prague: params.DefaultPragueBlobConfig},
	}
	if f.Fork == ForkOsaka {
		c.OsakaTime = now()
	}
	return c
}
