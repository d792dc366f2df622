package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// Coalition is what traitors who act together share: all that one of them has
// heard, who they are, and how they divide the others. Each still signs with its
// own keys only.
type Coalition struct {
	members []*Puppet
	lore    lore
	sides   map[pbft.ReplicaID]int
	fork    *forkState // of those who play it
	twins   []*twin
}

// NewCoalition returns an empty coalition.
func NewCoalition() *Coalition { return &Coalition{lore: newLore()} }

func (c *Coalition) join(p *Puppet) { c.members = append(c.members, p) }

// has tells whether a replica is of the coalition.
func (c *Coalition) has(id pbft.ReplicaID) bool {
	for _, p := range c.members {
		if p.Self == id {
			return true
		}
	}
	return false
}

// side tells on which of two sides (0 and 1) a victim stands. Members stand on
// both. The victims are divided so that both sides weigh about the same.
func (c *Coalition) side(id pbft.ReplicaID) int {
	if c.sides == nil {
		c.divide()
	}
	return c.sides[id]
}

func (c *Coalition) divide() {
	c.sides = map[pbft.ReplicaID]int{}
	q := c.members[0].Core.Quorums
	var weight [2]uint64
	for _, i := range c.members[0].Rand.Perm(q.N()) {
		id := pbft.ReplicaID(i)
		if c.has(id) {
			continue
		}
		s := 0
		if weight[1] < weight[0] {
			s = 1
		}
		c.sides[id] = s
		weight[s] += q.Weight(id)
	}
}

// loreSize bounds each list of what was heard.
const loreSize = 32

// lore is what a coalition has heard, the newest last.
type lore struct {
	refs     []pbft.BlockRef
	blocks   []*pbft.PrePrepare
	certs    []*pbft.Certificate
	bundles  []*pbft.Bundle
	requests []*pbft.Request
	newViews []*pbft.NewView
	votes    []*pbft.Vote
	// old are encoded messages of a kind, spread over the whole past.
	old    map[pbft.MessageKind][]pbft.Message
	heard  map[pbft.MessageKind]int
	claims map[pbft.View]map[pbft.ReplicaID]*pbft.ViewChange
	views  []pbft.View // of claims, in the order in which they were first heard
	known  map[pbft.Digest]bool
	recent []pbft.Digest // of known, to forget the oldest
}

func newLore() lore {
	return lore{
		old: map[pbft.MessageKind][]pbft.Message{}, heard: map[pbft.MessageKind]int{},
		claims: map[pbft.View]map[pbft.ReplicaID]*pbft.ViewChange{}, known: map[pbft.Digest]bool{},
	}
}

// remember appends to what was heard and forgets the oldest.
func remember[T any](s []T, x T, n int) []T {
	if s = append(s, x); len(s) > n {
		s = s[1:]
	}
	return s
}

// fresh tells whether something is heard for the first time, as far as it is
// remembered.
func (l *lore) fresh(d pbft.Digest) bool {
	if l.known[d] {
		return false
	}
	l.known[d] = true
	if l.recent = append(l.recent, d); len(l.recent) > 64*loreSize {
		delete(l.known, l.recent[0])
		l.recent = l.recent[1:]
	}
	return true
}

// learn takes what there is to learn from any message.
func (l *lore) learn(m pbft.Message) {
	// Of all that was ever said of a kind, a part is kept: the one of the longest ago
	// is as likely as the newest.
	n := l.heard[m.Kind()]
	l.heard[m.Kind()]++
	if old := l.old[m.Kind()]; len(old) < loreSize {
		l.old[m.Kind()] = append(old, m)
	} else if n%7 == 0 {
		old[(n/7)%loreSize] = m
	}
	switch m := m.(type) {
	case *pbft.Vote:
		if l.fresh(m.Block) {
			l.refs = remember(l.refs, m.Ref(), loreSize)
		}
		l.votes = remember(l.votes, m, 4*loreSize)
	case *pbft.PrePrepare:
		l.block(m)
	case *pbft.Certificate:
		l.certificate(m)
	case *pbft.Bundle:
		l.bundles = remember(l.bundles, m, 4)
		l.certificate(m.Commit)
	case *pbft.NewView:
		if l.fresh(m.Digest()) {
			l.newViews = remember(l.newViews, m, loreSize)
		}
		for _, c := range m.Claims {
			l.claim(&pbft.ViewChange{SignedClaim: c})
		}
		l.certificate(m.Certificate)
	case *pbft.ViewChange:
		l.claim(m)
		l.certificate(m.Certificate)
	case *pbft.Blocks:
		l.certificate(m.Certificate)
	case *pbft.Forward:
		l.heardRequests(m.Requests)
	}
}

func (l *lore) block(m *pbft.PrePrepare) {
	d := m.Digest()
	if l.fresh(crypto.Hash("chaos/lore", []byte("block"), d[:])) {
		l.refs = remember(l.refs, m.Ref(), loreSize)
		l.blocks = remember(l.blocks, m, loreSize)
		l.heardRequests(m.Requests)
	}
}

func (l *lore) heardRequests(rs []*pbft.Request) {
	for _, r := range rs {
		if l.fresh(r.Digest()) {
			l.requests = remember(l.requests, r, 4*loreSize)
		}
	}
}

func (l *lore) certificate(c *pbft.Certificate) {
	if c == nil {
		return
	}
	if l.fresh(crypto.Hash("chaos/lore", []byte("certificate"), c.Statement.Append(nil))) {
		l.certs = remember(l.certs, c, loreSize)
	}
}

func (l *lore) claim(m *pbft.ViewChange) {
	of := l.claims[m.View]
	if of == nil {
		of = map[pbft.ReplicaID]*pbft.ViewChange{}
		l.claims[m.View] = of
		if l.views = append(l.views, m.View); len(l.views) > loreSize {
			delete(l.claims, l.views[0])
			l.views = l.views[1:]
		}
	}
	if old := of[m.Signer]; old == nil || m.Certificate != nil {
		of[m.Signer] = m
	}
}

// newViewDigests are those of the NewViews of a view that were heard: of the first
// view it is zero.
func (l *lore) newViewDigests(v pbft.View) []pbft.Digest {
	if v == 0 {
		return []pbft.Digest{{}}
	}
	var ds []pbft.Digest
	for _, n := range l.newViews {
		if n.View == v {
			ds = append(ds, n.Digest())
		}
	}
	return ds
}
