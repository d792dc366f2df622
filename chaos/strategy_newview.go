package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// Primaries that open views wrongly. A traitor that is never the primary of a
// later view asks for view changes until it is.

// usurper sees to it that its turn comes: it suspects every other primary, and
// asks for the next view when the cluster has reached the one before its own.
type usurper struct{ honest }

func (a usurper) Send(to pbft.ReplicaID, m pbft.Message) {
	if s, ok := m.(*pbft.Status); ok && !s.Suspect && a.Schedule.Primary(a.Core.Epoch, s.View) != a.Self {
		x := *s
		x.Suspect = true
		m = &x
	}
	a.Transmit(to, m)
}

// wrongBase opens its views on another base than the claims demand (B16): it
// leaves out the highest claims, shows another certificate, or none.
type wrongBase struct{ usurper }

func newWrongBase(p *Puppet) Adversary { return wrongBase{usurper{honest{p}}} }

func (a wrongBase) Send(to pbft.ReplicaID, m pbft.Message) {
	n, ok := m.(*pbft.NewView)
	if !ok || a.Schedule.Primary(a.Core.Epoch, n.View) != a.Self {
		a.usurper.Send(to, m)
		return
	}
	bad := &pbft.NewView{View: n.View, Claims: append([]pbft.SignedClaim(nil), n.Claims...), Certificate: n.Certificate}
	l := &a.Coalition.lore
	switch a.Rand.IntN(5) {
	case 0: // without the highest claim, and so perhaps of less than a quorum
		top, _ := pbft.ChooseBase(bad.Claims)
		for i := range bad.Claims {
			if bad.Claims[i].High == top.High {
				bad.Claims = append(bad.Claims[:i], bad.Claims[i+1:]...)
				break
			}
		}
		if x := a.newViewOf(n.View, bad.Claims); x != nil {
			bad = x
		}
	case 1: // the start block
		bad.Certificate = nil
	case 2:
		if len(l.certs) > 0 {
			bad.Certificate = l.certs[a.Rand.IntN(len(l.certs))]
		}
	case 3: // its own claim twice
		bad.Claims = append(bad.Claims, bad.Claims[0])
	default: // its own claim instead of everybody's
		for i := range bad.Claims {
			bad.Claims[i] = a.startClaim(n.View).SignedClaim
			bad.Claims[i].Signature, _ = crypto.SignatureOf(a.Keys.Signing.Sign(
				crypto.Context{Kind: crypto.KindViewChange, Cluster: a.Core.Cluster, Epoch: uint64(a.Core.Epoch)}, bad.Claims[i].Claim.Append(nil)))
		}
		bad.Certificate = nil
	}
	a.did("NewView on a wrong base")
	a.Transmit(to, bad)
}

// twoNewViews opens its views twice, for the two sides, from different quorums of
// claims or from two claims of its own (B17), and votes on both.
type twoNewViews struct {
	usurper
	second map[pbft.View]*pbft.NewView
	first  map[pbft.View]pbft.Digest
}

func newTwoNewViews(p *Puppet) Adversary {
	return &twoNewViews{usurper{honest{p}}, map[pbft.View]*pbft.NewView{}, map[pbft.View]pbft.Digest{}}
}

func (a *twoNewViews) Send(to pbft.ReplicaID, m pbft.Message) {
	switch m := m.(type) {
	case *pbft.NewView:
		if a.Schedule.Primary(a.Core.Epoch, m.View) != a.Self {
			break
		}
		if _, made := a.second[m.View]; !made {
			a.second[m.View], a.first[m.View] = a.twin(m), m.Digest()
			delete(a.second, m.View-100)
			delete(a.first, m.View-100)
		}
		if n := a.second[m.View]; n != nil && a.Coalition.side(to) == 1 {
			a.did("second NewView")
			a.Transmit(to, n)
			return
		}
	case *pbft.Vote:
		// On the side of the second NewView it votes under that one, for its base.
		if n := a.second[m.View]; n != nil && a.Coalition.side(to) == 1 && m.NewView == a.first[m.View] {
			x := &pbft.Vote{Statement: m.Statement, Signer: a.Self}
			x.NewView = n.Digest()
			base, _ := pbft.Base(n)
			if m.Height <= base.Height {
				x.Height, x.Block = base.Height, base.Digest
			}
			a.Transmit(to, x)
			return
		}
	}
	a.usurper.Send(to, m)
}

// twin is a second valid NewView of the view, nil if none can be made.
func (a *twoNewViews) twin(m *pbft.NewView) *pbft.NewView {
	all := a.claimsWithout(m.View, pbft.Everyone)
	// Another quorum, if more have claimed than needed.
	for _, i := range a.Rand.Perm(len(all)) {
		fewer := append(append([]pbft.SignedClaim(nil), all[:i]...), all[i+1:]...)
		if n := a.newViewOf(m.View, fewer); n != nil && a.enough(fewer) && n.Digest() != m.Digest() {
			return n
		}
	}
	// The same quorum with another claim of its own.
	claims := append([]pbft.SignedClaim(nil), m.Claims...)
	for i := range claims {
		if claims[i].Signer == a.Self {
			c := a.startClaim(m.View).SignedClaim
			c.Stable = claims[i].Stable + 1
			c.Signature, _ = crypto.SignatureOf(a.Keys.Signing.Sign(
				crypto.Context{Kind: crypto.KindViewChange, Cluster: a.Core.Cluster, Epoch: uint64(a.Core.Epoch)}, c.Claim.Append(nil)))
			claims[i] = c
		}
	}
	if n := a.newViewOf(m.View, claims); n != nil && n.Digest() != m.Digest() {
		return n
	}
	return nil
}
