//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// policyFile writes a policy whose only administrator is ann, who is admitted.
func policyFile(t *testing.T, mode, roles string) (path, ann, key string) {
	t.Helper()
	tmp := t.TempDir()
	key = filepath.Join(tmp, "ann.key")
	ann = strings.TrimSpace(must(t, "keygen", key))
	path = filepath.Join(tmp, "policy.json")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{"mode": %q, "administrators": {"m": 1, "keys": [%q]}, "roles": [%s]}`, mode, ann, roles), 0o600))
	return path, ann, key
}

// A policy stands around the key-value store and the ledger as around the registry.
func TestPolicyAroundKVStore(t *testing.T) {
	t.Parallel()
	policy, ann, key := policyFile(t, "private", `{"name": "client", "submit": ["put"], "read": ["get", "store/proof"]}`)
	dir := makeCluster(t, 4, "--app", "kv-store", "--policy", policy, "--admit", ann, "--checkpoint-every", "8")
	startProcesses(t, dir, 4)
	require.Contains(t, must(t, "put", "--dir", dir, "colour", "green"), "put colour: revision 1")
	require.Equal(t, "green\n", must(t, "get", "--dir", dir, "colour"))
	require.Equal(t, "green\n", must(t, "get", "--dir", dir, "--without-log", "colour"))
	require.Equal(t, "green\n", must(t, "get", "--dir", dir, "--certified", "colour"))
	refused(t, exitAbsent, []string{"del", "--dir", dir, "colour"}, "rule roles: ", "may not submit delete: none of its roles (client) permits it")
	refused(t, exitAbsent, []string{"range", "--dir", dir}, "rule roles: ", "may not read range")
	refused(t, exitAbsent, []string{"range", "--dir", dir, "--replica", "1"}, "rule roles: ", "may not read range")
	refused(t, exitAbsent, []string{"get", "--dir", dir, "--key", key, "colour"}, "rule mode-private: ")
	refused(t, exitAbsent, []string{"get", "--dir", dir, "--key", key, "--certified", "colour"}, "parley get: refused by the access policy: rule mode-private: "+ann+" is no member")
	refused(t, exitAbsent, []string{"get", "--dir", dir, "--key", key, "--without-log", "colour"}, "parley get: refused by the access policy: rule mode-private: ")
	refused(t, exitAbsent, []string{"read-certified", "--dir", dir, "--key", key, "kcolour"}, "parley read-certified: refused by the access policy: rule mode-private: ")
	must(t, "access", "role", "set", "--dir", dir, "--key", key, "client", "--submit", "*", "--read", "*")
	require.Contains(t, must(t, "del", "--dir", dir, "colour"), "deleted colour")
	require.Contains(t, must(t, "access", "refusals", "--dir", dir), "mode-private")

	refused(t, exitUsage, []string{"init", "--dir", filepath.Join(t.TempDir(), "c"), "--policy", policy}, "--policy: application \"kv\": ", "takes no access policy")
	refused(t, exitUsage, []string{"init", "--dir", filepath.Join(t.TempDir(), "c"), "--app", "ledger", "--policy", key + ".none"}, "--policy: ", "no such file")
}

func TestPolicyAroundLedger(t *testing.T) {
	t.Parallel()
	policy, ann, key := policyFile(t, "consortium", `{"name": "client", "submit": ["submit/open-account", "submit/define-asset", "submit/issue"], "read": ["*"]}`)
	dir := makeCluster(t, 4, "--app", "ledger", "--policy", policy, "--admit", ann)
	startProcesses(t, dir, 4)
	must(t, "ledger", "account", "open", "--dir", dir, "bank")
	must(t, "ledger", "account", "open", "--dir", dir, "alice")
	must(t, "ledger", "asset", "define", "--dir", dir, "EUR", "bank", "--decimals", "2")
	must(t, "ledger", "issue", "--dir", dir, "EUR", "alice", "10.00")
	refused(t, exitAbsent, []string{"ledger", "transfer", "--dir", dir, "EUR", "alice", "bank", "1.00"}, "rule roles: ", "may not submit submit/transfer")
	refused(t, exitAbsent, []string{"ledger", "account", "open", "--dir", dir, "--key", key, "mallory"}, "rule mode-consortium: ")
	require.Contains(t, must(t, "ledger", "statement", "--dir", dir, "--key", key, "alice"), "10.00")
	require.Contains(t, must(t, "ledger", "audit", "--dir", dir), "All books add up")
}

// rpcCall calls a JSON-RPC endpoint and returns what it says.
func rpcCall(t *testing.T, url, method string, params ...any) string {
	t.Helper()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	require.NoError(t, err)
	r, err := http.Post(url, "application/json", strings.NewReader(string(body)))
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func TestPolicyAroundContracts(t *testing.T) {
	t.Parallel()
	policy, ann, key := policyFile(t, "private", `{"name": "client", "submit": ["*"], "read": ["eth_*"]},
		{"name": "gateway", "read": ["eth_blockNumber"]}, {"name": "trader", "submit": ["transaction/transfer"]}`)
	dir := makeCluster(t, 4, "--app", "contract", "--policy", policy, "--admit", ann)
	startProcesses(t, dir, 4)
	local, err := loadLocalConfig(replicaConfigPath(replicaDir(dir, 0)))
	require.NoError(t, err)
	url := "http://" + local.ContractListen
	awaitStatus(t, dir, func(s *clusterState) bool { return s.Reachable == 4 && s.Primary >= 0 })

	// The endpoint reads what its gateway may.
	require.Contains(t, rpcCall(t, url, "eth_blockNumber"), `"result":"0x`)
	require.Contains(t, rpcCall(t, url, "eth_getLogs", map[string]any{}), "rule roles: ")
	require.Contains(t, rpcCall(t, url, "eth_call", map[string]any{"to": "0x00000000000000000000000000000000000000aa"}, "latest"), "may not read eth_call")
	require.Contains(t, rpcCall(t, url, "eth_getBalance", "0x00000000000000000000000000000000000000aa", "latest"), "may not read eth_getBalance")
	require.Contains(t, rpcCall(t, url, "eth_chainId"), `"result":"0x`, "it is in the cluster file")

	// A transaction is its sender's, whoever hands it in.
	account := strings.Fields(must(t, "contract", "key", "--dir", dir))
	var address string
	for _, w := range account {
		if strings.HasPrefix(w, "0x") && len(w) >= 42 {
			address = strings.ToLower(w[2:42])
		}
	}
	require.NotEmpty(t, address, account)
	send := []string{"contract", "send", "--dir", dir, "0x00000000000000000000000000000000000000aa"}
	refused(t, exitAbsent, send, "rule mode-private: ", strings.Repeat("0", 24)+address)
	must(t, "access", "member", "set", "--dir", dir, "--key", key, strings.Repeat("0", 24)+address, "--roles", "trader")
	must(t, send...)
	refused(t, exitAbsent, []string{"contract", "deploy", "--dir", dir, artifactPath("SafeBank")}, "rule roles: ", "may not submit transaction/deploy")

	// A read that the policy refuses is refused at once, and not asked for again until time is over.
	refused(t, exitAbsent, []string{"contract", "account", "--dir", dir, "--key", key, "--timeout", "1h", "0x00000000000000000000000000000000000000aa"},
		"parley contract account: refused by the access policy: rule mode-private: "+ann+" is no member")
}

// A policy is read strictly, before anything is made: each mistake is named with the way to
// it, what is there, and what may be.
func TestPolicyFilesAreStrict(t *testing.T) {
	t.Parallel()
	good, _, _ := policyFile(t, "private", `{"name": "client", "submit": ["put", "del*"], "read": ["*"]}`)
	text, err := os.ReadFile(good)
	require.NoError(t, err)
	for _, c := range []struct{ old, new, says string }{
		{`"submit"`, `"sumbit"`, `unknown field "roles[0].sumbit": correct its name or remove it; known here are: name, submit, read, quota`},
		{`"administrators"`, `"admins"`, `unknown field "admins"`},
		{`"mode"`, `"mode": "open", "mode"`, `field "mode" is there twice`},
		{`"private"`, `"privat"`, `mode is "privat": no mode: give open, consortium or private`},
		{`"name": "client"`, `"name": "client", "quota": {"operations": "many", "seconds": 60}`, `roles[0].quota.operations is "many": write a whole number`},
		{`"put"`, `"putt"`, `roles[0].submit[0] is "putt", which covers nothing that there is: write one of put, delete, swap, txn, or how some of them begin and *`},
		{`"del*"`, `"dell*"`, `roles[0].submit[1] is "dell*"`},
		{`"*"`, `"store/prove"`, `roles[0].read[0] is "store/prove", which covers nothing that there is: write one of get, range, revision, digest, access/get-policy, `},
		{`]}]`, `]}`, "line 1, column "},
	} {
		require.Contains(t, string(text), c.old)
		bad := strings.Replace(string(text), c.old, c.new, 1)
		path := filepath.Join(t.TempDir(), "policy.json")
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o600))
		dir := filepath.Join(t.TempDir(), "c")
		refused(t, exitUsage, []string{"init", "--dir", dir, "--app", "kv-store", "--policy", path}, "--policy: ", c.says)
		if c.new == `]}` {
			continue
		}
		require.NoError(t, os.WriteFile(path, []byte(`{"access": `+bad+`}`), 0o600))
		refused(t, exitUsage, []string{"init", "--dir", dir, "--app", "kv-store", "--genesis", path}, "--genesis: ", "access",
			strings.Replace(c.says, `field "mode"`, `field "access.mode"`, 1)) // what is there twice is looked for in all of the genesis
	}
	// Two policies are none.
	twice := filepath.Join(t.TempDir(), "genesis.json")
	require.NoError(t, os.WriteFile(twice, []byte(`{"access": `+string(text)+`, "access": `+strings.Replace(string(text), `"private"`, `"open"`, 1)+`}`), 0o600))
	refused(t, exitUsage, []string{"init", "--dir", filepath.Join(t.TempDir(), "c"), "--app", "kv-store", "--genesis", twice}, "--genesis: ", `field "access" is there twice`)
	// A kind of another application is none of this one.
	refused(t, exitUsage, []string{"init", "--dir", filepath.Join(t.TempDir(), "c"), "--app", "ledger", "--policy", good}, `roles[0].submit[0] is "put"`, "submit/transfer")

	// What changes a policy is looked at before anybody signs it.
	dir := makeCluster(t, 1, "--app", "kv-store", "--policy", good)
	refused(t, exitUsage, []string{"access", "role", "set", "--dir", dir, "clerk", "--submit", "put,swop"}, `--submit is "swop", which covers nothing that there is: write one of put, `)
	refused(t, exitUsage, []string{"access", "role", "set", "--dir", dir, "clerk", "--read", "put", "--prepare", filepath.Join(t.TempDir(), "op")}, `--read is "put", `)
	key := strings.Repeat("1", 64)
	refused(t, exitUsage, []string{"access", "check", "--dir", dir, key, "swop"}, `KIND is "swop": write one of put, delete, swap, txn`)
	refused(t, exitUsage, []string{"access", "check", "--dir", dir, key, "get"}, `KIND is "get": `, "or add --read")
	refused(t, exitUsage, []string{"access", "mode", "--dir", dir, "privat"}, `MODE is "privat": no mode: give open, consortium or private`)
}
