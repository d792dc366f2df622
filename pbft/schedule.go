package pbft

// maxScheduleLength bounds the table of a [Schedule]. It leaves every one of the
// most members that there may be at least one turn, and lets the shares of views
// differ from the shares of weight by little.
const maxScheduleLength = 1024

// Schedule says who is primary of a view (PROTOCOL R22): a smooth weighted round
// robin, so that a member's share of the views is its share of the weight and
// light members, however many, never rule for long without a heavy one between.
// It is a pure function of the weights, immutable and safe for concurrent use.
type Schedule struct {
	table []ReplicaID
}

// NewSchedule makes the table for weights that [NewQuorumSystem] accepts. Its
// length is the sum of the weights divided by what they have in common, at most
// 1024: larger weights are rounded, nobody to zero.
func NewSchedule(weights []uint64) Schedule {
	turns := scaleWeights(weights)
	length := uint64(0)
	for _, t := range turns {
		length += t
	}
	table := make([]ReplicaID, 0, length)
	// Everybody earns its turns at every step, the richest rules and pays a full
	// round for it. Credits sum to zero, so after a round all are zero again.
	credit := make([]int64, len(turns))
	for range length {
		richest := 0
		for i := range credit {
			credit[i] += int64(turns[i])
			if credit[i] > credit[richest] {
				richest = i
			}
		}
		credit[richest] -= int64(length)
		table = append(table, ReplicaID(richest))
	}
	return Schedule{table}
}

// scaleWeights returns numbers of turns in proportion to the weights that sum to
// at most maxScheduleLength.
func scaleWeights(weights []uint64) []uint64 {
	common, total := uint64(0), uint64(0)
	for _, w := range weights {
		common = gcd(common, w)
		total += w
	}
	turns := make([]uint64, len(weights))
	if total/common <= maxScheduleLength {
		for i, w := range weights {
			turns[i] = w / common
		}
		return turns
	}
	for i := range turns {
		turns[i] = 1
	}
	// The rule of Sainte-Laguë: the next turn goes to the highest weight per turn,
	// half a turn ahead. A weight is below 2^53 and the factor below 2^11, so the
	// products fit.
	for range maxScheduleLength - len(turns) {
		next := 0
		for i := 1; i < len(weights); i++ {
			if weights[i]*(2*turns[next]+1) > weights[next]*(2*turns[i]+1) {
				next = i
			}
		}
		turns[next]++
	}
	return turns
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Primary is the primary of a view. It depends on the epoch as well, so that a
// dead member does not cost every new epoch its first view.
func (s Schedule) Primary(epoch Epoch, v View) ReplicaID {
	n := uint64(len(s.table))
	return s.table[(uint64(v)%n+uint64(epoch)%n)%n]
}

// Len is the number of views of one rotation.
func (s Schedule) Len() int { return len(s.table) }
