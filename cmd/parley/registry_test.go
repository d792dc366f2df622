//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A registry of four real processes: every command, from a party to a field of a
// document that is verified offline.
func TestRegistryCommands(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(tmp, name)
		if content != "" {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		}
		return path
	}
	lab, shop := file("lab.key", ""), file("shop.key", "")
	labKey := strings.TrimSpace(must(t, "keygen", lab))
	shopKey := strings.TrimSpace(must(t, "keygen", shop))
	dir := makeCluster(t, 4, "--app", "registry", "--checkpoint-every", "16", "--admit", labKey+","+shopKey)
	startProcesses(t, dir, 4)
	in := func(args ...string) []string { return append([]string{"registry"}, append(args, "--dir", dir)...) }
	do := func(args ...string) string { t.Helper(); return must(t, in(args...)...) }
	no := func(code int, args []string, says ...string) { t.Helper(); refused(t, code, in(args...), says...) }

	require.Contains(t, do("info"), "records      0")
	require.Contains(t, do("party", "register", "lab", "--keys", labKey, "--recovery", shopKey, "--key", lab), "register-party: done in block ")
	no(exitAbsent, []string{"party", "register", "shop", "--keys", shopKey}, "not authorized: shop: 1 of 1 keys must sign, 0 have")
	require.Contains(t, do("party", "show", "lab"), "keys      1 of "+labKey)
	no(exitAbsent, []string{"party", "show", "nobody"}, "there is no party nobody")
	no(exitUsage, []string{"party", "register", "x", "--keys", "abc"}, `"abc" is no public key`)
	no(exitUsage, []string{"party", "register", "x"}, "--keys is missing")

	// A collection with a schema.
	batch := file("batch.json", `{"type": "object", "required": ["drug"], "properties": {"drug": {"type": "string"}}}`)
	require.Contains(t, do("collection", "create", "batches", "--schema", batch, "--about", "what was made"), "version 1")
	no(exitAbsent, []string{"collection", "create", "bad", "--schema", file("bad.json", `{"typ": 1}`)}, `bad schema: at the root: "typ": not a keyword`)
	no(exitUsage, []string{"collection", "create", "bad", "--rules", "no-rules"}, `"no-rules" is none of open-create`)
	require.Contains(t, do("collection", "list"), "batches  0        1")
	require.Contains(t, do("schema", "show", "batches"), `"required": ["drug"]`)
	no(exitAbsent, []string{"create", "batches", "B-1", `{"drug": 1}`}, "schema violation: schema 1 of batches", "at /drug: it is a number")
	require.Contains(t, do("create", "batches", "B-1", `{"drug": "aspirin"}`), "create-record: done in block ")
	no(exitAbsent, []string{"create", "batches", "B-1", `{"drug": "aspirin"}`}, "exists already: there is a record batches/B-1")
	require.Contains(t, do("schema", "add", "batches", file("v2.json", `true`), "--floor", "2"), "version 2")
	no(exitAbsent, []string{"update", "batches", "B-1", "1", "--schema", "1"}, "schema 1 of batches is retired")
	do("collection", "set", "batches", "--rules", "controller-revokes", "--about", "batches")
	require.Contains(t, do("collection", "show", "batches"), "rules       controller-revokes")

	// An authority, whose key is then found to be stolen.
	do("authority", "set", "batches", "lab", "--topics", "purity", "--for", "24h")
	require.Contains(t, do("authority", "list", "batches"), "lab        purity")
	require.Contains(t, do("attest", "batches", "B-1", "purity", "99.8", "--as", "lab", "--key", lab, "--for", "1h"), "attestation 1")
	no(exitAbsent, []string{"attest", "batches", "B-1", "price", "--as", "lab", "--key", lab}, "outside of the authority's scope: lab may not attest price")
	require.Contains(t, do("attestations", "batches", "B-1"), "valid   99.8")
	do("key", "revoke", labKey, "--party", "lab", "--key", shop, "--since-ago", "1h", "--reason", "stolen")
	require.Regexp(t, `made with a key that was not to be trusted since \d{4}-\d\d-\d\dT`, do("attestations", "batches", "B-1"))
	no(exitAbsent, []string{"attest", "batches", "B-1", "purity", "--as", "lab", "--key", lab}, "not authorized: lab: 1 of 0 keys must sign")
	require.Contains(t, do("unattest", "batches", "B-1", "1", "--reason", "stolen key"), "attestation 1")
	require.Contains(t, do("attestations", "batches", "B-1", "--json"), `"status": "revoked"`)

	// It changes hands, in two steps and by signatures.
	do("offer", "batches", "B-1", "key:"+shopKey, "--for", "1h")
	require.Contains(t, do("show", "batches", "B-1"), "offered to    key:"+shopKey)
	do("accept", "batches", "B-1", "--key", shop)
	require.Contains(t, do("owned", "key:"+shopKey), "batches     B-1  2        key:"+shopKey)
	no(exitAbsent, []string{"update", "batches", "B-1", "1"}, "not authorized")
	do("delegate", "batches", "key:"+labKey, "B-1", "--rights", "update", "--for", "1h", "--key", shop)
	require.Contains(t, do("delegations", "batches", "B-1"), "update")
	do("update", "batches", "B-1", `{"drug": "aspirin", "checked": true}`, "--key", lab, "--version", "2")
	op := file("sale.op", "")
	require.Contains(t, do("transfer", "batches", "B-1", "key:"+labKey, "--as", "key:"+shopKey, "--prepare", op), "sign it with")
	no(exitAbsent, []string{"submit", op}, "not authorized: key:")
	require.Contains(t, do("sign", op, "--key", shop), "To           key:"+labKey)
	require.Contains(t, do("sign", op, "--key", lab), "2 in all")
	require.Contains(t, do("submit", op), "transfer-record: done")
	no(exitAbsent, []string{"submit", op}, "replayed: envelope was used before")
	history := do("history", "batches", "B-1")
	require.Equal(t, 5, strings.Count(history, "\n"))
	require.Contains(t, history, "transferred")
	var versions []map[string]any
	require.NoError(t, json.Unmarshal([]byte(do("history", "batches", "B-1", "--json")), &versions))
	require.Equal(t, "transferred", versions[3]["action"])
	do("revoke", "batches", "B-1", "--reason", "recalled")
	require.Contains(t, do("show", "batches", "B-1"), "REVOKED")
	require.Contains(t, do("list", "batches"), "revoked")
	no(exitAbsent, []string{"list", "bathces"}, "there is no collection bathces")
	no(exitAbsent, []string{"show", "batches", "B-2"}, "there is no record batches/B-2")
	no(exitAbsent, []string{"history", "batches", "B-2"}, "there is no record batches/B-2")

	// Personal data stay outside.
	ada := file("ada.json", "")
	commitment := strings.TrimSpace(must(t, "registry", "document", "new", ada, "name=Ada", "born=1815-12-10"))
	do("collection", "create", "people", "--rules", "commitments-only,require-commitment")
	require.Equal(t, 1, strings.Count(do("list", "people"), "\n"), "nobody yet")
	no(exitAbsent, []string{"create", "people", "7f3a", "Ada"}, "against the collection's rules: people takes no data")
	do("create", "people", "7f3a", "--commitment", commitment, "--owner", "key:"+shopKey)
	receipt := file("ada.receipt", "")
	require.Contains(t, do("show", "people", "7f3a", "--receipt", receipt), "commitment    "+commitment)
	born := file("born.json", must(t, "registry", "document", "disclose", ada, "born"))
	require.NotContains(t, must(t, "registry", "document", "disclose", ada, "born"), "Ada")
	out := must(t, "registry", "document", "verify", "--cluster", filepath.Join(dir, "cluster.json"), "--receipt", receipt, born)
	require.Equal(t, "born = 1815-12-10\n", out[:18])
	require.Contains(t, out, "of people/7f3a, owned by key:"+shopKey+", in force in block ")
	must(t, "registry", "document", "verify", "--commitment", commitment, born)
	edit(t, born, "1815", "1816")
	refused(t, exitInvalid, []string{"registry", "document", "verify", "--dir", dir, "--receipt", receipt, born}, "disclosure does not verify")
	refused(t, exitUsage, []string{"registry", "document", "verify", born}, "give --receipt or --commitment")

	// The commands of other applications are refused, and these elsewhere.
	refused(t, exitFailed, []string{"put", "--dir", dir, "a", "b"}, `runs "registry", and this command is for "kv"`)
	refused(t, exitFailed, []string{"registry", "info", "--dir", makeCluster(t, 1)}, `runs "kv", and this command is for "registry"`)
	do("party", "rotate", "lab", "--keys", shopKey, "--key", shop)
	do("key", "revoke", labKey, "--key", lab, "--reason", "retired")
	require.Contains(t, do("key", "show", labKey), "retired")

	// Its theft turns out to be older: what it signed shows that from now on.
	require.Regexp(t, `\n3 +\S+ +\d+ +updated +key:`+labKey+` +- `, do("history", "batches", "B-1"))
	require.NotContains(t, do("show", "batches", "B-1"), "NOT TRUSTED")
	no(exitUsage, []string{"key", "revoke", labKey, "--key", lab, "--since", "yesterday"}, `--since is "yesterday": give a time such as 2`)
	// Years that nanoseconds since 1970 do not reach: nobody takes one for another, for good.
	no(exitUsage, []string{"key", "revoke", labKey, "--key", lab, "--since", "2600-01-01T00:00:00Z"}, `--since is "2600-01-01T00:00:00Z": give a time such as 2`)
	no(exitUsage, []string{"key", "revoke", labKey, "--key", lab, "--since-ago", "2000000h"}, "--since-ago is 2000000h0m0s: that was before 1970")
	no(exitUsage, []string{"key", "revoke", labKey, "--key", lab, "--since", "2020-01-01T00:00:00Z", "--since-ago", "1h"}, "leave out one of them")
	do("key", "revoke", labKey, "--key", lab, "--since", "2020-01-01T00:00:00Z", "--reason", "stolen long ago")
	require.Regexp(t, `not to be trusted since 2020-01-01T00:00:00.000Z \(at first, \S+, since \S+\): stolen long ago`, do("key", "show", labKey))
	require.Regexp(t, `\n3 +\S+ +\d+ +updated +key:`+labKey+` +2020-01-01T00:00:00.000Z `, do("history", "batches", "B-1"))
	require.Contains(t, do("show", "batches", "B-1"), "NOT TRUSTED   made with a key that is not to be trusted since 2020-01-01T00:00:00.000Z")
	no(exitAbsent, []string{"key", "show", shopKey}, "has not revoked itself")
}

func TestRegistryGenesis(t *testing.T) {
	dir := t.TempDir()
	genesis := filepath.Join(dir, "genesis.json")
	require.NoError(t, os.WriteFile(genesis, []byte(`{"parties": [{"name": "x", "keys": {"m": 2, "keys": []}}]}`), 0o600))
	refused(t, exitUsage, []string{"init", "--dir", filepath.Join(dir, "c"), "--app", "registry", "--genesis", genesis}, `--genesis: application "registry": registry genesis: party "x": keys: threshold has 0 keys`)
}
