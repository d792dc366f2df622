package chaos

import "github.com/parley-bft/parley/pbft"

// field is a part of a message that a mutation may change: a number, or else a
// digest.
type field struct {
	number func() uint64
	set    func(uint64)
	digest *pbft.Digest
}

func number[T ~uint64 | ~uint32 | ~uint8](p *T) field {
	return field{number: func() uint64 { return uint64(*p) }, set: func(v uint64) { *p = T(v) }}
}

func boolean(p *bool) field {
	return field{set: func(v uint64) { *p = v%2 == 1 }, number: func() uint64 {
		if *p {
			return 1
		}
		return 0
	}}
}

func digest(p *pbft.Digest) field { return field{digest: p} }

// dissect copies a message and returns the fields of the copy, in an order that
// depends on its kind only, and what makes a message of it again: without the
// signatures that self can make. It returns nothing for what has no fields.
func dissect(m pbft.Message, self pbft.ReplicaID) ([]field, func() pbft.Message) {
	switch m := m.(type) {
	case *pbft.Vote:
		x := *m
		if m.Signer == self {
			x.Signature = nil
		}
		return statementFields(&x.Statement), func() pbft.Message { return &x }
	case *pbft.Certificate:
		x := *m
		return statementFields(&x.Statement), func() pbft.Message { return &x }
	case *pbft.CheckpointVote:
		x := *m
		if m.Signer == self {
			x.Signature = nil
		}
		s := &x.CheckpointStatement
		return []field{number(&s.Height), digest(&s.Block), digest(&s.State), digest(&s.Results), digest(&s.NextConfig)}, func() pbft.Message { return &x }
	case *pbft.PrePrepare:
		h := m.Header
		return []field{number(&h.Height), number(&h.View), digest(&h.Parent), number(&h.Time), boolean(&h.Checkpoint), number(&h.Epoch), digest(&h.Cluster)},
			func() pbft.Message {
				x := &pbft.PrePrepare{Block: pbft.NewBlock(h, m.Requests)}
				if h.Proposer != self {
					x.Signature = m.Signature
				}
				return x
			}
	case *pbft.ViewChange:
		x := *m
		if m.Signer == self {
			x.Signature = [64]byte{}
		}
		c := &x.Claim
		return []field{number(&c.View), number(&c.High.View), number(&c.High.Height), digest(&c.Block), number(&c.Phase), number(&c.Stable)}, func() pbft.Message { return &x }
	case *pbft.NewView:
		x := pbft.NewView{View: m.View, Claims: append([]pbft.SignedClaim(nil), m.Claims...), Certificate: m.Certificate}
		fs := []field{number(&x.View)}
		for i := range x.Claims {
			c := &x.Claims[i]
			fs = append(fs, number(&c.View), number(&c.High.View), number(&c.High.Height), digest(&c.Block), number(&c.Stable))
		}
		if m.Certificate != nil {
			q := *m.Certificate
			x.Certificate = &q
			fs = append(fs, statementFields(&q.Statement)...)
		}
		return fs, func() pbft.Message { return &x }
	case *pbft.Status:
		x := *m
		return []field{
			number(&x.View), boolean(&x.Entered), boolean(&x.Open), digest(&x.NewView), number(&x.Tip.Height), digest(&x.Tip.Digest), number(&x.High.View),
			number(&x.High.Height), number(&x.Committed), number(&x.Executed), number(&x.Stable), number(&x.Snapshot), number(&x.Oldest),
			boolean(&x.Suspect), boolean(&x.Follower), boolean(&x.Reply), number(&x.Incarnation), number(&x.Echo),
		}, func() pbft.Message { return &x }
	case *pbft.Bundle:
		x, c := *m, *m.Checkpoint
		x.Checkpoint = &c
		return []field{number(&c.Height), digest(&c.Block), digest(&c.State), digest(&c.Results), number(&x.Header.Height), number(&x.Header.View), digest(&x.Header.Parent)},
			func() pbft.Message { return &x }
	case *pbft.Heartbeat:
		x := *m
		return []field{number(&x.View), number(&x.Tip.Height), digest(&x.Tip.Digest), number(&x.High.View), number(&x.High.Height)}, func() pbft.Message { return &x }
	case *pbft.GetBlocks:
		x := *m
		return []field{number(&x.From), number(&x.Height), digest(&x.Digest)}, func() pbft.Message { return &x }
	case *pbft.GetManifest:
		x := *m
		return []field{number(&x.Height)}, func() pbft.Message { return &x }
	case *pbft.Manifest:
		x := *m
		return []field{number(&x.Height)}, func() pbft.Message { return &x }
	case *pbft.GetChunk:
		x := *m
		return []field{number(&x.Height), number(&x.Index)}, func() pbft.Message { return &x }
	case *pbft.Chunk:
		x := *m
		return []field{number(&x.Height), number(&x.Index)}, func() pbft.Message { return &x }
	case *pbft.GetState:
		x := *m
		return []field{number(&x.ID)}, func() pbft.Message { return &x }
	case *pbft.State:
		x := *m
		return []field{number(&x.ID)}, func() pbft.Message { return &x }
	case *pbft.Evidence:
		x := *m
		x.Votes = append([]pbft.Vote(nil), m.Votes...)
		fs := []field{number(&x.Offence)}
		for i := range x.Votes {
			fs = append(fs, statementFields(&x.Votes[i].Statement)...)
		}
		return fs, func() pbft.Message { return &x }
	}
	return nil, nil
}

func statementFields(s *pbft.Statement) []field {
	return []field{number(&s.Phase), number(&s.View), digest(&s.NewView), number(&s.Height), digest(&s.Block)}
}

// nudged is a message with one number one larger or smaller, nil if it has none.
func (p *Puppet) nudged(m pbft.Message) pbft.Message {
	fs, whole := dissect(m, p.Self)
	var numbers []field
	for _, f := range fs {
		if f.digest == nil {
			numbers = append(numbers, f)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	f := numbers[p.Rand.IntN(len(numbers))]
	if p.Rand.IntN(2) == 0 {
		f.set(f.number() + 1)
	} else {
		f.set(f.number() - 1)
	}
	return whole()
}

// swapped is a message with one field as an earlier message of its kind had it, nil
// if there was no other.
func (p *Puppet) swapped(m pbft.Message) pbft.Message {
	old := p.oldMessage(m.Kind())
	if old == nil {
		return nil
	}
	fs, whole := dissect(m, p.Self)
	from, _ := dissect(old, p.Self)
	for _, k := range p.Rand.Perm(min(len(fs), len(from))) {
		f, o := fs[k], from[k]
		switch {
		case (f.digest == nil) != (o.digest == nil):
		case f.digest != nil && *f.digest != *o.digest:
			*f.digest = *o.digest
			return whole()
		case f.digest == nil && f.number() != o.number():
			f.set(o.number())
			return whole()
		}
	}
	return nil
}
