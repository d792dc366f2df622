package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// certificateCheck recomputes every certificate that an honest replica uses from
// what was really signed. It counts by its own rule: with W the sum of the weights
// and F = (W-1)/3 a quorum weighs more than (W+F)/2.
type certificateCheck struct {
	s      *Simulation
	votes  statements[pbft.Statement]
	points statements[pbft.CheckpointStatement]
	claims map[signature[pbft.Claim]]bool
	// unique is what was certified.
	unique map[certified]pbft.Digest
}

// statements of one type: what honest replicas have signed, and the certificates
// that were looked at.
type statements[S comparable] struct {
	signed map[signature[S]]bool
	good   map[certificate[S]]bool
}

type signature[S comparable] struct {
	by   pbft.ReplicaID
	what S
}

type certificate[S comparable] struct {
	what    S
	signers [crypto.MaxReplicas / 8]byte
}

// certified names what there may be one certificate for.
type certified struct {
	kind   string
	view   pbft.View
	height pbft.Height
}

func newCertificateCheck(s *Simulation) *certificateCheck {
	return &certificateCheck{
		s:      s,
		votes:  statements[pbft.Statement]{map[signature[pbft.Statement]]bool{}, map[certificate[pbft.Statement]]bool{}},
		points: statements[pbft.CheckpointStatement]{map[signature[pbft.CheckpointStatement]]bool{}, map[certificate[pbft.CheckpointStatement]]bool{}},
		claims: map[signature[pbft.Claim]]bool{}, unique: map[certified]pbft.Digest{},
	}
}

// signs notes what an honest replica signs, before it leaves.
func (k *certificateCheck) signs(by pbft.ReplicaID, m pbft.Message) {
	switch m := m.(type) {
	case *pbft.Vote:
		if m.Signer == by {
			k.votes.signed[signature[pbft.Statement]{by, m.Statement}] = true
		}
	case *pbft.CheckpointVote:
		if m.Signer == by {
			k.points.signed[signature[pbft.CheckpointStatement]{by, m.CheckpointStatement}] = true
		}
	case *pbft.ViewChange:
		if m.Signer == by {
			k.claims[signature[pbft.Claim]{by, m.Claim}] = true
		}
	}
}

// claimed demands that the honest members among those whom a NewView names have
// claimed what it says that they did.
func (k *certificateCheck) claimed(p *process, n *pbft.NewView) {
	for i := range n.Claims {
		c := &n.Claims[i]
		if k.s.replicas[c.Signer].honest() && !k.claims[signature[pbft.Claim]{c.Signer, c.Claim}] {
			k.s.violate(Certificates, "replica %d enters view %d by a claim of replica %d that it never made: %v", p.id, n.View, c.Signer, c.Claim)
		}
	}
}

// uses looks at the certificates in what an honest replica sends on, all of which
// it has accepted. (Claims of others are passed on unchecked.)
func (k *certificateCheck) uses(p *process, m pbft.Message) {
	switch m := m.(type) {
	case *pbft.Certificate:
		k.certificate(p, m)
	case *pbft.ViewChange:
		if m.Signer == p.id {
			k.certificate(p, m.Certificate)
		}
	case *pbft.NewView:
		k.certificate(p, m.Certificate)
	case *pbft.Blocks:
		k.certificate(p, m.Certificate)
	case *pbft.Bundle:
		k.bundle(p, m)
	}
}

func (k *certificateCheck) bundle(p *process, b *pbft.Bundle) {
	if b != nil {
		k.certificate(p, b.Commit)
		k.checkpoint(p, b.Checkpoint)
	}
}

func (k *certificateCheck) certificate(p *process, c *pbft.Certificate) {
	if c == nil {
		return
	}
	if proven(k, p, &k.votes, c.Statement, c.Signers, c) {
		k.only(p, certified{c.Phase.String(), c.View, c.Height}, c.Block)
	}
}

func (k *certificateCheck) checkpoint(p *process, c *pbft.CheckpointCertificate) {
	if c == nil {
		return
	}
	if proven(k, p, &k.points, c.CheckpointStatement, c.Signers, c) {
		k.only(p, certified{"checkpoint", 0, c.Height}, crypto.Hash("chaos/point", c.CheckpointStatement.Append(nil)))
	}
}

// proven tells whether the certificate is new, and judges it if so.
func proven[S comparable](k *certificateCheck, p *process, of *statements[S], what S, signers crypto.Bitmap, c any) bool {
	key := certificate[S]{what: what}
	copy(key.signers[:], signers)
	if of.good[key] {
		return false
	}
	of.good[key] = true
	weight := uint64(0)
	for i, m := range k.s.replicas {
		if !signers.Has(m.id) {
			continue
		}
		weight += k.s.opts.Weights[i]
		if m.honest() && !of.signed[signature[S]{m.id, what}] {
			k.s.violate(Certificates, "replica %d uses %v, which replica %d never signed", p.id, c, m.id)
		}
	}
	total := uint64(0)
	for _, w := range k.s.opts.Weights {
		total += w
	}
	if need := (total+(total-1)/3)/2 + 1; weight < need {
		k.s.violate(Certificates, "replica %d uses %v, whose signers weigh %d of %d: a quorum weighs %d", p.id, c, weight, total, need)
	}
	return true
}

// only demands that one block is certified at a view, phase and height.
func (k *certificateCheck) only(p *process, at certified, what pbft.Digest) {
	if other, ok := k.unique[at]; ok && other != what {
		k.s.violate(Certificates, "replica %d uses a certificate of %s view %d height %d for %v, there is one for %v", p.id, at.kind, at.view, at.height, what, other)
	}
	k.unique[at] = what
}
