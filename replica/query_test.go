package replica

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// trips is an application that panics at every query.
type trips struct{ statemachine.StateMachine }

func (trips) Query(context.Context, []byte) ([]byte, error) { panic("a mistake") }

func (trips) QueryAt(context.Context, uint64, []byte) ([]byte, error) { panic("another") }

// A query at which the application panics is answered with an error and counted, and the
// replica goes on.
func TestPanicOfAQuery(t *testing.T) {
	s := &Server{metrics: newMetrics(), logger: slog.New(slog.DiscardHandler), runner: new(runner)}
	s.cfg.Machine = trips{}
	_, _, err := s.Query(t.Context(), nil)
	require.ErrorIs(t, err, ErrQueryPanicked)
	_, _, err = s.QueryAt(t.Context(), 0, nil)
	require.ErrorIs(t, err, ErrQueryPanicked)
	families, err := s.metrics.registry.Gather()
	require.NoError(t, err)
	found := false
	for _, f := range families {
		if f.GetName() == "parley_query_panics_total" {
			found = true
			require.InDelta(t, 2, f.GetMetric()[0].GetCounter().GetValue(), 0)
		}
	}
	require.True(t, found)
	require.True(t, s.runner.queryLock.TryLock(), "nobody holds it")
}
