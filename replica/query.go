package replica

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrQueryPanicked: the application panicked while it answered a query. Its state is as it
// was, and the panic is in the replica's log.
var ErrQueryPanicked = errors.New("the application failed to answer the query")

// ask calls what asks the application. Queries come from anybody who may read: one that
// trips over a mistake of the application must not end the process, and that of all
// replicas with it. Operations are executed apart from this, where a panic is a result.
func (s *Server) ask(query func() ([]byte, error)) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.metrics.queryPanics.Inc()
			s.logger.Error("the application panicked while it answered a query", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			answer, err = nil, ErrQueryPanicked
		}
	}()
	return query()
}
