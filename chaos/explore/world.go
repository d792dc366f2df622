package explore

import (
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/symbolic"
	"github.com/parley-bft/parley/pbft"
)

const (
	maxMembers = 7
	// never is a timeout in ticks that does not pass.
	never = 1 << 30
	// clock stands still: time is a choice, not a measure.
	clock = pbft.Time(1_000_000_000)
)

// world is what does not change in a search, and everything that was ever sent in it.
type world struct {
	cfg      *Config
	n        int
	quorums  *pbft.QuorumSystem
	schedule pbft.Schedule
	sym      *symbolic.World
	cluster  pbft.Digest
	start    *pbft.Block
	keys     []pbft.Keys
	verify   []*pbft.Verifier
	traitor  [maxMembers]bool
	requests []*pbft.Request

	facts    []fact
	factOf   map[any]int
	blocks   []*block
	blockOf  map[pbft.Digest]*block
	certs    map[pbft.Statement]*pbft.Certificate
	verified map[int]pbft.Verified // proposals, certificates and NewViews, by fact
	voters   []uint                // least sets of honest members (by position) that certify with the traitors
	voters0  []uint                // and without them
	inputs   []input
	inputOf  map[string]int32
	forged   map[pbft.View]*pbft.Certificate
	tried    int    // inputs given to a real core
	scratch  []byte // of the fingerprint
}

// What facts are found by.
type (
	claimKey struct {
		view        pbft.View
		certificate pbft.Statement // zero: none
		forged      bool
	}
	newViewKey struct {
		view    pbft.View
		base    pbft.Statement // zero: the start block
		variant int
	}
	forgeKey struct {
		view    pbft.View
		parent  pbft.Digest
		variant int
	}
	suspectKey struct{ view pbft.View }
)

func newWorld(cfg *Config) (*world, error) {
	quorums, err := pbft.NewQuorumSystem(cfg.weights())
	if err != nil {
		return nil, fmt.Errorf("explore config: Weights: %w", err)
	}
	w := &world{
		cfg: cfg, n: quorums.N(), quorums: quorums, schedule: pbft.NewSchedule(quorums.Weights()), sym: symbolic.NewWorld(1),
		cluster: crypto.Hash("explore", []byte("cluster")), factOf: map[any]int{}, blockOf: map[pbft.Digest]*block{},
		certs: map[pbft.Statement]*pbft.Certificate{}, verified: map[int]pbft.Verified{}, inputOf: map[string]int32{}, forged: map[pbft.View]*pbft.Certificate{},
	}
	w.start = pbft.StartBlock(w.cluster, 0)
	for _, t := range cfg.Traitors {
		w.traitor[t] = true
	}
	scheme, err := w.sym.Scheme(w.n, false)
	if err != nil {
		return nil, fmt.Errorf("explore: %w", err)
	}
	signing := make([]crypto.PublicKey, w.n)
	for i := range signing {
		key := w.sym.Client(1_000_000 + uint64(i))
		signing[i] = key.Public()
		signer := w.sym.Signer(pbft.ReplicaID(i))
		w.keys = append(w.keys, pbft.Keys{Self: pbft.ReplicaID(i), Signing: key, Votes: signer, Checkpoints: signer})
	}
	for i := range w.n {
		c := w.coreConfig(pbft.ReplicaID(i))
		w.verify = append(w.verify, pbft.NewVerifier(pbft.VerifierConfig{
			Self: pbft.ReplicaID(i), Cluster: w.cluster, Start: w.start.Ref(), Quorums: quorums, Schedule: w.schedule,
			Votes: scheme, Checkpoints: scheme, SigningKeys: signing, Requests: w.sym,
			Limits: pbft.Limits{MaxBlockBytes: c.MaxBlockBytes, MaxBlockRequests: c.MaxBlockRequests, MaxOperationBytes: c.MaxOperationBytes, Window: c.Window},
		}))
	}
	for i := range cfg.Blocks {
		w.requests = append(w.requests, w.request(uint64(i+1)))
	}
	w.voters, w.voters0 = w.leastVoters(!cfg.Silent), w.leastVoters(false)
	return w, nil
}

// coreConfig is a core's configuration in which nothing happens by itself.
func (w *world) coreConfig(id pbft.ReplicaID) pbft.Config {
	return pbft.Config{
		Self: id, Cluster: w.cluster, Quorums: w.quorums, Start: w.start, Window: 4, CheckpointEvery: 1000, LogMax: 4000,
		Retain: 1000, MaxBlockBytes: 4096, MaxBlockRequests: 1, MaxOperationBytes: 1024, MinCheckpointGap: 1 << 62, MaxAhead: time.Hour,
		MaxPoolBytes: 1 << 20, MaxPoolPerClient: 64, Incarnation: 1,
		Timeouts: pbft.Timeouts{Progress: never, RequestAge: never, Heartbeat: never / 2, Idle: never, Status: never, Retry: 1, ReceiptDelay: never},
	}
}

func (w *world) request(seq uint64) *pbft.Request {
	key := w.sym.Client(1)
	r := pbft.NewRequest(key.Public(), seq, 1, ^pbft.Time(0)>>1, [][]byte{fmt.Appendf(nil, "operation %d", seq)})
	d := r.Digest()
	sig, _ := crypto.SignatureOf(key.Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: w.cluster}, d[:]))
	return r.WithSignature(sig)
}

func (w *world) primary(v pbft.View) pbft.ReplicaID { return w.schedule.Primary(0, v) }

// honest are the members that run the real core.
func (w *world) honest() []pbft.ReplicaID {
	var ids []pbft.ReplicaID
	for i := range w.n {
		if !w.traitor[i] {
			ids = append(ids, pbft.ReplicaID(i))
		}
	}
	return ids
}

// other returns the k-th member that is not self.
func (w *world) other(self pbft.ReplicaID, k int) pbft.ReplicaID {
	return (self + 1 + pbft.ReplicaID(k)) % pbft.ReplicaID(w.n)
}

// leastVoters asks a real tally which sets of honest members (bits by position)
// certify a statement, with the traitors or without, and returns the least ones.
func (w *world) leastVoters(traitors bool) []uint {
	honest := w.honest()
	var least []uint
	for mask := uint(1); mask < 1<<len(honest); mask++ {
		covers := slices.ContainsFunc(least, func(m uint) bool { return m&mask == m })
		if !covers && w.tally(pbft.Statement{Phase: pbft.Prepare, Height: 1, Block: crypto.Hash("explore", nil)}, mask, traitors) != nil {
			least = append(least, mask)
		}
	}
	return least
}

// tally counts votes in a tally and returns what it makes of them; nil: nothing.
func (w *world) tally(s pbft.Statement, mask uint, traitors bool) *pbft.Certificate {
	voting := crypto.NewBitmap(w.n)
	for i, id := range w.honest() {
		if mask&(1<<i) != 0 {
			voting.Set(id)
		}
	}
	if traitors {
		for _, id := range w.cfg.Traitors {
			voting.Set(id)
		}
	}
	tally := pbft.NewTally(w.quorums, 4)
	tally.Advance(s.View, s.Height, s.Height)
	for i := range w.n {
		id := pbft.ReplicaID(i)
		if !voting.Has(id) {
			continue
		}
		vote := pbft.Sign(w.cluster, 0, &pbft.Vote{Statement: s, Signer: id}, w.keys[id]).(*pbft.Vote)
		if w.verify[0].CheckVote(id, vote) != pbft.NoDrop || w.verify[0].VerifyVotes([]*pbft.Vote{vote})[0] != pbft.NoDrop {
			return nil
		}
		if pending, _ := tally.Add(vote); pending != nil {
			c, _ := w.verify[0].Aggregate(pending)
			return c
		}
	}
	return nil
}

// certificate is the one certificate of a statement.
func (w *world) certificate(s pbft.Statement) *pbft.Certificate {
	c := w.certs[s]
	if c == nil {
		least, traitors := w.voters, !w.cfg.Silent
		if len(least) == 0 {
			return nil
		}
		c = w.tally(s, least[0], traitors)
		w.certs[s] = c
	}
	return c
}

// intern returns the number of a fact and whether it is new.
func (w *world) intern(key any, f fact) (int, bool) {
	if i, ok := w.factOf[key]; ok {
		return i, false
	}
	w.facts = append(w.facts, f)
	w.factOf[key] = len(w.facts) - 1
	return len(w.facts) - 1, true
}

// note registers a signed proposal.
func (w *world) note(p *pbft.PrePrepare) *block {
	if b := w.blockOf[p.Digest()]; b != nil {
		return b
	}
	same := 0
	for _, b := range w.blocks {
		if b.proposal.Height == p.Height {
			same++
		}
	}
	b := &block{proposal: p, index: uint(len(w.blocks)), name: fmt.Sprintf("%d%c", p.Height, 'a'+same), parent: w.blockOf[p.Parent]}
	if b.index >= 64 {
		panic("explore: more than 64 blocks: lower Blocks, Views or Equivocations")
	}
	b.fact, _ = w.intern(p.Digest(), fact{kind: proposed, view: p.View, block: b})
	w.blocks = append(w.blocks, b)
	w.blockOf[p.Digest()] = b
	return b
}

// forge makes a traitor's proposal.
func (w *world) forge(v pbft.View, parent *block, variant int) *block {
	height, link := w.start.Height+1, w.start.Digest()
	if parent != nil {
		height, link = parent.proposal.Height+1, parent.proposal.Digest()
	}
	key := forgeKey{v, link, variant}
	if i, ok := w.factOf[key]; ok {
		return w.facts[i].block
	}
	primary := w.primary(v)
	p := &pbft.PrePrepare{Block: pbft.NewBlock(pbft.Header{
		Cluster: w.cluster, Height: height, View: v, Parent: link, Proposer: primary, Time: clock + pbft.Time(variant),
	}, []*pbft.Request{w.requests[(int(height)-1)%len(w.requests)]})}
	b := w.note(pbft.Sign(w.cluster, 0, p, w.keys[primary]).(*pbft.PrePrepare))
	w.factOf[key] = b.fact
	return b
}

// votedFact is the fact that somebody voted for a statement.
func (w *world) votedFact(s pbft.Statement) int {
	i, _ := w.intern(s, fact{kind: voted, view: s.View, statement: s, block: w.blockOf[s.Block]})
	return i
}

func (w *world) suspectedFact(v pbft.View) int {
	i, _ := w.intern(suspectKey{v}, fact{kind: suspected, view: v})
	return i
}

// claimFact is the fact that somebody claimed a certificate (nil: none) for a view.
func (w *world) claimFact(v pbft.View, c *pbft.Certificate, forged bool) int {
	key := claimKey{view: v, forged: forged}
	if c != nil {
		key.certificate = c.Statement
	}
	if i, ok := w.factOf[key]; ok {
		return i
	}
	cl := &claim{view: v, certificate: c, forged: forged}
	cl.fact, _ = w.intern(key, fact{kind: claimed, view: v, claim: cl})
	return cl.fact
}

// viewChange is a claim as replica id makes it.
func (w *world) viewChange(c *claim, id pbft.ReplicaID) *pbft.ViewChange {
	m := &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: pbft.Claim{View: c.view, Block: w.start.Digest()}, Signer: id}, Certificate: c.certificate}
	if q := c.certificate; q != nil {
		m.High, m.Block, m.Phase = q.Rank(), q.Block, q.Phase
	}
	return pbft.Sign(w.cluster, 0, m, w.keys[id]).(*pbft.ViewChange)
}

// newViewFact is the NewView of a view with this base (nil: the start block), in normal
// form: the first quorum of members, or for variant 1 the last, claims just the base.
func (w *world) newViewFact(v pbft.View, base *pbft.Certificate, variant int) int {
	key := newViewKey{view: v, variant: variant}
	if base != nil {
		key.base = base.Statement
	}
	if i, ok := w.factOf[key]; ok {
		return i
	}
	m := &pbft.NewView{View: v, Certificate: base}
	weight := uint64(0)
	for i := range w.n {
		id := pbft.ReplicaID(i)
		if variant == 1 {
			id = pbft.ReplicaID(w.n - 1 - i)
		}
		if weight < w.quorums.QuorumWeight() {
			weight += w.quorums.Weight(id)
			m.Claims = append(m.Claims, w.viewChange(&claim{view: v, certificate: base}, id).SignedClaim)
		}
	}
	slices.SortFunc(m.Claims, func(a, b pbft.SignedClaim) int { return int(a.Signer) - int(b.Signer) })
	nv := &newView{message: pbft.Sign(w.cluster, 0, m, w.keys[w.primary(v)]).(*pbft.NewView), variant: variant}
	nv.fact, _ = w.intern(key, fact{kind: opened, view: v, newView: nv})
	return nv.fact
}

// arrival is a fact as a verified message: a proposal, a certificate or a NewView.
func (w *world) arrival(f int) (pbft.Verified, pbft.Drop) {
	if v, ok := w.verified[f]; ok {
		return v, pbft.NoDrop
	}
	var m pbft.Message
	from := w.primary(w.facts[f].view)
	switch fa := &w.facts[f]; fa.kind {
	case proposed:
		m = fa.block.proposal
	case opened:
		m = fa.newView.message
	case voted:
		c := w.certificate(fa.statement)
		if c == nil {
			return pbft.Verified{}, pbft.DropMalformed
		}
		m = c
	default:
		return pbft.Verified{}, pbft.DropMalformed
	}
	v, why := w.verify[0].Verify(from, m)
	if why == pbft.NoDrop {
		w.verified[f] = v
	}
	return v, why
}
