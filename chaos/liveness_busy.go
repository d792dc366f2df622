package chaos

import "time"

// busyness counts events against the time that passes in the simulation. A cluster in
// which they breed events faster than time goes on does no work: it is as good as
// stuck, and its run would not end.
type busyness struct {
	second time.Duration // that is being counted
	events uint64
}

// maxEvents is how many events may happen in a second of virtual time, for each ordered
// pair of replicas. Floods, and links that let go of all that they held, come to a few
// hundredths of it.
const maxEvents = 100_000

func (b *busyness) count(s *Simulation, at time.Duration) {
	if second := at / time.Second; second != b.second {
		b.second, b.events = second, 0
	}
	n := uint64(len(s.replicas))
	if b.events++; b.events == maxEvents*n*n {
		s.violate(Liveness, "more than %d events within a second, at %v: the replicas keep each other busy and get nothing done:\n%s", b.events, at, s.describe())
	}
}
