package replica

import "github.com/parley-bft/parley/pbft"

// signOnce keeps a checkpoint vote of this replica's from being signed again each time the
// core sends it. A BLS signature takes as long as a whole block of ordinary work, and the
// core sends every vote that no certificate covers yet with every status of a peer that
// lacks it:
//
//  1. executions are slow or certificates late, so that some hundred votes are open
//  2. each status of each peer has all of them signed anew, some hundred milliseconds
//  3. certificates, which the same workers aggregate, wait behind them, and get later still
//
// The tally of checkpoint votes holds those that were signed. One that is being signed goes
// to everyone when it is, so it is not sent again before; to be called with what Flush is
// about to persist, which it filters in place.
func (n *Node) signOnce(envelopes []pbft.Envelope) []pbft.Envelope {
	kept := envelopes[:0]
	for _, e := range envelopes {
		v, ok := e.Message.(*pbft.CheckpointVote)
		if ok && v.Signer == n.cfg.Core.Self && len(v.Signature) == 0 {
			if signed := n.ctally.Vote(v.Signer, v.CheckpointStatement); signed != nil {
				e.Message = signed
			} else if _, being := n.signing[v.Height]; being {
				continue
			} else {
				n.signing[v.Height] = struct{}{}
				e.To = pbft.Everyone
			}
		}
		kept = append(kept, e)
	}
	return kept
}
