package replica

import "context"

// Behind tells whether the replica has executed less than it knows to be there: by more
// than the cluster's window of blocks, which are under way at any time, or because it is
// getting a state from others. executed is up to where it has, and known the highest block
// that is committed here, or prepared by a quorum, or the checkpoint of that state: nobody
// can make one up. Of blocks that nobody has told it of a replica knows nothing.
func (s *Server) Behind(ctx context.Context) (executed, known uint64, behind bool) {
	executed = uint64(s.runner.gate.height())
	known = executed
	if at := s.published.Load(); at != nil {
		known = max(known, uint64(at.committed), uint64(at.transfer))
		behind = uint64(at.transfer) > executed
	}
	if h, err := s.ReadIndex(ctx); err == nil {
		known = max(known, uint64(h))
	}
	return executed, known, behind || known-executed > s.cfg.Roster.Cluster.Parameters.Window
}
