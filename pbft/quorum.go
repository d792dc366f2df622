package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// maxTotalWeight bounds the sum of weights, so that sums of two and products with
// the length of a schedule stay within 64 bits.
const maxTotalWeight = uint64(1) << 53

// QuorumSystem says which sets of members decide. It is the only place that
// counts votes. It is immutable and safe for concurrent use.
//
// With W the sum of the weights and F the weight that may be Byzantine, a quorum
// weighs at least floor((W+F)/2)+1: two of them share more than F. (Writing 2F+1
// is wrong unless W = 3F+1: with five members of weight 1, F is 1 and two sets of
// three may share one traitor and nobody else.) A blocking set weighs more than
// F: it contains an honest member.
type QuorumSystem struct {
	weights []uint64
	total   uint64
	faulty  uint64
	quorum  uint64
}

// NewQuorumSystem returns the standard system of members with these weights:
// F = floor((W-1)/3), quorum = floor((W+F)/2)+1. It refuses no members or more
// than [crypto.MaxReplicas], a weight of 0, and a sum of 2^53 or more.
func NewQuorumSystem(weights []uint64) (*QuorumSystem, error) {
	total, err := sumWeights(weights)
	if err != nil {
		return nil, err
	}
	faulty := (total - 1) / 3
	return &QuorumSystem{
		weights: append([]uint64(nil), weights...),
		total:   total,
		faulty:  faulty,
		quorum:  (total+faulty)/2 + 1,
	}, nil
}

// NewCustomQuorumSystem returns a system with a rule of the members' own, such as
// "12 of 15, at most 3 faulty". faulty is the weight that may be Byzantine, the F
// of all other rules; quorumWeight is what a quorum must weigh. Refused are, on
// top of what [NewQuorumSystem] refuses, rules that are not safe (two quorums, or
// a quorum without its traitors, may have no honest member in common with what
// they must) and rules that cannot live (without the traitors there is no quorum).
func NewCustomQuorumSystem(weights []uint64, quorumWeight, faulty uint64) (*QuorumSystem, error) {
	total, err := sumWeights(weights)
	switch {
	case err != nil:
		return nil, err
	case quorumWeight == 0 || quorumWeight > total:
		return nil, fmt.Errorf("quorums: a quorum of weight %d: must be in 1..%d, the members' weight", quorumWeight, total)
	case faulty >= total:
		return nil, fmt.Errorf("quorums: a faulty weight of %d: must be below %d, the members' weight", faulty, total)
	case 2*quorumWeight < total+faulty+1:
		return nil, fmt.Errorf("quorums: two quorums of weight %d out of %d may share only weight %d, which must be above the faulty weight %d: raise the quorum to at least %d",
			quorumWeight, total, max(2*quorumWeight, total)-total, faulty, (total+faulty)/2+1)
	case total-faulty < quorumWeight:
		return nil, fmt.Errorf("quorums: without the faulty weight %d the members weigh %d, below the quorum %d: lower the quorum or the faulty weight", faulty, total-faulty, quorumWeight)
	}
	// The last two rules together make a quorum weigh at least 2*faulty+1: what is
	// left of it without the traitors still blocks.
	return &QuorumSystem{weights: append([]uint64(nil), weights...), total: total, faulty: faulty, quorum: quorumWeight}, nil
}

func sumWeights(weights []uint64) (uint64, error) {
	if len(weights) == 0 || len(weights) > crypto.MaxReplicas {
		return 0, fmt.Errorf("quorums: %d members: must be in 1..%d", len(weights), crypto.MaxReplicas)
	}
	total := uint64(0)
	for i, w := range weights {
		if w == 0 {
			return 0, fmt.Errorf("quorums: member %d has weight 0: give it at least 1 or leave it out", i)
		}
		if w >= maxTotalWeight || total+w >= maxTotalWeight {
			return 0, fmt.Errorf("quorums: the weights up to member %d sum to 2^53 or more: scale them down", i)
		}
		total += w
	}
	return total, nil
}

// N is the number of members.
func (q *QuorumSystem) N() int { return len(q.weights) }

// Contains tells whether id is a member.
func (q *QuorumSystem) Contains(id ReplicaID) bool { return int(id) < len(q.weights) }

// Weight is the weight of a member, and 0 for anybody else.
func (q *QuorumSystem) Weight(id ReplicaID) uint64 {
	if int(id) >= len(q.weights) {
		return 0
	}
	return q.weights[id]
}

// Weights returns a copy of all weights, by member.
func (q *QuorumSystem) Weights() []uint64 { return append([]uint64(nil), q.weights...) }

// Total is the weight of all members.
func (q *QuorumSystem) Total() uint64 { return q.total }

// MaxFaulty is the weight that may be Byzantine: F.
func (q *QuorumSystem) MaxFaulty() uint64 { return q.faulty }

// QuorumWeight is what a quorum weighs at least.
func (q *QuorumSystem) QuorumWeight() uint64 { return q.quorum }

// BlockingWeight is what a blocking set weighs at least: F+1.
func (q *QuorumSystem) BlockingWeight() uint64 { return q.faulty + 1 }

// WeightOf is the weight of a set. Bits that stand for no member weigh nothing;
// [crypto.Bitmap.Check] refuses them.
func (q *QuorumSystem) WeightOf(set crypto.Bitmap) uint64 {
	w := uint64(0)
	for i := range min(len(q.weights), 8*len(set)) {
		if set[i/8]&(1<<(i%8)) != 0 {
			w += q.weights[i]
		}
	}
	return w
}

// IsQuorum tells whether the set is a quorum.
func (q *QuorumSystem) IsQuorum(set crypto.Bitmap) bool { return q.WeightOf(set) >= q.quorum }

// IsBlocking tells whether the set is sure to contain an honest member.
func (q *QuorumSystem) IsBlocking(set crypto.Bitmap) bool { return q.WeightOf(set) > q.faulty }

// Dominant returns the heaviest member if it alone weighs more than F: a single
// member whose failure nothing promises to survive. It is the lowest of equals.
// Where F is 0 (fewer than four members of equal weight) there always is one.
func (q *QuorumSystem) Dominant() (ReplicaID, bool) {
	heaviest := 0
	for i, w := range q.weights {
		if w > q.weights[heaviest] {
			heaviest = i
		}
	}
	return ReplicaID(heaviest), q.weights[heaviest] > q.faulty
}

func (q *QuorumSystem) String() string {
	return fmt.Sprintf("%d members of weight %d, quorum %d, faulty at most %d", len(q.weights), q.total, q.quorum, q.faulty)
}
