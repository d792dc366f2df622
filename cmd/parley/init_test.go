package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
)

func itoa(i int) string { return strconv.Itoa(i) }

func TestInitMakesACluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	out := must(t, "init", "--dir", dir, "--replicas", "5", "--weights", "2,2,1,1,1", "--name", "bank", "--base-port", "9000",
		"--host", "10.0.0.1", "--scheme", "bls", "--checkpoint-every", "64", "--window", "8")
	require.Contains(t, out, "parley start --dir "+filepath.Join(dir, "replica-0"))

	ros, err := roster.Load(filepath.Join(dir, "cluster.json"))
	require.NoError(t, err)
	require.Equal(t, []uint64{2, 2, 1, 1, 1}, ros.Weights())
	require.Equal(t, "bank", ros.Cluster.Name)
	require.Equal(t, crypto.VoteBLS, ros.Cluster.VoteScheme)
	require.EqualValues(t, 64, ros.Cluster.Parameters.CheckpointEvery)
	require.EqualValues(t, 8, ros.Cluster.Parameters.Window)
	require.Equal(t, crypto.AdmitList, ros.Cluster.Clients.Admission)
	require.Len(t, ros.Cluster.Clients.Keys, 4)
	for i := range 4 {
		k, err := keyfile.LoadClient(spareKeyPath(filepath.Join(dir, "client.key"), i+1))
		require.NoError(t, err)
		require.True(t, ros.Admits(k.Signing.Public()))
	}
	seen := make(map[string]bool)
	for i := range ros.N() {
		m := ros.Member(crypto.ReplicaID(i))
		for _, a := range []string{m.PeerAddress, m.ClientAddress} {
			require.False(t, seen[a], a)
			seen[a] = true
			require.Contains(t, a, "10.0.0.1:9")
		}
		keys, err := keyfile.LoadReplica(filepath.Join(dir, replicaName(i), "key.json"))
		require.NoError(t, err)
		self, err := ros.FindSelf(keys.Public())
		require.NoError(t, err)
		require.EqualValues(t, i, self)
		local, err := loadLocalConfig(filepath.Join(dir, replicaName(i), "replica.json"))
		require.NoError(t, err)
		require.False(t, seen[local.AdminListen], "ports are used once")
		seen[local.AdminListen] = true
		require.FileExists(t, filepath.Join(dir, replicaName(i), "data", "IDENTITY"))
	}
	info, err := os.Stat(filepath.Join(dir, "client.key"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

func TestInitOverwritesNothing(t *testing.T) {
	dir := makeCluster(t, 4)
	before, err := os.ReadFile(filepath.Join(dir, "client.key"))
	require.NoError(t, err)
	refused(t, exitFailed, []string{"init", "--dir", dir}, "cluster.json exists already", "name another folder")
	require.NoError(t, os.Remove(filepath.Join(dir, "cluster.json")))
	refused(t, exitFailed, []string{"init", "--dir", dir}, "client.key exists already")
	after, err := os.ReadFile(filepath.Join(dir, "client.key"))
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestInitListsClients(t *testing.T) {
	dir := t.TempDir()
	alice := must(t, "keygen", filepath.Join(dir, "alice.key"))
	alice = alice[:len(alice)-1]
	refused(t, exitFailed, []string{"keygen", filepath.Join(dir, "alice.key")}, "alice.key", "exists already")
	require.NotContains(t, must(t, "init", "--dir", filepath.Join(dir, "c"), "--client-keys", "1", "--admit", alice), "WARNING")
	ros, err := roster.Load(filepath.Join(dir, "c", "cluster.json"))
	require.NoError(t, err)
	own, err := keyfile.LoadClient(filepath.Join(dir, "c", "client.key"))
	require.NoError(t, err)
	var key crypto.PublicKey
	require.NoError(t, key.UnmarshalText([]byte(alice)))
	require.ElementsMatch(t, []crypto.PublicKey{own.Signing.Public(), key}, ros.Cluster.Clients.Keys)

	require.Contains(t, must(t, "init", "--dir", filepath.Join(dir, "open"), "--open"), "WARNING: this cluster is open")
	ros, err = roster.Load(filepath.Join(dir, "open", "cluster.json"))
	require.NoError(t, err)
	require.Equal(t, crypto.AdmitOpen, ros.Cluster.Clients.Admission)
	require.NoFileExists(t, filepath.Join(dir, "open", "client.key.2"))
}

func TestUsage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"frobnicate"}, `unknown command "frobnicate"`},
		{[]string{"init"}, "--dir is missing"},
		{[]string{"init", "--dir", dir, "--replicas", "0"}, "--replicas is 0: a cluster has 1 to 256"},
		{[]string{"init", "--dir", dir, "--replicas", "257"}, "--replicas is 257"},
		{[]string{"init", "--dir", dir, "--replicas", "four"}, `invalid argument "four"`},
		{[]string{"init", "--dir", dir, "--weights", "1,2"}, "--weights names 2 weights for 4 replicas"},
		{[]string{"init", "--dir", dir, "--weights", "1,1,1,-1"}, `"-1" is no weight`},
		{[]string{"init", "--dir", dir, "--scheme", "rsa"}, `--scheme is "rsa": give ed25519 or bls`},
		{[]string{"init", "--dir", dir, "--base-port", "65400"}, "--base-port is 65400"},
		{[]string{"init", "--dir", dir, "--window", "0"}, "window"},
		{[]string{"init", "--dir", dir, "--admit", "xyz"}, `--admit: "xyz" is no public key`},
		{[]string{"init", "--dir", dir, "--open", "--admit", "xyz"}, "give one of them"},
		{[]string{"init", "--dir", dir, "--client-keys", "0"}, "--client-keys is 0: give 1 to 64"},
		{[]string{"init", "--dir", dir, "surplus"}, `unexpected argument "surplus"`},
		{[]string{"start"}, "--cluster is missing"},
		{[]string{"start", "--cluster", "a", "--key", "b"}, "--data is missing"},
		{[]string{"start", "--cluster", "a", "--key", "b", "--data", "c", "--log-level", "loud"}, `--log-level is "loud"`},
		{[]string{"start", "--cluster", "a", "--key", "b", "--data", "c", "--log-format", "xml"}, `--log-format is "xml"`},
		{[]string{"start", "--cluster", "a", "--key", "b", "--data", "c", "--reserve", "-7"}, "--reserve is -7"},
		{[]string{"put", "k", "v"}, "--dir is missing"},
		{[]string{"put", "k"}, "VALUE is missing"},
		{[]string{"put"}, "KEY and VALUE are missing"},
		{[]string{"put", "a", "b", "c"}, `unexpected argument "c"`},
		{[]string{"put", "--dir", dir, "--timeout", "-1s", "a", "b"}, "--timeout is -1s"},
		{[]string{"put", "--timeout", "soon", "a", "b"}, `invalid argument "soon"`},
		{[]string{"get", "--dir", dir, "--replica", "1", "--receipt", "f", "k"}, "leave out --replica"},
		{[]string{"get", "--dir", dir, "--without-log", "--receipt", "f", "k"}, "leave out --replica"},
		{[]string{"get", "--dir", dir, "--without-log", "--replica", "1", "k"}, "leave out one of them"},
		{[]string{"cas", "k", "new"}, "NEW is missing"},
		{[]string{"cas", "--create", "k", "old", "new"}, `unexpected argument "new"`},
		{[]string{"cas", "--create", "--revision", "3", "k", "new"}, "give one of them"},
		{[]string{"range", "--prefix", "a", "b"}, "leave out START and END"},
		{[]string{"range", "a", "b", "c"}, `unexpected argument "c"`},
		{[]string{"load"}, "FILE is missing"},
		{[]string{"load", "--concurrency", "0", "f"}, "--concurrency is 0"},
		{[]string{"load", "--sample", "-1", "f"}, "--sample is -1"},
		{[]string{"bench", "--clients", "0"}, "--clients is 0"},
		{[]string{"bench", "--identities", "none"}, `--identities is "none"`},
		{[]string{"bench", "--clients", "3000", "--identities", "distinct"}, "at most 2048"},
		{[]string{"bench", "--seconds", "0"}, "--seconds is 0"},
		{[]string{"bench", "--max-queueing", "-1s"}, "--max-queueing is -1s"},
		{[]string{"verify-receipt"}, "FILE is missing"},
		{[]string{"status", "--watch", "1ms"}, "--watch is 1ms"},
		{[]string{"cluster", "--weights", "x"}, `"x" is no weight`},
		{[]string{"cluster", "--replicas", "0"}, "--replicas is 0"},
		{[]string{"cluster", "--dir", dir, "--keep"}, "always kept"},
		{[]string{"keygen"}, "FILE is missing"},
		{[]string{"status", "--no-such-flag"}, "unknown flag: --no-such-flag"},
	} {
		refused(t, exitUsage, c.args, c.says, "--help' for the flags and examples")
	}
	require.NoDirExists(t, dir)
}

func TestInitExplainsDominance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	refused(t, exitFailed, []string{"init", "--dir", dir, "--weights", "3,1,1,1"}, "replica-0", "more than the 1 that may fail")
	must(t, "init", "--dir", dir, "--weights", "3,1,1,1", "--allow-dominant")
}

func TestHelp(t *testing.T) {
	help := must(t, "help")
	for _, name := range []string{"cluster", "init", "start", "status", "put", "load", "verify-receipt", "exit-codes"} {
		require.Contains(t, help, name)
	}
	for _, cmd := range newRoot().Commands() {
		if !cmd.IsAvailableCommand() || cmd.Name() == "help" {
			continue
		}
		require.Contains(t, must(t, cmd.Name(), "--help"), cmd.Name())
		require.NotEmpty(t, cmd.Short)
	}
	require.Contains(t, must(t, "help", "exit-codes"), "outcome is unknown")
	require.Contains(t, must(t, "version"), "go1.")
	require.Contains(t, must(t, "version", "--json"), `"go":"go1.`)
}
