package client

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/client/answers"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// pending is a request whose outcome is not known yet.
type pending struct {
	request  *pbft.Request
	digest   pbft.Digest
	calls    []*Call   // by operation; nil where nobody waits for it
	live     int       // calls that wait
	numbered bool      // it holds the low-water mark: not so for what Outcome asks
	came     time.Time // when the oldest of its operations was submitted

	said     answers.Answers
	refused  []api.Reason // by replica
	attempts int
	check    time.Time      // when to see whether replies lack, before the second attempt
	lacking  bool           // the next attempt is because they do, and not for want of execution
	target   pbft.ReplicaID // of the first attempt
	sent     time.Time      // at the first attempt
	heard    time.Time      // when the first reply came
	next     time.Time      // of the next attempt
	pause    time.Duration
	reason   error // why the last attempt brought nothing, if that is known
}

// isRefused records a refusal and tells whether so much weight agrees that it is
// true.
func (p *pending) isRefused(q *pbft.QuorumSystem, from pbft.ReplicaID, why api.Reason) bool {
	p.refused[from] = why
	set := crypto.NewBitmap(q.N())
	for id := range p.refused {
		if p.refused[id] == why {
			set.Set(pbft.ReplicaID(id))
		}
	}
	return q.IsBlocking(set)
}

// forgetAnswers makes room for answers to another attempt.
func (p *pending) forgetAnswers() {
	p.said.Forget()
	p.heard = time.Time{}
	clear(p.refused)
	p.lacking = false
}

// numbers hands out sequence numbers and knows the lowest whose answer is wanted.
type numbers struct {
	next   uint64
	window uint64
	open   []*pending // ascending by number
}

// low is the low-water mark of a request with number seq.
func (n *numbers) low(seq uint64) uint64 {
	if len(n.open) > 0 {
		return min(seq, n.open[0].request.Seq)
	}
	return seq
}

// room tells whether the next number is within the window. If only requests for
// which nobody waits any more stand in the way, they are given up and returned.
func (n *numbers) room() (given []*pending, ok bool) {
	for n.next-n.low(n.next) >= n.window {
		p := n.open[0]
		if p.live > 0 {
			return given, false
		}
		n.open = n.open[1:]
		given = append(given, p)
	}
	return given, true
}

// operations is how many somebody waits for.
func (n *numbers) operations() (sum int) {
	for _, p := range n.open {
		sum += p.live
	}
	return sum
}

func (n *numbers) add(p *pending) {
	n.open = append(n.open, p)
	n.next = p.request.Seq + 1
}

func (n *numbers) remove(p *pending) {
	if i := slices.Index(n.open, p); i >= 0 {
		n.open = slices.Delete(n.open, i, i+1)
	}
}
