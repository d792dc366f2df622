package explore

import (
	"encoding/binary"
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// offer is what may arrive in a global state: it follows from what the honest have
// sent.
type offer struct {
	all    set // facts that may arrive
	honest set // without the help of any traitor
	certs  set // votes of which a certificate exists
	claims []int
	bad    string
}

// maxOffers bounds the offers that are kept for when they are needed again.
const maxOffers = 1 << 18

// offerOf collects the offer of the honest replicas' local states.
func (s *search) offerOf(ls []*local) *offer {
	key := s.key[:0]
	for _, l := range ls {
		key = binary.LittleEndian.AppendUint32(key, uint32(l.sentID))
	}
	s.key = key
	if o := s.offers[string(key)]; o != nil {
		return o
	}
	o := s.makeOffer(ls)
	if len(s.offers) == maxOffers {
		clear(s.offers)
	}
	s.offers[string(key)] = o
	return o
}

func (s *search) makeOffer(ls []*local) *offer {
	w := s.w
	o := new(offer)
	words := 0
	for _, l := range ls {
		words = max(words, len(l.sent))
	}
	for k := range words {
		var sent, certs, certs0 uint64
		for _, l := range ls {
			sent |= l.sent.word(k)
		}
		for _, mask := range w.voters {
			certs |= allOf(ls, mask, k)
		}
		for _, mask := range w.voters0 {
			certs0 |= allOf(ls, mask, k)
		}
		o.all = append(o.all, sent)
		o.honest = append(o.honest, sent)
		o.certs = append(o.certs, certs|certs0)
		for b := range 64 {
			f := 64*k + b
			if sent&(1<<b) == 0 {
				continue
			}
			switch bit := uint64(1) << b; w.facts[f].kind {
			case voted:
				o.all[k] &^= bit &^ certs
				o.honest[k] &^= bit &^ certs0
			case claimed, suspected:
				o.all[k] &^= bit
				o.honest[k] &^= bit
				o.certs[k] &^= bit
			default:
				o.certs[k] &^= bit
			}
		}
	}
	o.bad = s.certificatesClash(o)
	s.lies(o, ls)
	return o
}

// allOf is the word k of what all replicas of a mask have sent.
func allOf(ls []*local, mask uint, k int) uint64 {
	all := ^uint64(0)
	for i, l := range ls {
		if mask&(1<<i) != 0 {
			all &= l.sent.word(k)
		}
	}
	return all
}

// lies adds what the traitors can send: proposals and NewViews of the views that they
// lead, and the claims that they can make (votes are in the certificates).
func (s *search) lies(o *offer, ls []*local) {
	w := s.w
	if len(w.cfg.Traitors) == 0 || w.cfg.Silent {
		return
	}
	for v := pbft.View(0); v <= w.cfg.lastView(); v++ {
		if v > 0 {
			o.claims = append(o.claims, s.liedClaims(o, v)...)
		}
		if !w.traitor[w.primary(v)] {
			continue
		}
		if v == 0 {
			s.propose(o, 0, nil, w.cfg.Equivocations)
			continue
		}
		for _, base := range s.bases(o, ls, v) {
			for variant := range w.cfg.NewViews {
				f := w.newViewFact(v, base, variant)
				o.all.add(f)
				s.propose(o, v, w.blockOfBase(base), w.cfg.Equivocations)
			}
		}
	}
}

func (w *world) blockOfBase(base *pbft.Certificate) *block {
	if base == nil {
		return nil
	}
	return w.blockOf[base.Block]
}

// propose adds a traitor's proposals on a parent and on each other.
func (s *search) propose(o *offer, v pbft.View, parent *block, several int) {
	height := s.w.start.Height
	if parent != nil {
		height = parent.proposal.Height
	}
	if int(height) >= s.w.cfg.Blocks {
		return
	}
	for variant := range several {
		b := s.w.forge(v, parent, variant)
		o.all.add(b.fact)
		s.propose(o, v, b, 1)
	}
}

// liedClaims are the claims that a traitor can make for a view: nothing, any
// certificate that exists, and one that does not.
func (s *search) liedClaims(o *offer, v pbft.View) []int {
	claims := []int{s.w.claimFact(v, nil, false)}
	s.certificates(o, v, func(c *pbft.Certificate) { claims = append(claims, s.w.claimFact(v, c, false)) })
	return append(claims, s.w.claimFact(v, s.w.forgery(v), true))
}

// certificates calls f for each certificate of a view below v.
func (s *search) certificates(o *offer, v pbft.View, f func(*pbft.Certificate)) {
	o.certs.each(func(i int) {
		if fa := &s.w.facts[i]; fa.view < v {
			if c := s.w.certificate(fa.statement); c != nil {
				f(c)
			}
		}
	})
}

// forgery is a certificate for the highest block that the traitor could wish for,
// with a proof that proves nothing.
func (w *world) forgery(v pbft.View) *pbft.Certificate {
	if w.forged[v] == nil {
		s := pbft.Statement{Phase: pbft.Prepare, View: v - 1, Height: pbft.Height(w.cfg.Blocks), Block: w.cluster}
		if v > 1 {
			s.NewView = w.cluster
		}
		c := &pbft.Certificate{Statement: s, Signers: make([]byte, (w.n+7)/8), Proof: make([]byte, 32*w.n)}
		for i := range w.n {
			c.Signers.Set(pbft.ReplicaID(i))
		}
		w.forged[v] = c
	}
	return w.forged[v]
}

// bases are the certificates (nil: the start block) that a NewView of a traitor for v
// can rest on: what the traitors claim may be any certificate, but enough of the
// honest must have claimed no more.
func (s *search) bases(o *offer, ls []*local, v pbft.View) []*pbft.Certificate {
	var lowest []pbft.Rank // of each honest replica's claims
	for _, l := range ls {
		found, low := false, pbft.Rank{}
		l.sent.each(func(f int) {
			if fa := &s.w.facts[f]; fa.kind == claimed && fa.view == v {
				if r := fa.claim.rank(); !found || r.Less(low) {
					found, low = true, r
				}
			}
		})
		if found {
			lowest = append(lowest, low)
		}
	}
	slices.SortFunc(lowest, pbft.Rank.Compare)
	need := s.honestNeeded(s.w.traitorWeight())
	if need > len(lowest) {
		return nil
	}
	var floor pbft.Rank
	if need > 0 {
		floor = lowest[need-1]
	}
	var bases []*pbft.Certificate
	if floor == (pbft.Rank{}) {
		bases = append(bases, nil)
	}
	s.certificates(o, v, func(c *pbft.Certificate) {
		if !c.Rank().Less(floor) {
			bases = append(bases, c)
		}
	})
	return bases
}

func (w *world) traitorWeight() uint64 {
	sum := uint64(0)
	for _, t := range w.cfg.Traitors {
		sum += w.quorums.Weight(t)
	}
	return sum
}

// honestNeeded is how many honest replicas make a quorum with weight that is there.
func (s *search) honestNeeded(weight uint64) int {
	q := s.w.quorums.QuorumWeight()
	if weight >= q {
		return 0
	}
	each := s.w.quorums.Weight(s.w.honest()[0])
	return int((q - weight + each - 1) / each)
}

// certificatesClash looks for two certificates that cannot both exist with at most F
// weight of traitors: of one view and two chains, or of a later view against what an
// earlier one committed.
func (s *search) certificatesClash(o *offer) string {
	if s.w.cfg.AgreementOnly {
		return ""
	}
	var all []*fact
	o.certs.each(func(f int) { all = append(all, &s.w.facts[f]) })
	for i, a := range all {
		for _, b := range all[:i] {
			low, high := a, b
			if high.view < low.view {
				low, high = high, low
			}
			var ok bool
			switch {
			case low.view == high.view:
				ok = onOneChain(low.block, high.block)
			case low.statement.Phase == pbft.Commit:
				ok = high.block.extends(low.block)
			default:
				ok = true
			}
			if !ok {
				return "two certificates exist that clash: " + s.w.say(&low.statement) + " and " + s.w.say(&high.statement)
			}
		}
	}
	return ""
}
