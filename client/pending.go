package client

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// pending is a request whose outcome is not known yet. Of what each replica said
// about it only the last is kept, and of that only a digest: a replica that lies
// at length fills no memory.
type pending struct {
	request  *pbft.Request
	digest   pbft.Digest
	calls    []*Call // by operation; nil where nobody waits for it
	live     int     // calls that wait
	numbered bool    // it holds the low-water mark: not so for what Outcome asks

	said     []crypto.Digest // by replica; zero: nothing
	refused  []api.Reason    // by replica
	attempts int
	target   pbft.ReplicaID // of the first attempt
	next     time.Time      // of the next attempt
	pause    time.Duration
	reason   error // why the last attempt brought nothing, if that is known
}

// sayKey is what must be equal for two replicas to have said the same. For a
// request that did not run, what the replicas' own progress puts into the answer
// plays no part.
func sayKey(r *statemachine.Reply) crypto.Digest {
	if r.Status.Ran() {
		return r.Digest()
	}
	bare := *r
	bare.Height, bare.Results = 0, nil
	return bare.Digest()
}

// hears records what a replica said and tells whether so much weight agrees that
// it is true.
func (p *pending) hears(q *pbft.QuorumSystem, from pbft.ReplicaID, key crypto.Digest) bool {
	p.said[from] = key
	set := crypto.NewBitmap(q.N())
	for id := range p.said {
		if p.said[id] == key {
			set.Set(pbft.ReplicaID(id))
		}
	}
	return q.IsBlocking(set)
}

// isRefused does the same with refusals.
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
	clear(p.said)
	clear(p.refused)
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

func (n *numbers) add(p *pending) {
	n.open = append(n.open, p)
	n.next = p.request.Seq + 1
}

func (n *numbers) remove(p *pending) {
	if i := slices.Index(n.open, p); i >= 0 {
		n.open = slices.Delete(n.open, i, i+1)
	}
}
