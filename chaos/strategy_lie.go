package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// lie tells clients what is not so (B23, K14): other results, that their request
// expired, another request's results; traitors of one coalition tell the same.
type lie struct {
	honest
	last statemachine.Reply
}

func newLie(p *Puppet) Adversary { return &lie{honest: honest{p}} }

func (a *lie) Reply(_ crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	truth := r
	a.did("lie to a client")
	switch r.Request[0] % 5 {
	case 0:
		r.Status, r.Results = statemachine.Expired, nil
	case 1:
		r.Status, r.Results = statemachine.Executed, []statemachine.Result{statemachine.OK([]byte("lie"))}
	case 2:
		r.Height += 7
	case 3:
		r.Results = a.last.Results
	default:
		r.Status, r.Results = statemachine.Conflict, nil
	}
	a.last = truth
	return r, true
}

// wrongCheckpoint states another state, other results or another block at
// checkpoints (T01), not the same to everybody.
type wrongCheckpoint struct{ honest }

func newWrongCheckpoint(p *Puppet) Adversary { return wrongCheckpoint{honest{p}} }

func (a wrongCheckpoint) Send(to pbft.ReplicaID, m pbft.Message) {
	if v, ok := m.(*pbft.CheckpointVote); ok {
		x := &pbft.CheckpointVote{CheckpointStatement: v.CheckpointStatement, Signer: a.Self}
		d := crypto.Hash("chaos/checkpoint", []byte{byte(a.Coalition.side(to))})
		switch v.Height % 4 {
		case 0:
			x.State = d
		case 1:
			x.Results = d
		case 2:
			x.Block = d
		default:
			x.NextConfig = d
		}
		a.did("wrong checkpoint")
		m = x
	}
	a.Transmit(to, m)
}
