package pbft

import "github.com/parley-bft/parley/crypto"

// checkBlock checks what can be seen of a proposal without its signatures.
func (v *Verifier) checkBlock(m *PrePrepare) Drop {
	switch {
	case m.Cluster != v.cfg.Cluster:
		return DropCluster
	case m.Epoch != v.cfg.Epoch:
		return DropEpoch
	case m.Height <= v.cfg.Start.Height:
		return DropHeight
	case m.Proposer != v.cfg.Schedule.Primary(m.Epoch, m.View):
		return DropNotPrimary
	case m.Size() > v.cfg.Limits.MaxBlockBytes || len(m.Requests) > v.cfg.Limits.MaxBlockRequests:
		return DropLimits
	}
	for _, r := range m.Requests {
		if !v.operationsFit(r) {
			return DropLimits
		}
	}
	return NoDrop
}

func (v *Verifier) operationsFit(r *Request) bool {
	for _, op := range r.Ops {
		if len(op) > v.cfg.Limits.MaxOperationBytes {
			return false
		}
	}
	return true
}

func (v *Verifier) proposalItem(m *PrePrepare) crypto.Item {
	d := m.Digest()
	return v.memberItem(m.Proposer, crypto.KindPrePrepare, d[:], m.Signature)
}

// requestItem is a client's signature: it is bound to the cluster and to no
// epoch, since a request outlives epochs.
func (v *Verifier) requestItem(r *Request) crypto.Item {
	d := r.Digest()
	return crypto.Item{
		Key:       r.Client,
		Context:   crypto.Context{Kind: crypto.KindRequest, Cluster: v.cfg.Cluster},
		Message:   d[:],
		Signature: r.Signature,
	}
}

func (v *Verifier) known(r *Request) bool {
	return v.cfg.Known != nil && v.cfg.Known.Known(r.Digest(), r.Signature)
}

// verifyPrePrepare checks the proposer's signature before it spends anything on
// the requests: without it anybody could make us verify a block full.
func (v *Verifier) verifyPrePrepare(m *PrePrepare) Drop {
	if why := v.checkBlock(m); why != NoDrop {
		return why
	}
	d := m.Digest()
	if !v.verifyMember(m.Proposer, crypto.KindPrePrepare, d[:], m.Signature) {
		return DropSignature
	}
	return v.verifyBlockRequests(m.Block)
}

// verifyBlockRequests checks every client's signature. A request that occurs
// twice is no fault of the block: execution drops the second.
func (v *Verifier) verifyBlockRequests(b *Block) Drop {
	items := make([]crypto.Item, 0, len(b.Requests))
	for _, r := range b.Requests {
		if !v.known(r) {
			items = append(items, v.requestItem(r))
		}
	}
	if len(items) > 0 && !v.allGood(items) {
		return DropSignature
	}
	return NoDrop
}

// VerifyRequests tells for each request, as clients send them, whether its
// signature holds and its operations are within the limits.
func (v *Verifier) VerifyRequests(requests []*Request) []bool {
	good := make([]bool, len(requests))
	items := make([]crypto.Item, 0, len(requests))
	at := make([]int, 0, len(requests))
	for i, r := range requests {
		switch {
		case !v.operationsFit(r):
		case v.known(r):
			good[i] = true
		default:
			items = append(items, v.requestItem(r))
			at = append(at, i)
		}
	}
	for j, ok := range v.cfg.Requests.VerifyBatch(items) {
		good[at[j]] = ok
	}
	return good
}

// filterForward leaves out the requests that are not good and counts them. The good ones
// are copied: the pool is bounded by their sizes, and may take one of a long message.
func (v *Verifier) filterForward(m *Forward) (*Forward, int) {
	kept := make([]*Request, 0, len(m.Requests))
	for i, ok := range v.VerifyRequests(m.Requests) {
		if ok {
			kept = append(kept, m.Requests[i].apart())
		}
	}
	return &Forward{Requests: kept}, len(m.Requests) - len(kept)
}

// maxSpannedClaims bounds the signatures checked for the NewViews of one Blocks
// message. Those beyond are left out: they serve accountability, not progress.
const maxSpannedClaims = 1024

// verifyBlocks checks that the blocks link to each other and were proposed by
// their primaries. If the certificate of the last is there, it vouches for the
// clients' signatures: more than F honest weight checked them before it voted.
// Without one, they are checked here: the receiver may vote for these blocks.
//
// NewViews that are not good are left out of the message that it returns.
func (v *Verifier) verifyBlocks(m *Blocks) (*Blocks, Drop) {
	if len(m.Blocks) == 0 {
		return nil, DropMalformed
	}
	items := make([]crypto.Item, 0, len(m.Blocks))
	for i, p := range m.Blocks {
		if why := v.checkBlock(p); why != NoDrop {
			return nil, why
		}
		if i > 0 && (p.Height != m.Blocks[i-1].Height+1 || p.Parent != m.Blocks[i-1].Digest()) {
			return nil, DropParent
		}
		items = append(items, v.proposalItem(p))
	}
	if c := m.Certificate; c != nil {
		if c.Ref() != m.Blocks[len(m.Blocks)-1].Ref() {
			return nil, DropParent
		}
		if why := v.verifyCertificate(c); why != NoDrop {
			return nil, why
		}
	}
	if !v.allGood(items) {
		return nil, DropSignature
	}
	if m.Certificate == nil {
		for _, p := range m.Blocks {
			if why := v.verifyBlockRequests(p.Block); why != NoDrop {
				return nil, why
			}
		}
	}
	return &Blocks{Blocks: m.Blocks, Certificate: m.Certificate, NewViews: v.goodNewViews(m.NewViews)}, NoDrop
}

func (v *Verifier) goodNewViews(all []*NewView) []*NewView {
	var good []*NewView
	claims := 0
	for _, n := range all {
		if claims += len(n.Claims); claims > maxSpannedClaims {
			break
		}
		if v.verifyNewView(n) == NoDrop {
			good = append(good, n)
		}
	}
	return good
}
