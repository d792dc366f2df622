//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a sender is told when a transaction was refused, before it was sent or after, or
// failed in the chain: what it was, the figures, and what to do.
func TestContractRefusals(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	key, poor := filepath.Join(tmp, "rich.key"), filepath.Join(tmp, "poor.key")
	me := strings.TrimSpace(must(t, "contract", "key", "--account", key))
	nobody := strings.TrimSpace(must(t, "contract", "key", "--account", poor))
	genesis := filepath.Join(tmp, "genesis.json")
	require.NoError(t, os.WriteFile(genesis, fmt.Appendf(nil, `{"chainId": 7, "baseFee": 10, "alloc": {%q: {"balance": "0xde0b6b3a7640000"}}}`, me), 0o600))
	dir := makeCluster(t, 1, "--app", "contract", "--genesis", genesis)
	startProcesses(t, dir, 1)
	const other = "0x00000000000000000000000000000000000000B0"
	send := func(account string, args ...string) []string {
		return append([]string{"contract", "send", "--dir", dir, "--account", account}, args...)
	}
	no := func(args []string, says ...string) { t.Helper(); refused(t, exitAbsent, args, says...) }

	// The account's nonces: 0 and 1 are used.
	hostile := artifactPath("Hostile")
	at := wordAfter(t, must(t, "contract", "deploy", "--dir", dir, "--account", key, hostile), "contract")
	out := must(t, send(key, "--value", "5", other)...)
	hash := wordAfter(t, out, "transaction")
	no(send(key, "--nonce", "0", other), "refused, and nothing was changed: nonce too low: the transaction has nonce 0, and the next one of "+me+" must have 2", "leave out --nonce")
	no(send(key, "--nonce", "1", "--value", "5", other), "nonce too low: this very transaction ran already, in block ", "'parley contract receipt "+hash+"' shows how it ended")
	no(send(key, "--nonce", "9", other), "refused, and nothing was changed: nonce too high: the transaction has nonce 9, and the next one of "+me+" must have 2", "send those before it first, or leave out --nonce")
	refused(t, exitUsage, send(key, "--nonce", "-2", other), "--nonce is -2: give a number from 0")

	// What it costs.
	no(send(poor, "--gas", "21000", "--value", "1", other), "refused, and nothing was changed: insufficient funds for gas * price + value: the value of 1 wei and 21000 gas at 10 wei each are 210001 wei, and "+
		nobody+" has 0 wei: 210001 are missing")
	no(send(poor, "--value", "1", other), "refused when it was tried, and nothing was sent: insufficient funds for")
	no(send(key, "--gas", "20000", other), "refused, and nothing was changed: intrinsic gas too low: the limit of 20000 gas", "give more with --gas")
	no(send(key, "--gas", "999999999", other), "refused, and nothing was changed: transaction gas limit too high: the limit is 999999999 gas, and a transaction of this chain has at most ", "give less with --gas")

	// In the chain, and when it is tried.
	no(send(key, "--gas", "100000", "--abi", hostile, at, "loop"), "in block ", "failed, and only its nonce and 100000 gas are used up: out of gas: the limit was 100000: give more with --gas")
	no(send(key, "--abi", hostile, at, "loop"), "refused when it was tried, and nothing was sent: ", "gas")
	no(send(key, "--gas", "100000", "--abi", hostile, at, "refuse", "not today"), "in block ", "failed, and only its nonce and ", " gas are used up: execution reverted: not today")
	no(send(key, "--abi", hostile, at, "refuse", "not today"), "refused when it was tried, and nothing was sent: execution reverted: not today")
	require.Contains(t, must(t, "contract", "account", "--dir", dir, "--account", key), ", nonce 4, ", "two of these are in the chain")

	// Errors of the contract's own have names if somebody says them.
	coin := artifactPath("Coin")
	coinAt := wordAfter(t, must(t, "contract", "deploy", "--dir", dir, "--account", key, coin, "1"), "contract")
	no(send(key, "--abi", coin, coinAt, "transfer", other, "2"), "nothing was sent: execution reverted: ERC20InsufficientBalance("+me+", 1, 2)")
	no(send(key, "--data", "0xa9059cbb"+strings.Repeat("0", 62)+"b0"+strings.Repeat("0", 63)+"2", coinAt), "nothing was sent: execution reverted: 0xe450d38c", "(--abi names the contract's own errors)")
}
