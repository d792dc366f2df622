package ledger

import (
	"slices"

	"github.com/parley-bft/parley/crypto"
)

// propose puts a transaction up for approval, with the client's own, and runs it if
// that is enough. It returns whether the proposal waits.
func (x *exec) propose(op *operation) (pending bool, err error) {
	if x.exists(ProposalKey(op.digest)) {
		return x.approve(op.digest)
	}
	if len(op.tx.Actions) == 0 {
		return false, invalid("a transaction without actions")
	}
	if err := x.unspent(op.digest); err != nil {
		return false, err
	}
	if err := x.lasts("the proposal", op.tx.Expires); err != nil {
		return false, err
	}
	k := proposerKey(x.client)
	n, most := x.count(k), uint64(x.l.cfg.Limits.MaxProposals)
	if n >= most {
		return false, tooMany("open proposals of a client", n, most)
	}
	x.setCount(k, n+1)
	x.t.Set(dueKey(op.tx.Expires, ProposalKey(op.digest)), nil)
	return x.consider(op.digest, &Proposal{Body: op.body, Proposer: x.client}, &op.tx)
}

// approve adds the client's approval to a proposal.
func (x *exec) approve(d crypto.Digest) (pending bool, err error) {
	p, tx, err := x.proposal(d)
	if err != nil {
		return false, err
	}
	return x.consider(d, p, tx)
}

func (x *exec) proposal(d crypto.Digest) (*Proposal, *Transaction, error) {
	p, tx := new(Proposal), new(Transaction)
	if !x.load(ProposalKey(d), p) {
		return nil, nil, reject(CodeUnknownProposal, d.Hex())
	}
	mustDecode(p.Body, tx)
	if x.now >= tx.Expires {
		return nil, nil, reject(CodeExpired, "the proposal")
	}
	return p, tx, nil
}

// consider takes the client's approval, and runs the proposal if the approvals suffice
// and its time has come. If it is rejected then, so is the approval.
//
// Approvals of keys that have no say any more are dropped: the keys of an account change,
// and a list that only grew would be longer than can be read one day.
func (x *exec) consider(d crypto.Digest, p *Proposal, tx *Transaction) (pending bool, err error) {
	needs, err := x.gather(tx)
	if err != nil {
		return false, err
	}
	say := x.parties(needs)
	if !say[x.client] {
		return false, reject(CodeUnauthorized, x.client.Hex())
	}
	p.Approvals = slices.DeleteFunc(p.Approvals, func(k crypto.PublicKey) bool { return !say[k] })
	if i, ok := slices.BinarySearchFunc(p.Approvals, x.client, crypto.PublicKey.Compare); !ok {
		if len(p.Approvals) == maxKeysEncoded {
			return false, tooMany("approvals of a proposal", maxKeysEncoded, maxKeysEncoded)
		}
		p.Approvals = slices.Insert(p.Approvals, i, x.client)
	}
	x.authority = p.Approvals
	if x.now < tx.NotBefore || x.authorised(needs) != nil {
		x.t.Set(ProposalKey(d), encode(p))
		return true, nil
	}
	// A party may have signed the same transaction for somebody to submit.
	if err := x.unspent(d); err != nil {
		return false, err
	}
	x.t.Set(ProposalKey(d), encode(p))
	x.removeProposal(d)
	if err := x.execute(tx, needs); err != nil {
		return false, err
	}
	x.spend(d, tx.Expires)
	return false, nil
}

// withdraw takes back the client's approval.
func (x *exec) withdraw(d crypto.Digest) (pending bool, err error) {
	p, _, err := x.proposal(d)
	if err != nil {
		return false, err
	}
	i, ok := slices.BinarySearchFunc(p.Approvals, x.client, crypto.PublicKey.Compare)
	if !ok {
		return false, reject(CodeUnauthorized, x.client.Hex())
	}
	p.Approvals = slices.Delete(p.Approvals, i, i+1)
	if len(p.Approvals) == 0 || p.Proposer == x.client {
		x.removeProposal(d)
		return false, nil
	}
	x.t.Set(ProposalKey(d), encode(p))
	return true, nil
}

// removeProposal removes a proposal, if it is there.
func (x *exec) removeProposal(d crypto.Digest) {
	k := ProposalKey(d)
	var p Proposal
	if !x.load(k, &p) {
		return
	}
	var tx Transaction
	mustDecode(p.Body, &tx)
	x.t.Delete(k)
	x.t.Delete(dueKey(tx.Expires, k))
	c := proposerKey(p.Proposer)
	x.setCount(c, x.count(c)-1)
}
