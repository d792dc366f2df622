//go:build ethers

package endpoint_test

import (
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// requireTools is the variable of the environment that makes tests fail which would be
// skipped for want of node, or of what npm is to install.
const requireTools = "PARLEY_TEST_REQUIRE_TOOLS"

// nodeVersion is the oldest one that runs the scripts.
const nodeVersion = 20

// tools are programs of others that use an endpoint, of the versions that
// tools/package-lock.json names.
type tools struct {
	dir  string // of the scripts, beside which the packages are
	node string
}

// without ends a test that has not got what it needs.
func without(t *testing.T, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv(requireTools) != "" {
		t.Fatalf("%s, and %s demands that this test runs", why, requireTools)
	}
	t.Skipf("%s; set %s=1 to have this fail", why, requireTools)
}

// installTools installs them in a folder that the test removes.
func installTools(t *testing.T) *tools {
	node, err := exec.LookPath("node")
	if err != nil {
		without(t, "node is not installed: %v", err)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		without(t, "npm is not installed: %v", err)
	}
	version, err := exec.CommandContext(t.Context(), node, "--version").Output()
	if err != nil {
		without(t, "node --version: %v", err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < nodeVersion {
		without(t, "node is %s: install %d or later", strings.TrimSpace(string(version)), nodeVersion)
	}
	dir := t.TempDir()
	files, err := filepath.Glob("tools/*.*")
	require.NoError(t, err)
	for _, f := range append(files, "tools/.npmrc") {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600))
	}
	install := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		without(t, "the tools cannot be installed: npm ci: %v\n%s", err, out)
	}
	return &tools{dir, node}
}

// script runs one of the scripts against endpoints.
func (s *tools) script(t *testing.T, name string, w *contracttest.Wallet, urls ...string) {
	artifacts, err := filepath.Abs("../contracttest/artifacts")
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), s.node, append([]string{filepath.Join(s.dir, name)}, urls...)...)
	c.Env = append(os.Environ(), "PARLEY_KEY="+hexutil.Encode(crypto.FromECDSA(w.Key)), "PARLEY_ARTIFACTS="+artifacts)
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
}

// TestTools has ethers.js, viem and cast use the endpoints of a cluster, once where gas is
// free and once where it has a price, which is another path in each of them.
//
//	go test -tags ethers -run TestTools -v ./statemachine/contract/endpoint
func TestTools(t *testing.T) {
	s := installTools(t)
	for name, fee := range map[string]uint64{"free": 0, "priced": 1e9} {
		t.Run(name, func(t *testing.T) {
			names := []string{"ethers", "viem", "cast"}
			wallets := make(map[string]*contracttest.Wallet)
			for _, n := range names {
				wallets[n] = contracttest.NewWallet(contract.DevChainID, n)
			}
			g := &contract.Genesis{ChainID: contract.DevChainID, BaseFee: fee, Alloc: rich(slices.Collect(maps.Values(wallets))...)}
			c := startCluster(t, g, false)
			var urls []string
			for _, e := range c.endpoints {
				urls = append(urls, e.URL())
			}
			t.Run("ethers", func(t *testing.T) { s.script(t, "ethers.mjs", wallets["ethers"], urls...) })
			t.Run("viem", func(t *testing.T) { s.script(t, "viem.mjs", wallets["viem"], urls...) })
			t.Run("cast", func(t *testing.T) {
				s.cast(t, wallets["cast"], urls[0]).tell(wallets["cast"], new(big.Int).SetUint64(fee))
			})
			c.agree()
		})
	}
}

// agree compares the replicas.
func (c *cluster) agree() {
	head, err := c.clients[0].BlockNumber(c.ctx)
	require.NoError(c.t, err)
	c.everywhere(head)
	want, err := c.machines[0].Header(head)
	require.NoError(c.t, err)
	for _, m := range c.machines {
		got, err := m.Header(head)
		require.NoError(c.t, err)
		require.Equal(c.t, want.Hash(), got.Hash())
		require.NoError(c.t, m.Check())
	}
}
