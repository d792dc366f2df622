package chaos

import "github.com/parley-bft/parley/pbft"

// baseCheck recomputes, for every view that an honest replica enters, where it has
// to start: it knows PROTOCOL R14 and nothing of the product's code for it.
type baseCheck struct {
	s *Simulation
	// bases are those of the NewViews that were looked at.
	bases map[pbft.Digest]pbft.BlockRef
	views map[pbft.Digest]pbft.View
}

func newBaseCheck(s *Simulation) *baseCheck {
	return &baseCheck{s: s, bases: map[pbft.Digest]pbft.BlockRef{}, views: map[pbft.Digest]pbft.View{}}
}

// isBase tells whether a vote is for the base of the NewView that it names.
func (k *baseCheck) isBase(p *process, v *pbft.Vote) bool {
	base, ok := k.bases[v.NewView]
	if !ok {
		// It entered the view and left it in one step: the disk remembers.
		if n := newViewOn(p.disk.image, v.View, v.NewView); n != nil {
			k.check(p, n)
			base, ok = k.bases[v.NewView]
		}
	}
	return ok && base == v.Ref()
}

// entered is given the NewView that a replica holds.
func (k *baseCheck) entered(p *process, n *pbft.NewView) {
	if n == nil || n == p.newView {
		return
	}
	p.newView = n // its digest takes longer to compute than most steps of a replica
	k.check(p, n)
}

// check recomputes the base of a NewView that it has not seen yet.
func (k *baseCheck) check(p *process, n *pbft.NewView) {
	if _, seen := k.bases[n.Digest()]; seen {
		return
	}
	base := k.s.start.Ref()
	if n.Certificate != nil {
		base = n.Certificate.Ref()
	}
	k.bases[n.Digest()], k.views[n.Digest()] = base, n.View
	k.s.judge.certs.claimed(p, n)
	weight, total := uint64(0), uint64(0)
	named := make([]bool, len(k.s.opts.Weights))
	var top *pbft.Claim
	for i := range n.Claims {
		c := &n.Claims[i]
		if named[c.Signer] {
			k.s.violate(Bases, "replica %d enters view %d by a NewView that names replica %d twice", p.id, n.View, c.Signer)
			return
		}
		named[c.Signer] = true
		weight += k.s.opts.Weights[c.Signer]
		if c.View != n.View {
			k.s.violate(Bases, "replica %d enters view %d by a claim of replica %d for view %d", p.id, n.View, c.Signer, c.View)
		}
		if top == nil || c.High.View > top.High.View || c.High.View == top.High.View && c.High.Height > top.High.Height {
			top = &c.Claim
		}
	}
	for _, w := range k.s.opts.Weights {
		total += w
	}
	if need := (total+(total-1)/3)/2 + 1; weight < need {
		k.s.violate(Bases, "replica %d enters view %d by claims that weigh %d: a quorum weighs %d", p.id, n.View, weight, need)
		return
	}
	if want := (pbft.BlockRef{Height: top.High.Height, Digest: top.Block}); base != want {
		k.s.violate(Bases, "replica %d enters view %d at %v, the highest claim of it is %v", p.id, n.View, base, want)
	}
}
