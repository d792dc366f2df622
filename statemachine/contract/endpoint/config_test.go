package endpoint_test

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

func TestConfig(t *testing.T) {
	m := newMachine(t, nil)
	for field, c := range map[string]endpoint.Config{
		"Machine":     {},
		"Listen":      {Machine: m, Listen: "0.0.0.0:8545"},
		"MaxBatch":    {Machine: m, MaxBatch: -1},
		"MaxSubscr":   {Machine: m, MaxSubscriptions: -1},
		"Interrupted": {Machine: m, Serving: func() error { return nil }},
		"host:port":   {Machine: m, Listen: "here"},
		"MaxWaiting ": {Machine: m, MaxWaiting: -1},
		"Origins[1]":  {Machine: m, Origins: []string{"*", "wallet.example"}},
		"Origins[0]":  {Machine: m, Origins: []string{"https://wallet.example/app"}},
		"Hosts[0]":    {Machine: m, Hosts: []string{"parley.example:8545"}},
	} {
		err := c.Validate()
		require.ErrorIs(t, err, endpoint.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	require.NoError(t, endpoint.Config{Machine: m}.Validate())
	require.NoError(t, endpoint.Config{Machine: m, Listen: "0.0.0.0:1", Remote: true}.Validate())
	e, err := endpoint.Start(t.Context(), endpoint.Config{Machine: m, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	c, err := ethclient.Dial(e.URL())
	require.NoError(t, err)
	w := contracttest.NewWallet(contract.DevChainID, "ann")
	require.ErrorContains(t, c.SendTransaction(t.Context(), w.Send(common.Address{}, nil, nil)), "only reads")
	c.Close()
	e.Stop()
	e.Stop()
}
