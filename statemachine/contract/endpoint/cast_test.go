//go:build ethers

package endpoint_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// cast is Foundry's command.
type cast struct {
	t        *testing.T
	path     string
	url, key string
	home     string
}

// castPath is where npm puts the command, which is a program of its own for each platform.
func (s *tools) castPath() string {
	system := map[string]string{"windows": "win32"}[runtime.GOOS]
	if system == "" {
		system = runtime.GOOS
	}
	return filepath.Join(s.dir, "node_modules", "@foundry-rs", "cast-"+system+"-"+runtime.GOARCH, "bin", "cast")
}

func (s *tools) cast(t *testing.T, w *contracttest.Wallet, url string) *cast {
	path := s.castPath()
	if _, err := os.Stat(path); err != nil {
		without(t, "there is no cast for this platform: %v", err)
	}
	return &cast{t, path, url, hexutil.Encode(crypto.FromECDSA(w.Key)), t.TempDir()}
}

func (c *cast) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = append(os.Environ(), "ETH_RPC_URL="+c.url, "HOME="+c.home, "NO_COLOR=1")
	cmd.Dir = c.home
	return cmd
}

// run returns what the command says, on both of its outputs.
func (c *cast) run(args ...string) (out, complaint string, err error) {
	cmd := c.command(c.t.Context(), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	return strings.TrimSpace(string(b)), stderr.String(), err
}

func (c *cast) ok(args ...string) string {
	c.t.Helper()
	out, complaint, err := c.run(args...)
	require.NoError(c.t, err, "cast %s\n%s%s", strings.Join(args, " "), out, complaint)
	c.t.Logf("cast %.100s\n%.300s", strings.Join(args, " "), out)
	return out
}

func (c *cast) fails(want string, args ...string) {
	c.t.Helper()
	out, complaint, err := c.run(args...)
	require.Error(c.t, err, "cast %s\n%s", strings.Join(args, " "), out)
	require.Contains(c.t, complaint, want)
}

// follow has a command tell news, of which there are some whenever another command has run.
func (c *cast) follow(news []string, args ...string) {
	ctx, stop := context.WithCancel(c.t.Context())
	cmd := c.command(ctx, append(args, "--rpc-url", "ws"+strings.TrimPrefix(c.url, "http"))...)
	out, err := cmd.StdoutPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, cmd.Start())
	told := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		told <- line
	}()
	for line := ""; line == ""; { // it does not say from when on it listens
		c.ok(news...)
		select {
		case line = <-told:
			require.NotEmpty(c.t, line, "it ended")
			c.t.Logf("cast %s\n%s", strings.Join(args, " "), line)
		default:
		}
	}
	stop()
	_ = cmd.Wait() // it was killed
}

// into reads what a command says in JSON.
func into[T any](c *cast, args ...string) (out T) {
	c.t.Helper()
	require.NoError(c.t, json.Unmarshal([]byte(c.ok(args...)), &out))
	return out
}

// tell uses the command for everything that it does with an endpoint.
func (c *cast) tell(w *contracttest.Wallet, fee *big.Int) {
	t, ann, ben := c.t, w.Address.Hex(), common.Address{0xbe}.Hex()
	c.ok("--version")

	// The chain.
	require.Equal(t, "1337", c.ok("chain-id"))
	require.Equal(t, "parley", c.ok("client"))
	require.Equal(t, fee.String(), c.ok("gas-price"))
	require.Equal(t, fee.String(), c.ok("base-fee"))
	require.Equal(t, "1000000000000000000000", c.ok("balance", ann))
	require.Equal(t, "0", c.ok("nonce", ann))
	c.ok("block-number")
	c.ok("block", "latest")
	c.ok("block", "latest", "--full", "--json")
	c.ok("age")

	// A contract is deployed, read and called.
	coin := contracttest.Load("Coin")
	receipt := into[types.Receipt](c, "send", "--private-key", c.key, "--json", "--create", hexutil.Encode(coin.Code), "constructor(uint256)", "1000")
	require.Equal(t, types.ReceiptStatusSuccessful, receipt.Status)
	at := receipt.ContractAddress.Hex()
	require.Equal(t, crypto.CreateAddress(w.Address, 0), receipt.ContractAddress)
	require.NotEqual(t, "0x", c.ok("code", at))
	require.NotEqual(t, "0", c.ok("codesize", at))
	require.Equal(t, "1000", c.ok("call", at, "balanceOf(address)(uint256)", ann))
	require.Equal(t, hexutil.Encode(common.LeftPadBytes(big.NewInt(1000).Bytes(), 32)), c.ok("storage", at, "2"))
	transfer := []string{at, "transfer(address,uint256)", ben, "3"}
	require.NotEqual(t, "0", c.ok(append([]string{"estimate", "--from", ann}, transfer...)...))
	require.Contains(t, c.ok(append([]string{"access-list", "--from", ann}, transfer...)...), "keys")

	// Transactions of both kinds, waited for and not.
	sent := into[types.Receipt](c, append([]string{"send", "--private-key", c.key, "--json"}, transfer...)...)
	require.Equal(t, types.ReceiptStatusSuccessful, sent.Status)
	require.EqualValues(t, types.DynamicFeeTxType, sent.Type)
	require.Len(t, sent.Logs, 1)
	legacy := into[types.Receipt](c, append([]string{"send", "--legacy", "--private-key", c.key, "--json"}, transfer...)...)
	require.EqualValues(t, types.LegacyTxType, legacy.Type)
	// By eth_sendRawTransactionSync, and run again here with what is read of the state before it.
	sync := into[types.Receipt](c, append([]string{"send", "--sync", "--private-key", c.key, "--json"}, transfer...)...)
	trace := c.ok("run", sync.TxHash.Hex())
	require.Contains(t, trace, "Transaction successfully executed")
	require.Contains(t, trace, fmt.Sprintf("Gas used: %d", sync.GasUsed))
	require.Contains(t, c.ok(append([]string{"call", "--trace", "--from", ann}, transfer...)...), "emit Transfer(")
	async := c.ok(append([]string{"send", "--async", "--private-key", c.key}, transfer...)...)
	require.Equal(t, "true", c.ok("receipt", async, "status"))
	require.Equal(t, async, into[struct{ Hash string }](c, "tx", async, "--json").Hash)
	raw := c.ok(append([]string{"mktx", "--private-key", c.key}, transfer...)...)
	published := into[types.Receipt](c, "publish", raw)
	require.Equal(t, raw, c.ok("tx", published.TxHash.Hex(), "--raw"))
	require.Equal(t, "15", c.ok("call", at, "balanceOf(address)(uint256)", ben))
	require.Equal(t, "3", c.ok("call", "--block", sent.BlockNumber.String(), at, "balanceOf(address)(uint256)", ben))

	c.ok("find-block", "1800000000")
	require.Equal(t, "7", c.ok("call", "--override-state-diff", at+":0x2:0x7", at, "totalSupply()(uint256)"))

	// What fails. The error's name cast would look up on a page of others.
	poor := hexutil.Encode(coin.ABI.Errors["ERC20InsufficientBalance"].ID.Bytes()[:4])
	c.fails("error code 3: execution reverted, data: \""+poor, "call", "--from", ann, at, "transfer(address,uint256)", ben, "1000000")
	c.fails(poor, "send", "--private-key", c.key, at, "transfer(address,uint256)", ben, "1000000")
	failed := into[types.Receipt](c, "send", "--private-key", c.key, "--json", "--gas-limit", "100000", at, "transfer(address,uint256)", ben, "1000000")
	require.Equal(t, types.ReceiptStatusFailed, failed.Status)
	c.fails("nonce too low", "send", "--private-key", c.key, "--nonce", "0", ben)
	c.fails("-32004", "proof", at)

	// Logs.
	logs := into[[]types.Log](c, "logs", "--from-block", "0", "--to-block", "latest", "--address", at, "--json", "Transfer(address indexed,address indexed,uint256)")
	require.Len(t, logs, 6)
	c.follow(append([]string{"send", "--async", "--private-key", c.key}, transfer...), "logs", "--subscribe", "--address", at)
}
