package replica

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
)

// ServeConfig bounds what one peer gets from the disk.
type ServeConfig struct {
	// BlockBytes is about how much one answer to GetBlocks carries: 1 MiB.
	BlockBytes int
	// Pending is how many answers to one peer may be under way at once: 4.
	Pending int
	// Burst and PerTick are a bucket of answers for each peer: 32, and 2 more each
	// tick.
	Burst, PerTick int
}

func (c ServeConfig) withDefaults() ServeConfig {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.BlockBytes, 1<<20)
	set(&c.Pending, 4)
	set(&c.Burst, 32)
	set(&c.PerTick, 2)
	return c
}

type servingPeer struct {
	pending int
	tokens  int
}

// Serving is an answer to make from the disk, off the protocol goroutine.
type Serving struct {
	To  pbft.ReplicaID
	Ask pbft.Message // *GetBlocks, *GetManifest, *GetChunk or *GetState

	// For GetBlocks: what only the core knew when it was asked.
	Held   []*pbft.PrePrepare // uncommitted blocks from the asked one down
	Limit  int                // bytes
	Window pbft.Height
	Oldest pbft.Height
}

// admitServing takes a place and a token of the peer.
func (n *Node) admitServing(from pbft.ReplicaID) bool {
	if from == n.cfg.Core.Self || int(from) >= len(n.serving) {
		return false
	}
	p := &n.serving[from]
	if p.pending >= n.cfg.Serve.Pending || p.tokens == 0 {
		n.counters.ServeLimited++
		return false
	}
	p.pending++
	p.tokens--
	return true
}

func (n *Node) refillServing() {
	for i := range n.serving {
		n.serving[i].tokens = min(n.serving[i].tokens+n.cfg.Serve.PerTick, n.cfg.Serve.Burst)
	}
}

// Served reports that a Serving ended, with an answer or without.
func (n *Node) Served(to pbft.ReplicaID) {
	if int(to) < len(n.serving) && n.serving[to].pending > 0 {
		n.serving[to].pending--
	}
}

func (n *Node) serveFile(from pbft.ReplicaID, ask pbft.Message) {
	if n.admitServing(from) {
		n.host.Serve(&Serving{To: from, Ask: ask})
	}
}

func (n *Node) serveBlocks(from pbft.ReplicaID, ask *pbft.GetBlocks) {
	if !n.admitServing(from) {
		return
	}
	s := &Serving{To: from, Ask: ask, Limit: n.cfg.Serve.BlockBytes, Window: n.cfg.Core.Window, Oldest: n.core.Oldest()}
	// What is not committed may not be in the store yet.
	for d, size := ask.Digest, 0; !d.IsZero() && size <= s.Limit; {
		p := n.core.Uncommitted(d)
		if p == nil || p.Height < ask.From {
			break
		}
		s.Held = append(s.Held, p)
		size += p.Size()
		d = p.Parent
	}
	n.host.Serve(s)
}

// Blocks answers the GetBlocks of s from the store, or returns nil if there is
// nothing to answer with. It only reads, so it may run on any goroutine.
func (s *Serving) Blocks(store Store) (pbft.Message, error) {
	ask, ok := s.Ask.(*pbft.GetBlocks)
	if !ok {
		return nil, fmt.Errorf("replica: %v is not answered with blocks", s.Ask.Kind())
	}
	if ask.From < s.Oldest {
		return snapshotAnswer(store)
	}
	if ask.Digest.IsZero() {
		return s.byHeight(store, ask.From)
	}
	return s.byDigest(store, ask)
}

// snapshotFiles makes the answer to a GetManifest or GetChunk; one without data says
// that this replica does not have what is asked for.
type snapshotFiles interface {
	answer(ask pbft.Message) (pbft.Message, error)
}

// answers are the messages to answer with, which may be some even after an error. Like
// Blocks it may run on any goroutine.
func (s *Serving) answers(store Store, files snapshotFiles, state func(request []byte) ([]byte, error)) (all []pbft.Message, err error) {
	if ask, ok := s.Ask.(*pbft.GetState); ok {
		// Also without data, so that the peer asks somebody else at once.
		data, err := state(ask.Request)
		return []pbft.Message{&pbft.State{ID: ask.ID, Data: data}}, err
	}
	if _, blocks := s.Ask.(*pbft.GetBlocks); blocks {
		m, err := s.Blocks(store)
		if m == nil {
			return nil, err
		}
		return []pbft.Message{m}, err
	}
	m, err := files.answer(s.Ask)
	if m == nil {
		return nil, err
	}
	// What is not here may be nowhere any more. The bundle of a later snapshot, which
	// nothing else may have a reason to send, says what there is instead; it comes first
	// since the answer makes the peer look for one.
	if asked, absent := absence(m); absent {
		b, berr := storedSnapshot(store)
		if err = errors.Join(err, berr); b != nil && b.Height() > asked {
			all = append(all, b)
		}
	}
	return append(all, m), err
}

// absence tells whether an answer has no data, and which snapshot it is about.
func absence(answer pbft.Message) (asked pbft.Height, absent bool) {
	switch m := answer.(type) {
	case *pbft.Manifest:
		return m.Height, len(m.Data) == 0
	case *pbft.Chunk:
		return m.Height, len(m.Data) == 0
	}
	return 0, false
}

// storedSnapshot reads the bundle of the stable snapshot, nil if there is none.
func storedSnapshot(store Store) (*pbft.Bundle, error) {
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordSnapshot})
	if err != nil || v == nil {
		return nil, err
	}
	return pbft.DecodeRecordBundle(v)
}

// storedStable is the last stable checkpoint, nil if there is none.
func storedStable(store Store) (*pbft.Bundle, error) {
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordStable})
	if err != nil || v == nil {
		return nil, err
	}
	return pbft.DecodeRecordBundle(v)
}

// snapshotAnswer tells a peer that is below the log where the snapshot is.
func snapshotAnswer(store Store) (pbft.Message, error) {
	b, err := storedSnapshot(store)
	if b == nil || err != nil {
		return nil, err
	}
	return b, nil
}

func getBlock(store Store, ref pbft.BlockRef) (*pbft.PrePrepare, error) {
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordBlock, Height: uint64(ref.Height), Digest: ref.Digest})
	if err != nil || v == nil {
		return nil, err
	}
	return pbft.DecodeRecordBlock(v)
}

func getChain(store Store, h pbft.Height) (ref pbft.BlockRef, ok bool, err error) {
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordChain, Height: uint64(h)})
	if err != nil || v == nil {
		return ref, false, err
	}
	ref, err = pbft.DecodeRecordChain(v)
	return ref, err == nil, err
}

// byDigest takes the asked block and as many of its ancestors as fit.
func (s *Serving) byDigest(store Store, ask *pbft.GetBlocks) (pbft.Message, error) {
	var down []*pbft.PrePrepare
	size := 0
	take := func(p *pbft.PrePrepare) bool {
		if len(down) > 0 && size+p.Size() > s.Limit || len(down) >= int(2*s.Window) {
			return false
		}
		down = append(down, p)
		size += p.Size()
		return true
	}
	next := pbft.BlockRef{Height: ask.Height, Digest: ask.Digest}
	for _, p := range s.Held {
		if !take(p) {
			return ascending(down, nil), nil
		}
		next = pbft.BlockRef{Height: p.Height - 1, Digest: p.Parent}
	}
	for next.Height >= ask.From && next.Height > 0 {
		p, err := getBlock(store, next)
		if err != nil {
			return nil, err
		}
		if p == nil || !take(p) {
			break
		}
		next = pbft.BlockRef{Height: p.Height - 1, Digest: p.Parent}
	}
	if len(down) == 0 {
		return nil, nil
	}
	return ascending(down, nil), nil
}

// maxKept bounds the certificates looked at for one answer: one certificate covers
// at least a good part of a window, so these are far more than fit an answer.
const maxKept = 8

// keptFrom returns the first kept certificates from a height on, ascending, the
// one of the committed block last.
func keptFrom(store Store, from pbft.Height) (found []*pbft.Certificate, err error) {
	var inner error
	err = store.Seek(pbft.RecordCommit, uint64(from), func(r pbft.Record) bool {
		c, err := pbft.DecodeRecordCertificate(r.Value)
		if inner = err; err == nil {
			found = append(found, c)
		}
		return err == nil && len(found) < maxKept
	})
	if err := firstError(err, inner); err != nil {
		return nil, err
	}
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordCommitted})
	if err != nil {
		return nil, err
	}
	c, err := decodeCommitted(v)
	if err == nil && c != nil && (len(found) == 0 || c.Height > found[len(found)-1].Height) {
		found = append(found, c)
	}
	return found, err
}

func ascending(down []*pbft.PrePrepare, c *pbft.Certificate) *pbft.Blocks {
	m := &pbft.Blocks{Blocks: make([]*pbft.PrePrepare, len(down)), Certificate: c}
	for i, p := range down {
		m.Blocks[len(down)-1-i] = p
	}
	return m
}

// byHeight takes the committed blocks from a height on, up to the last kept
// certificate that fits. If even the first does not fit the limit it is sent all
// the same: certificates are kept for every window, so that is a window at most.
func (s *Serving) byHeight(store Store, from pbft.Height) (pbft.Message, error) {
	var m pbft.Blocks
	var end int // blocks covered by m.Certificate
	size, at := 0, from
	// extend takes blocks up to a certificate's height; done says to stop there.
	extend := func(c *pbft.Certificate) (done bool, err error) {
		for ; at <= c.Height; at++ {
			if end > 0 && size >= s.Limit || len(m.Blocks) >= int(2*s.Window) {
				return true, nil
			}
			ref, ok, err := getChain(store, at)
			if err != nil || !ok {
				return true, err
			}
			p, err := getBlock(store, ref)
			if err != nil || p == nil {
				return true, err
			}
			m.Blocks = append(m.Blocks, p)
			size += p.Size()
			if at == c.Height && ref.Digest != c.Block {
				return true, fmt.Errorf("replica: kept certificate of %v, chain has %v", c.Ref(), ref)
			}
		}
		m.Certificate, end = c, len(m.Blocks)
		return size >= s.Limit, nil
	}
	certificates, err := keptFrom(store, from)
	if err != nil {
		return nil, err
	}
	for _, c := range certificates {
		if c.Height < at {
			continue
		}
		if done, err := extend(c); err != nil {
			return nil, err
		} else if done {
			break
		}
	}
	if m.Certificate == nil {
		return nil, nil
	}
	m.Blocks = m.Blocks[:end]
	nv, err := newViewOf(store, m.Certificate)
	if err != nil {
		return nil, err
	}
	if nv != nil {
		m.NewViews = append(m.NewViews, nv)
	}
	return &m, nil
}

// newViewOf returns the NewView that a certificate names, nil if it is not here. An
// equivocating primary may have made a replica enter the view by another one: then
// the one that was certified has a record of its own.
func newViewOf(store Store, c *pbft.Certificate) (*pbft.NewView, error) {
	for _, d := range []pbft.Digest{c.NewView, {}} {
		v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordNewView, Height: uint64(c.View), Digest: d})
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if n, err := pbft.DecodeRecordNewView(v); err != nil || n.Digest() == c.NewView {
			return n, err
		}
	}
	return nil, nil
}

// decodeCommitted returns the certificate in a RecordCommitted if it is one of the
// committed block itself: only that is of use to a peer.
func decodeCommitted(v []byte) (*pbft.Certificate, error) {
	if v == nil {
		return nil, nil
	}
	ref, c, err := pbft.DecodeRecordCommitted(v)
	if err != nil || c == nil || c.Ref() != ref {
		return nil, err
	}
	return c, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
