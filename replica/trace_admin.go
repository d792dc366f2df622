package replica

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// defaultShownBlocks is how many blocks GET /debug/trace shows when it is not told.
const defaultShownBlocks = 1000

// serveTrace is GET /debug/trace?blocks=N.
func (s *Server) serveTrace(w http.ResponseWriter, r *http.Request) {
	n := defaultShownBlocks
	if text := r.URL.Query().Get("blocks"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			http.Error(w, fmt.Sprintf("blocks is %q: give a number from 1", text), http.StatusBadRequest)
			return
		}
	}
	report := s.Trace(n)
	if report == nil {
		http.Error(w, "tracing is switched off in this replica's settings (traceBlocks)", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(report)
}
