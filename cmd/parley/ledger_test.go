//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A ledger on four real processes, from the opening of accounts to the audit, while a
// replica dies.
func TestLedger(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4, "--app", "ledger", "--client-keys", "1", "--open")
	p := startProcesses(t, dir, 4)
	tmp := t.TempDir()
	keys := map[string]string{}
	for _, name := range []string{"bank", "alice", "bob", "maker"} {
		keys[name] = filepath.Join(tmp, name+".key")
		must(t, "keygen", keys[name])
	}
	// as runs a command of the ledger with somebody's key.
	args := func(who string, words []string) []string {
		n := 1
		if g := words[0]; g == "account" || g == "asset" || g == "hold" || g == "offer" || g == "tx" {
			n = 2
		}
		all := append([]string{"ledger"}, words[:n]...)
		return append(append(all, "--dir", dir, "--key", keys[who]), words[n:]...)
	}
	as := func(who string, words ...string) string { t.Helper(); return must(t, args(who, words)...) }
	no := func(who string, says string, words ...string) {
		t.Helper()
		refused(t, exitAbsent, args(who, words), says)
	}
	for who := range keys {
		require.Contains(t, as(who, "account", "open", who), "account open: done, tx ")
	}
	no("bob", "the name is taken: alice", "account", "open", "alice")
	as("bank", "asset", "define", "EUR", "bank", "--decimals", "2", "--rule", "freezable", "--description", "euro at the bank")
	as("bank", "asset", "define", "BOND", "bank", "--max-supply", "10", "--rule", "fixed")
	as("bank", "issue", "EUR", "alice", "1000.00")
	as("bank", "issue", "BOND", "bob", "5")
	no("bank", "supply is exhausted: BOND (action 1): there is 5 BOND, and it takes 6", "issue", "BOND", "bob", "6")
	no("alice", "not authorised: bank: 0, 1 needed", "issue", "EUR", "alice", "1")
	as("alice", "transfer", "EUR", "alice", "bob", "12.50", "--memo", "lunch")
	no("alice", "there is 987.50 EUR, and it takes 5000.00", "transfer", "EUR", "alice", "bob", "5000")
	no("alice", "unknown account: carol", "transfer", "EUR", "alice", "carol", "1")
	refused(t, exitUsage, args("alice", []string{"transfer", "EUR", "alice", "bob", "1.234"}), "the asset has 2 digits after the point")
	refused(t, exitUsage, args("alice", []string{"transfer", "EUR", "Alice", "bob", "1"}), "lower-case letters")
	refused(t, exitAbsent, args("alice", []string{"transfer", "GBP", "alice", "bob", "1"}), "there is no asset GBP")
	refused(t, exitUsage, args("alice", []string{"transfer", "EUR", "alice"}), "TO and AMOUNT are missing")
	require.Contains(t, as("alice", "transfer", "EUR", "alice", "bob", "1", "--json"), `{"done":true,"block":`)
	o := parley(t, args("alice", []string{"transfer", "EUR", "alice", "bob", "9999", "--json"})...)
	require.Equal(t, exitAbsent, o.code)
	require.Contains(t, o.out, `"code":115,"reason":"insufficient balance`)
	out := as("alice", "statement", "alice")
	require.Regexp(t, `(?m)EUR +1 +transfer +bob +-12\.50 +987\.50 +0\.00 +0\.00 +lunch`, out)
	require.Contains(t, as("bob", "account", "show", "alice"), "986.50")
	require.Contains(t, as("bob", "account", "list"), "1 of 1")
	require.Contains(t, as("bob", "asset", "list"), "euro at the bank")
	require.Contains(t, as("bob", "asset", "show", "BOND"), "fixed")

	// Delivery against payment, signed in a file.
	file := filepath.Join(tmp, "trade.json")
	made := as("alice", "tx", "make", file, "--memo", "trade", "--leg", "transfer EUR alice bob 200.00", "--leg", "transfer BOND bob alice 2", "--sequence", "bob")
	require.Contains(t, made, "1. transfer 200.00 EUR from alice to bob\n  2. transfer 2 BOND from bob to alice")
	require.Contains(t, must(t, "ledger", "tx", "sign", "--dir", dir, file, "--key", keys["alice"]), "transfer 20000 units of EUR")
	no("maker", "not authorised: bob", "tx", "submit", file)
	must(t, "ledger", "tx", "sign", "--dir", dir, file, "--key", keys["bob"])
	refused(t, exitFailed, []string{"ledger", "tx", "sign", "--dir", dir, file, "--key", keys["bob"]}, "already")
	shown := as("maker", "tx", "show", file)
	require.Equal(t, 2, strings.Count(shown, "  signed by "))
	receipt := filepath.Join(tmp, "trade.receipt")
	require.Contains(t, as("maker", "tx", "submit", file, "--receipt", receipt), "submit: done, tx ")
	no("maker", "signed transaction ran already", "tx", "submit", file)
	require.FileExists(t, receipt)
	require.Contains(t, as("bob", "account", "show", "alice"), "786.50")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var f txFile
	require.NoError(t, json.Unmarshal(data, &f))
	f.Cluster[0] ^= 1
	data, err = f.encode()
	require.NoError(t, err)
	foreign := filepath.Join(tmp, "foreign.json")
	require.NoError(t, os.WriteFile(foreign, data, 0o600))
	refused(t, exitFailed, args("maker", []string{"tx", "submit", foreign}), "is for the cluster")
	refused(t, exitUsage, args("maker", []string{"tx", "make", file + "2", "--leg", "steal EUR alice bob 1"}), "begins with no command of the ledger")
	refused(t, exitUsage, args("maker", []string{"tx", "make", file + "2", "--leg", "transfer EUR alice"}), "TO and AMOUNT are missing")

	// Two of three.
	as("alice", "account", "open", "board", "--threshold", "2", "--owner", keys["alice"], "--owner", keys["bob"], "--owner", keys["maker"])
	as("alice", "transfer", "EUR", "alice", "board", "100")
	spend := filepath.Join(tmp, "spend.json")
	as("alice", "tx", "make", spend, "--leg", "transfer EUR board maker 40")
	pending := as("alice", "tx", "propose", spend)
	digest := regexp.MustCompile(`[0-9a-f]{64}`).FindString(pending)
	require.Contains(t, pending, "waits for more approvals")
	require.Contains(t, as("bob", "tx", "list"), "transfer 40.00 EUR from board to maker")
	no("bank", "not authorised", "tx", "approve", digest)
	require.Contains(t, as("bob", "tx", "approve", digest), "approve: done")
	no("maker", "unknown proposal", "tx", "withdraw", digest)

	// Holds.
	as("alice", "hold", "place", "EUR", "alice", "bob", "50.00", "--ref", "room", "--for", "1h")
	require.Regexp(t, `alice +room +bob +50\.00 EUR`, as("bob", "hold", "list", "bob"))
	as("bob", "hold", "capture", "alice", "room", "--amount", "30.00")
	no("bob", "unknown hold", "hold", "release", "alice", "room")
	refused(t, exitUsage, args("alice", []string{"hold", "place", "EUR", "alice", "bob", "1"}), "--ref is missing")

	// IOUs: alice -> bank -> bob, and dollars through the maker.
	as("bank", "asset", "define", "USD", "bank", "--decimals", "2")
	as("bank", "trust", "bank", "alice", "EUR", "500", "--ripple")
	as("maker", "trust", "maker", "bank", "EUR", "500")
	as("bank", "trust", "bank", "maker", "EUR", "0", "--ripple")
	as("bob", "trust", "bob", "maker", "USD", "500")
	as("maker", "offer", "make", "maker", "usd", "USD", "100.00", "EUR", "0.951", "--credit")
	require.Regexp(t, `usd +100\.00 USD +EUR +951 for 1000 +credit`, as("bob", "offer", "list", "maker"))
	require.Regexp(t, `9\.51 EUR +alice:EUR bank:EUR maker:EUR maker:USD bob:USD`, as("alice", "path", "USD", "alice", "bob", "10", "--with", "EUR"))
	refused(t, exitAbsent, args("alice", []string{"path", "USD", "alice", "bob", "101", "--with", "EUR"}), "no path from alice to bob for 101.00 USD")
	refused(t, exitUsage, args("alice", []string{"pay", "USD", "alice", "bob", "10", "--with", "EUR"}), "--max is missing")
	require.Contains(t, as("alice", "pay", "USD", "alice", "bob", "10", "--with", "EUR", "--max", "9.60"), "done for 951 units")
	require.Regexp(t, `alice +EUR +9\.51 +500\.00 +0\.00 +true`, as("bank", "lines", "bank"))
	require.Regexp(t, `bank +EUR +-9\.51 +0\.00 +500\.00 +false`, as("alice", "lines", "alice"))
	as("bob", "offer", "make", "bob", "bonds", "BOND", "3", "EUR", "101.50")
	as("alice", "offer", "take", "bob", "bonds", "alice", "2", "--max", "203.00")
	as("bob", "offer", "cancel", "bob", "bonds")

	// Freezing, and one replica that dies and one that is asked alone.
	p.kill(0)
	as("bank", "freeze", "EUR", "bob")
	no("bob", "frozen: bob's EUR", "transfer", "EUR", "bob", "alice", "1")
	as("bank", "unfreeze", "EUR", "bob")
	o = parley(t, "ledger", "audit", "--dir", dir)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, "unread")
	require.Contains(t, o.err, "1 of 4 replicas could not be read; the books of the others are right and equal")
	p.start(0)
	require.Eventually(t, func() bool {
		return parley(t, append(args("bob", []string{"account", "show", "alice"}), "--replica", "0")...).code == exitOK
	}, 60*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return parley(t, "ledger", "audit", "--dir", dir).code == exitOK }, 60*time.Second, 200*time.Millisecond)
	audited := must(t, "ledger", "audit", "--dir", dir)
	require.Contains(t, audited, "All books add up, and all replicas have the same.")
	require.Contains(t, audited, "supply of EUR: 100000 units")

	refused(t, exitFailed, []string{"put", "--dir", dir, "a", "b"}, `runs "ledger"`)
	refused(t, exitUsage, []string{"ledger", "steal"}, "no command")
}
