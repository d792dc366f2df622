//go:build unix

package main

import (
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

func artifactPath(name string) string {
	return filepath.Join("..", "..", "statemachine", "contract", "contracttest", "artifacts", name+".json")
}

// wordAfter returns what follows a word in a command's output.
func wordAfter(t *testing.T, out, word string) string {
	_, rest, ok := strings.Cut(out, word+" ")
	require.True(t, ok, out)
	return strings.Fields(rest)[0]
}

// The commands, on a cluster of four processes that admits listed clients only.
func TestContractCommands(t *testing.T) {
	dir := makeCluster(t, 4, "--app", "contract")
	startProcesses(t, dir, 4)
	coin := artifactPath("Coin")
	me := strings.TrimSpace(must(t, "contract", "key", "--dir", dir))
	require.True(t, common.IsHexAddress(me))
	require.Equal(t, me+"\n", must(t, "contract", "key", "--dir", dir), "the key stays")
	info, err := os.Stat(filepath.Join(dir, accountFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.Contains(t, must(t, "contract", "account", "--dir", dir), me+": 0 wei, nonce 0, 0 bytes of code")
	out := must(t, "contract", "deploy", "--dir", dir, coin, "1000000")
	require.Contains(t, out, " Transfer from=0x0000000000000000000000000000000000000000 to="+me+" value=1000000")
	at := wordAfter(t, out, "contract")
	require.Equal(t, "1000000\n", must(t, "contract", "call", "--dir", dir, "--abi", coin, at, "balanceOf", me))
	other := "0x00000000000000000000000000000000000000b0"
	out = must(t, "contract", "send", "--dir", dir, "--abi", coin, at, "transfer", other, "0x10")
	require.Contains(t, out, "value=16")
	hash := wordAfter(t, out, "transaction")
	require.Contains(t, must(t, "contract", "receipt", "--dir", dir, "--abi", coin, hash), "transaction "+hash+" succeeded in block ")
	require.Contains(t, must(t, "contract", "receipt", "--dir", dir, "--json", hash), `"status":"0x1"`)
	require.Contains(t, must(t, "contract", "account", "--dir", dir, "--json", at), `"nonce":1`)
	logs := must(t, "contract", "logs", "--dir", dir, "--abi", coin, "--event", "Transfer", at)
	require.Equal(t, 2, strings.Count(logs, "Transfer"), logs)
	require.Contains(t, must(t, "contract", "logs", "--dir", dir, "--json", "--from", "0", "--to", "100000", at), `"address":"`+strings.ToLower(at)+`"`)
	require.Equal(t, "[16]\n", must(t, "contract", "call", "--dir", dir, "--json", "--abi", coin, at, "balanceOf", other))

	proof := filepath.Join(t.TempDir(), "transfer.receipt")
	out = must(t, "contract", "send", "--dir", dir, "--receipt", proof, "--abi", coin, at, "approve", other, "1")
	require.Contains(t, must(t, "verify-receipt", "--cluster", clusterFilePath(dir), proof), "transaction "+wordAfter(t, out, "transaction")+": ok, ")
	refused(t, exitFailed, []string{"contract", "send", "--dir", dir, "--receipt", proof, other}, "exists already")

	refused(t, exitAbsent, []string{"contract", "send", "--dir", dir, "--abi", coin, at, "transfer", other, "2000000"}, "ERC20InsufficientBalance("+me+", 999984, 2000000)")
	refused(t, exitAbsent, []string{"contract", "send", "--dir", dir, "--gas", "300000", "--abi", coin, at, "transfer", other, "2000000"}, "in block", "ERC20InsufficientBalance")
	refused(t, exitAbsent, []string{"contract", "send", "--dir", dir, "--gas", "21000", "--value", "1", other}, "nothing was changed: insufficient funds")
	refused(t, exitAbsent, []string{"contract", "call", "--dir", dir, "--abi", coin, at, "transfer", other, "1"}, "ERC20InvalidSender")
	refused(t, exitAbsent, []string{"contract", "receipt", "--dir", dir, "0x" + strings.Repeat("11", 32)}, "there is no transaction")

	// The endpoint of a replica, with a key of its own that the cluster admits.
	urls := strings.Fields(must(t, "contract", "endpoints", "--dir", dir))
	require.Len(t, urls, 4)
	c, err := ethclient.Dial(urls[1])
	require.NoError(t, err)
	defer c.Close()
	w := contracttest.NewWallet(1337, "through the endpoint")
	require.NoError(t, c.SendTransaction(t.Context(), w.Send(common.HexToAddress(at), nil, contracttest.Load("Coin").Call("approve", common.HexToAddress(me), big.NewInt(1)))))
	nonce, err := c.NonceAt(t.Context(), w.Address, nil)
	require.NoError(t, err)
	require.Equal(t, uint64(1), nonce)
	require.Contains(t, urls[1], "http://127.0.0.1:")
}

func TestContractUsage(t *testing.T) {
	dir := t.TempDir()
	coin := artifactPath("Coin")
	plain := makeCluster(t, 1)
	at := "0x00000000000000000000000000000000000000b0"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"deploy", coin}, "0 arguments are given, and it takes 1: (uint256 supply)"},
		{[]string{"deploy", coin, "many"}, `"many": a number is written`},
		{[]string{"deploy", coin, "-1"}, "unknown shorthand flag"},
		{[]string{"deploy", coin, "0x1" + strings.Repeat("0", 64)}, "out of the range of uint256"},
		{[]string{"send", "nobody"}, `"nobody" is no address`},
		{[]string{"send", at, "transfer"}, "--abi is missing"},
		{[]string{"send", "--abi", coin, at, "steal"}, `no method "steal"`},
		{[]string{"send", "--data", "0x1", at}, "--data"},
		{[]string{"call", at, "transfer"}, "--abi is missing"},
		{[]string{"receipt", "0x1"}, "is no transaction's hash"},
		{[]string{"logs", "--event", "Transfer"}, "--abi is missing"},
		{[]string{"logs", "--abi", coin, "--event", "Theft"}, `no event "Theft"`},
	} {
		refused(t, exitUsage, append([]string{"contract", c.args[0], "--dir", plain}, c.args[1:]...), c.want)
	}
	refused(t, exitFailed, []string{"contract", "account", "--dir", plain, at}, `runs "kv", and this command is for "contract"`)
	bad := filepath.Join(dir, "bad.json")
	require.NoError(t, os.WriteFile(bad, []byte(`{"abi": 5}`), 0o600))
	refused(t, exitFailed, []string{"contract", "deploy", "--dir", plain, bad}, "artifact "+bad, "abi")
	refused(t, exitFailed, []string{"start", "--dir", replicaDir(plain, 0), "--contract-listen", "127.0.0.1:0"}, "does not run contracts")
	genesis := filepath.Join(dir, "genesis.json")
	require.NoError(t, os.WriteFile(genesis, []byte(`{"chainId": 0}`), 0o600))
	refused(t, exitUsage, []string{"init", "--dir", filepath.Join(dir, "c"), "--app", "contract", "--genesis", genesis}, "chainId is 0")
}

// Values of all kinds, as people write them.
func TestContractValues(t *testing.T) {
	const source = `[{"type":"function","name":"f","inputs":[
		{"type":"string"},{"type":"bool"},{"type":"uint8"},{"type":"int16"},{"type":"int256"},{"type":"bytes"},{"type":"bytes4"},
		{"type":"address[]"},{"type":"uint64[2]"},{"type":"tuple","components":[{"name":"a","type":"uint256"},{"name":"b","type":"string[]"}]}
	],"outputs":[]}]`
	a, err := parseArtifact([]byte(source))
	require.NoError(t, err)
	at := "0x00000000000000000000000000000000000000b0"
	good := []string{"a b", "true", "255", "-32768", "-1", "0x", "0x01020304", `["` + at + `"]`, `[1, "0x2"]`, `["7", ["x", "y"]]`}
	b, err := packABI(a.abi.Methods["f"].Inputs, good)
	require.NoError(t, err)
	values, err := a.abi.Methods["f"].Inputs.Unpack(b)
	require.NoError(t, err)
	require.Equal(t, `(a b, true, 255, -32768, -1, 0x, 0x01020304, [`+common.HexToAddress(at).Hex()+`], [1, 2], {A: 7, B: [x, y]})`, formatABIValues(values))
	for i, bad := range []string{"", "maybe", "256", "32768", "x", "01", "0x010203", `["0x1"]`, "[1]", `[7]`} {
		if i == 0 {
			continue // every text is a string
		}
		texts := append([]string(nil), good...)
		texts[i] = bad
		_, err := packABI(a.abi.Methods["f"].Inputs, texts)
		require.ErrorContains(t, err, "argument "+itoa(i+1))
	}
	hardhat, err := json.Marshal(map[string]any{"abi": json.RawMessage(source), "bytecode": "0x6000"})
	require.NoError(t, err)
	foundry, err := json.Marshal(map[string]any{"abi": json.RawMessage(source), "bytecode": map[string]string{"object": "0x6000"}})
	require.NoError(t, err)
	for _, data := range [][]byte{hardhat, foundry} {
		a, err := parseArtifact(data)
		require.NoError(t, err)
		require.Equal(t, []byte{0x60, 0}, a.code)
	}
	_, err = parseArtifact([]byte(`{"abi": [], "bytecode": "0x60__$abc$__"}`))
	require.ErrorContains(t, err, "is it linked")
}

var manyABIDigits = regexp.MustCompile(`[0-9]{4}`)

func FuzzContractValue(f *testing.F) {
	f.Add("uint256[2]", "[1,2]")
	f.Add("bytes32", "0x00")
	f.Add("string", "x")
	f.Fuzz(func(t *testing.T, kind, s string) {
		typ, err := abi.NewType(kind, "", nil)
		if err != nil || strings.Contains(kind, "fixed") || strings.Count(kind, "[") > 2 || manyABIDigits.MatchString(kind) {
			return // nothing that a compiler writes
		}
		if v, err := parseABIValue(typ, s); err == nil {
			_, _ = abi.Arguments{{Type: typ}}.Pack(v.Interface())
		}
	})
}

func FuzzContractArtifact(f *testing.F) {
	f.Add([]byte(`{"abi":[],"bytecode":"0x00"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseArtifact(data) })
}
