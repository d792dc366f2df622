//go:build ledgercheck

package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// In a build with the tag every ledger checks itself, whatever its configuration says.
//
//	go test -tags ledgercheck -run TestTag ./statemachine/ledger
func TestTag(t *testing.T) {
	b := town(t, func(c *Config) { c.CheckBlocks = false })
	h, err := NewHandler(Config{Limits: smallLimits(), Cluster: thisCluster})
	require.NoError(t, err)
	block := b.m.Store().Block()
	defer block.Discard()
	h.EndBlock(block, &statemachine.Block{})
	x := &exec{l: h, t: block}
	alices := x.holding("alice", "EUR")
	alices.Balance++
	x.setHolding("alice", "EUR", &alices)
	require.Panics(t, func() { h.EndBlock(block, &statemachine.Block{}) })
}
