package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// replyCheck compares what clients believe with what the agreed blocks came to,
// and what is executed with what was asked for.
type replyCheck struct {
	s       *Simulation
	asked   map[pbft.Digest]bool          // by honest clients
	honest  map[crypto.PublicKey]bool     // clients
	results map[pbft.Digest]crypto.Digest // of the first execution of a request
}

func newReplyCheck(s *Simulation) *replyCheck {
	return &replyCheck{s: s, asked: map[pbft.Digest]bool{}, honest: map[crypto.PublicKey]bool{}, results: map[pbft.Digest]crypto.Digest{}}
}

// request notes what an honest client asks for.
func (k *replyCheck) request(r *pbft.Request) {
	k.honest[r.Client] = true
	k.asked[r.Digest()] = true
}

// executed looks at what a block came to at an honest replica.
func (k *replyCheck) executed(p *process, b *pbft.Block, replies []statemachine.Reply) {
	for i := range replies {
		r, q := &replies[i], b.Requests[i]
		d := q.Digest()
		if k.honest[q.Client] && !k.asked[d] {
			k.s.violate(Validity, "replica %d executes %v in block %d, which its client never asked for", p.id, q, b.Height)
		}
		if r.Request != d || r.Client != q.Client || r.Seq != q.Seq {
			k.s.violate(Replies, "replica %d answers %v in block %d with the reply to %v", p.id, q, b.Height, r.Request)
		}
		if !r.Status.Ran() {
			continue
		}
		got := r.Digest()
		if first, ran := k.results[d]; ran && first != got {
			k.s.violate(Replies, "replica %d has another result for %v in block %d than where it ran", p.id, q, b.Height)
		} else if !ran && r.Status == statemachine.Duplicate {
			k.s.violate(Replies, "replica %d calls %v in block %d a duplicate, it never ran", p.id, q, b.Height)
		} else if !ran {
			k.results[d] = got
		}
	}
}

// believed looks at what a client takes for true.
func (k *replyCheck) believed(client int, r *statemachine.Reply) {
	switch first, ran := k.results[r.Request]; {
	case r.Status.Ran() && !ran:
		k.s.violate(Replies, "client %d believes that %v ran, and no honest replica has run it", client, r.Request)
	case r.Status.Ran() && first != r.Digest():
		k.s.violate(Replies, "client %d believes a result of %v that is not the one it came to", client, r.Request)
	case r.Status == statemachine.Expired && ran:
		k.s.violate(Replies, "client %d believes that %v expired, and it ran", client, r.Request)
	}
}
