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
	refused(t, exitFailed, []string{"del", "--dir", dir, "colour"}, "rule roles: ", "may not submit delete: none of its roles (client) permits it")
	refused(t, exitFailed, []string{"range", "--dir", dir}, "rule roles: ", "may not read range")
	refused(t, exitFailed, []string{"range", "--dir", dir, "--replica", "1"}, "rule roles: ", "may not read range")
	refused(t, exitFailed, []string{"get", "--dir", dir, "--key", key, "colour"}, "rule mode-private: ")
	refused(t, exitFailed, []string{"get", "--dir", dir, "--key", key, "--certified", "--timeout", "5s", "colour"}, "rule mode-private: ")
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
	refused(t, exitFailed, []string{"ledger", "transfer", "--dir", dir, "EUR", "alice", "bank", "1.00"}, "rule roles: ", "may not submit submit/transfer")
	refused(t, exitFailed, []string{"ledger", "account", "open", "--dir", dir, "--key", key, "mallory"}, "rule mode-consortium: ")
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
	refused(t, exitFailed, send, "rule mode-private: ", strings.Repeat("0", 24)+address)
	must(t, "access", "member", "set", "--dir", dir, "--key", key, strings.Repeat("0", 24)+address, "--roles", "trader")
	must(t, send...)
	refused(t, exitFailed, []string{"contract", "deploy", "--dir", dir, artifactPath("SafeBank")}, "rule roles: ", "may not submit transaction/deploy")
}
