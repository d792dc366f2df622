//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine/registry"
)

// A registry under a policy, on four real processes.
func TestAccessCommands(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	keys := map[string]string{}
	path := func(name string) string { return filepath.Join(tmp, name) }
	for _, name := range []string{"ann", "bob", "cem", "dora"} {
		keys[name] = strings.TrimSpace(must(t, "keygen", path(name+".key")))
	}
	admins := []string{keys["ann"], keys["bob"], keys["cem"]}
	genesis := path("genesis.json")
	require.NoError(t, os.WriteFile(genesis, fmt.Appendf(nil, `{
		"access": {"mode": "consortium", "administrators": {"m": 2, "keys": [%s]},
			"roles": [{"name": "clerk", "submit": ["create-*"], "read": ["*"], "quota": {"operations": 5, "seconds": 3600}}],
			"members": [{"key": %q, "name": "Dora", "roles": ["clerk"]}]},
		"collections": [{"name": "notes", "controller": "key:%s", "rules": ["open-create"]}]
	}`, quotedKeys(slices.Sorted(slices.Values(admins))), keys["dora"], keys["dora"]), 0o600))
	dir := makeCluster(t, 4, "--app", "registry", "--genesis", genesis, "--admit", strings.Join(append(admins, keys["dora"]), ","))
	startProcesses(t, dir, 4)
	as := func(name string, args ...string) []string {
		args = append(args, "--dir", dir)
		if name != "" {
			args = append(args, "--key", path(name+".key"))
		}
		return args
	}
	do := func(name string, args ...string) string { t.Helper(); return must(t, as(name, args...)...) }
	no := func(code int, name string, args []string, says ...string) {
		t.Helper()
		refused(t, code, as(name, args...), says...)
	}

	require.Contains(t, do("", "access", "policy"), "mode            consortium")
	no(exitAbsent, "", []string{"registry", "create", "notes", "1", "hello"}, "refused by the access policy: rule mode-consortium: ", "only members submit")
	do("dora", "registry", "create", "notes", "1", "hello")
	require.Contains(t, do("", "registry", "show", "notes", "1"), "hello")
	no(exitAbsent, "dora", []string{"registry", "update", "notes", "1", "x"}, "rule roles: ", "may not submit update-record: none of its roles (clerk) permits it")
	require.Contains(t, do("", "access", "check", keys["dora"], "create-record"), "permitted")
	no(exitAbsent, "", []string{"access", "check", keys["dora"], "revoke-record"}, "rule roles")

	// One proposes, another approves what is shown.
	no(exitAbsent, "dora", []string{"access", "mode", "private"}, "rule administrators")
	require.Contains(t, do("ann", "access", "mode", "private", "--reason", "trial over"), "proposal 1 waits")
	waiting := do("bob", "access", "proposals")
	require.Contains(t, waiting, `{"mode":"private","reason":"trial over"}`)
	digest := regexp.MustCompile(`[0-9a-f]{64}`).FindString(waiting)
	no(exitAbsent, "bob", []string{"access", "approve", "1", "--digest", strings.Repeat("0", 64)}, "another change")
	require.Contains(t, do("bob", "access", "approve", "1", "--digest", digest), "change 1 took effect in block ")
	no(exitAbsent, "", []string{"registry", "show", "notes", "1"}, "rule mode-private")
	require.Contains(t, do("dora", "registry", "show", "notes", "1"), "hello")

	// Beside the log, each replica knows who asks.
	ask := func(name string) error {
		tg := target{dir: dir, cluster: clusterFilePath(dir), key: path(name + ".key"), app: registryApplication.name}
		s, err := tg.connect(t.Context(), func(*client.Config) {})
		require.NoError(t, err)
		defer s.close()
		_, err = s.QueryReplica(t.Context(), 2, registry.Encode(&registry.GetRecord{Collection: "notes", ID: "1"}))
		return err
	}
	require.NoError(t, ask("dora"))
	require.ErrorContains(t, ask("cem"), "mode-private")

	// Signed in files, put together, delivered by anybody.
	op := path("role.op")
	do("ann", "access", "role", "set", "guest", "--read", "get-*", "--prepare", op)
	require.Contains(t, do("bob", "access", "sign", op), `"setRoles":[{"name":"guest"`)
	require.Contains(t, do("cem", "access", "sign", op), "2 in all")
	require.Contains(t, do("", "access", "submit", op), "change 2 took effect")
	no(exitAbsent, "", []string{"access", "submit", op}, "replayed")
	require.Contains(t, do("ann", "access", "role", "list"), "guest")
	do("ann", "access", "member", "set", keys["cem"], "--name", "Cem", "--roles", "guest")
	do("ann", "access", "withdraw", "2")
	no(exitAbsent, "ann", []string{"access", "withdraw", "2"}, "not found")

	// The quota, the trail, the refusals.
	require.Contains(t, do("ann", "access", "member", "show", keys["dora"]), "3 operations, ")
	do("dora", "registry", "create", "notes", "2", "hello")
	do("dora", "registry", "create", "notes", "3", "hello")
	no(exitAbsent, "dora", []string{"registry", "create", "notes", "4", "hello"}, "rule quota-operations: ", "the quota of role clerk is 5 in 3600 seconds")
	trail := do("ann", "access", "audit")
	require.Contains(t, trail, "trial over")
	require.Equal(t, 3, strings.Count(trail, "\n"))
	refusals := do("ann", "access", "refusals")
	require.Regexp(t, `strangers +mode-consortium +1`, refusals)
	require.Regexp(t, keys["dora"]+` +quota-operations +1 .*create-record`, refusals)
	require.Contains(t, do("ann", "access", "refusals", "--json"), `"rule": "roles"`)
	no(exitAbsent, "", []string{"access", "audit"}, "rule mode-private")
	require.Contains(t, do("ann", "access", "member", "list"), "Dora")

	// A cluster without a policy.
	bare := makeCluster(t, 1)
	refused(t, exitFailed, []string{"access", "policy", "--dir", bare}, "this cluster has no access policy")
	require.NoError(t, os.WriteFile(genesis, []byte(`{"access": {"mode": "open"}}`), 0o600))
	refused(t, exitUsage, []string{"init", "--dir", path("c"), "--app", "registry", "--genesis", genesis}, "administrators: threshold has 0 keys")
	refused(t, exitUsage, []string{"init", "--dir", path("c"), "--genesis", genesis}, "takes no access policy")
}

func quotedKeys(keys []string) string { return `"` + strings.Join(keys, `", "`) + `"` }
