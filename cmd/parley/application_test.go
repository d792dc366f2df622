package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

func TestApplicationsAreComplete(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range applications() {
		require.False(t, seen[a.name])
		seen[a.name] = true
		require.NotEmpty(t, a.about, a.name)
		require.NotEmpty(t, a.tryout("DIR"), a.name)
		require.NotNil(t, a.greet, a.name)
		c := &crypto.Cluster{Application: &crypto.Application{Name: a.name}}
		a, cfg, err := clusterApplication(c)
		require.NoError(t, err, a.name)
		cfg.store.Dir = t.TempDir()
		m, err := a.machine(t.Context(), cfg)
		require.NoError(t, err, a.name)
		if a.stored() {
			require.NoError(t, m.(io.Closer).Close())
		}
	}
	require.True(t, seen[defaultApplication])
}

func TestInitRefusesApplications(t *testing.T) {
	dir := t.TempDir()
	genesis := filepath.Join(dir, "genesis.json")
	require.NoError(t, os.WriteFile(genesis, []byte(`{"a": 1}`), 0o600))
	at := filepath.Join(dir, "c")
	refused(t, exitUsage, []string{"init", "--dir", at, "--app", "ledgr"}, `--app: application "ledgr" is none that this program runs, which are kv, kv-store, ledger`)
	refused(t, exitUsage, []string{"init", "--dir", at, "--genesis", filepath.Join(dir, "none")}, "--genesis: open ", "no such file")
	refused(t, exitUsage, []string{"init", "--dir", at, "--genesis", genesis}, `--genesis: application "kv": genesis is given`, "leave it out")
	require.NoDirExists(t, at)
}

// A cluster that runs something else is refused by the commands of the key-value store
// before they talk to it, and by start.
func TestCommandsAreForTheirApplication(t *testing.T) {
	dir := makeCluster(t, 4)
	path := clusterFilePath(dir)
	c, err := crypto.LoadCluster(path)
	require.NoError(t, err)
	require.Equal(t, "kv", c.Application.Name)
	c.Application.Name = "embedded"
	require.NoError(t, c.Write(path))
	for _, args := range [][]string{{"put", "k", "v"}, {"get", "k"}, {"bench"}} {
		refused(t, exitFailed, append(args, "--dir", dir), `runs "embedded", and this command is for "kv"`)
	}
	o := parley(t, "start", "--dir", replicaDir(dir, 0))
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, `application "embedded" is none that this program runs`)
}
