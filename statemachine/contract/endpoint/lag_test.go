package endpoint_test

import (
	"context"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// ahead is a cluster that this replica does not keep up with: it has used every nonce.
type ahead struct{}

func (ahead) SubmitAll(_ context.Context, ops [][]byte) ([]statemachine.Result, error) {
	all := make([]statemachine.Result, len(ops))
	for i := range all {
		all[i] = statemachine.Reject(contract.CodeNonceUsed, nil)
	}
	return all, nil
}

// A replica that lags does not call a transaction refused that may have run.
func TestOutcomeUnknownHere(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Submit = ahead{} })
	err := s.SendTransaction(t.Context(), s.ann.Send(common.Address{1}, big.NewInt(1), nil))
	require.ErrorContains(t, err, "the outcome is unknown")
}
