package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Peer is another replica that may have a state. Ask sends it a request, which its store
// answers by [Store.Serve]; an error, or an empty answer, says that it does not have the
// state, or cannot be reached. It is called from several goroutines.
type Peer interface {
	Ask(ctx context.Context, request []byte) (answer []byte, err error)
}

// Sync says which state is wanted and who may have it.
type Sync struct {
	// Height and Digest are those of a certified checkpoint: a quorum vouches for them.
	Height uint64
	Digest crypto.Digest
	// Peers are asked in turn. One that gives a wrong answer is not asked again, one that
	// gives none only if nobody else is left.
	Peers []Peer
	// Timeout is how long a peer may take for one answer; 10 s if zero.
	Timeout time.Duration
	// Lied, if not nil, hears of a wrong answer, and from which of Peers it was.
	Lied func(peer int, err error)
}

// SyncStats says what a [Store.Sync] came to.
type SyncStats struct {
	Requests       int
	Sent, Received int64 // bytes
	Nodes, Values  int   // that were received
	Changed        int   // keys that were set or deleted
}

// Sync makes the state that of a certified checkpoint, by asking peers for the parts of
// the tree that differ from those that are here. Each part is checked as it comes,
// against the digest or the part that named it, so a liar is found out at once.
//
// What came is put into the database now and then, so after a crash or an error Sync is
// called again, with the same state or a later one, and gets only what is still missing.
// In between the store is incomplete: it is not to be read, nor to be written to.
func (s *Store) Sync(ctx context.Context, want Sync) (stats SyncStats, err error) {
	if err := s.err(); err != nil {
		return stats, err
	}
	if want.Timeout == 0 {
		want.Timeout = 10 * time.Second
	}
	s.block.reset()
	y := &syncer{s: s, want: want, stats: &stats, state: make([]peerState, len(want.Peers)), why: errNothing}
	for {
		var done bool
		failed := Catch(func() {
			s.seal()
			done, err = y.descend(ctx)
		})
		if err = errors.Join(err, failed); err != nil {
			return stats, err
		}
		if len(y.changes) > 0 {
			stats.Changed += len(y.changes)
			if err := s.patch(y.changes); err != nil {
				return stats, err
			}
		}
		if done {
			return stats, s.complete(want.Height, want.Digest)
		}
	}
}

// syncer compares a peer's tree with the one here.
type syncer struct {
	s     *Store
	want  Sync
	stats *SyncStats
	state []peerState
	next  int   // the peer whose turn it is
	why   error // what the last peer said that gave nothing

	todo    []item
	changes map[string]record
	bytes   int
}

type peerState uint8

const (
	peerGood   peerState = iota
	peerSilent           // once
	peerOut              // lied, or was silent again
)

// item is a part of the tree that is wanted.
type item struct {
	turns  []byte
	digest crypto.Digest // of an inner node
	leaf   *child        // or the leaf whose value is wanted
	here   *child        // what stands there in the tree here, or nil
}

func (it *item) top() bool { return len(it.turns) == 0 }

var errNothing = errors.New("it does not have that")

var errEnough = errors.New("enough for once")

// batchSize is how many parts one request is for.
const batchSize = 256

// descend walks down from the root until all that differs is in changes, or as much as
// is to be gathered at once.
func (y *syncer) descend(ctx context.Context) (done bool, err error) {
	y.changes, y.bytes, y.todo = make(map[string]record), 0, nil
	root := y.s.tree.root()
	switch y.want.Digest {
	case proof.StateDigest(rootOf(root)):
		return true, nil
	case proof.StateDigest(crypto.Digest{}):
		err := y.remove(root)
		return err == nil, enough(err)
	}
	y.todo = []item{{here: root}}
	for len(y.todo) > 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := y.round(ctx); err != nil {
			return false, enough(err)
		}
	}
	return true, nil
}

func enough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// job is a request that is under way.
type job struct {
	peer  int
	items []item
	parts []part
	lie   error
	err   error
	sent  int
	got   int
}

// round asks each peer that can be asked for some parts, and takes in what comes.
func (y *syncer) round(ctx context.Context) error {
	peers := y.askable()
	if len(peers) == 0 {
		return fmt.Errorf("%w: %w", ErrPeers, y.why)
	}
	var jobs []*job
	for _, p := range peers {
		if len(y.todo) == 0 {
			break
		}
		n := max(0, len(y.todo)-batchSize)
		items := slices.Clone(y.todo[n:])
		slices.Reverse(items) // the first in the order of the tree is the last in todo
		y.todo = y.todo[:n]
		jobs = append(jobs, &job{peer: p, items: items})
	}
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() { y.do(ctx, j) })
	}
	wg.Wait()
	// What the last one was to get comes first again.
	var result error
	for _, j := range slices.Backward(jobs) {
		if err := y.take(j); err != nil && result == nil {
			result = err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return result
}

// askable returns the peers to be asked next: all that were good so far, or one that
// was silent.
func (y *syncer) askable() (peers []int) {
	n := len(y.state)
	for _, state := range []peerState{peerGood, peerSilent} {
		for i := range n {
			if p := (y.next + i) % n; y.state[p] == state {
				if peers = append(peers, p); state == peerSilent {
					break
				}
			}
		}
		if len(peers) > 0 {
			y.next = (peers[0] + 1) % n
			return peers
		}
	}
	return nil
}

// do asks and checks the answer.
func (y *syncer) do(ctx context.Context, j *job) {
	q := request{height: y.want.Height, digest: y.want.Digest}
	for i := range j.items {
		it := &j.items[i]
		q.asks = append(q.asks, ask{turns: it.turns, values: it.here == nil && it.leaf == nil})
	}
	ctx, cancel := context.WithTimeout(ctx, y.want.Timeout)
	defer cancel()
	req := q.encode()
	answer, err := y.want.Peers[j.peer].Ask(ctx, req)
	j.sent, j.got = len(req), len(answer)
	if err != nil || len(answer) == 0 {
		if j.err = err; err == nil {
			j.err = errNothing
		}
		return
	}
	if j.parts, j.lie = decodeAnswer(answer, len(j.items)); j.lie != nil {
		return
	}
	for i := range j.parts {
		if j.lie = y.check(&j.items[i], &j.parts[i]); j.lie != nil {
			return
		}
	}
	if len(j.parts) == 0 {
		j.err = errNothing
	}
}

// check tells whether a part is what was asked for.
func (y *syncer) check(it *item, p *part) error {
	switch {
	case p.kind == answerNone:
		return errors.New("a part of the state is said not to be there")
	case it.leaf != nil:
		if p.kind != answerLeaf || p.leaf != *it.leaf {
			return fmt.Errorf("not the leaf of key %x", it.leaf.name)
		}
	case it.top():
		if got := proof.StateDigest(p.digest()); got != y.want.Digest {
			return fmt.Errorf("a root that makes digest %v", got)
		}
	case p.kind == answerLeaf || p.digest() != it.digest:
		return fmt.Errorf("not the node with digest %v", it.digest)
	}
	return nil
}

// take takes in what a job came to; what it did not get is to be asked for again.
func (y *syncer) take(j *job) error {
	y.stats.Requests++
	y.stats.Sent += int64(j.sent)
	y.stats.Received += int64(j.got)
	good := len(j.parts)
	switch {
	case j.lie != nil:
		y.state[j.peer], good, y.why = peerOut, 0, j.lie
		if y.want.Lied != nil {
			y.want.Lied(j.peer, j.lie)
		}
	case j.err != nil:
		if y.state[j.peer] == peerSilent {
			y.state[j.peer] = peerOut
		} else {
			y.state[j.peer] = peerSilent
		}
		good, y.why = 0, j.err
	default:
		y.state[j.peer] = peerGood
	}
	for _, it := range slices.Backward(j.items[good:]) {
		y.todo = append(y.todo, it)
	}
	// Pushed in the opposite order, so that the first is on top.
	for i := good - 1; i >= 0; i-- {
		if err := y.merge(&j.items[i], &j.parts[i]); err != nil {
			return err
		}
	}
	if y.bytes >= y.s.cfg.syncBytes {
		return errEnough
	}
	return nil
}

// merge compares a part with what is here and notes what is to be done.
func (y *syncer) merge(it *item, p *part) error {
	if p.kind == answerLeaf {
		y.stats.Values++
		if it.top() { // the only one
			if err := y.remove(it.here); err != nil {
				return err
			}
		}
		y.set(p.leaf.name, p.val)
		return nil
	}
	y.stats.Nodes++
	var here [16]*child
	if it.here != nil {
		// A tree that parts elsewhere is put aside as a whole.
		if it.here.leaf {
			if err := y.remove(it.here); err != nil {
				return err
			}
		} else if n := y.s.mustLoad(it.here); n.digit == p.node.digit {
			for i, d := range n.digits() {
				here[d] = &n.children[i]
			}
		} else if err := y.remove(it.here); err != nil {
			return err
		}
	}
	ds := p.node.digits()
	for d, c := range here {
		if c != nil && p.node.present>>d&1 == 0 {
			if err := y.remove(c); err != nil {
				return err
			}
		}
	}
	for i := len(ds) - 1; i >= 0; i-- {
		c, mine := &p.node.children[i], here[ds[i]]
		turns := append(bytes.Clone(it.turns), byte(ds[i]))
		switch {
		case !c.leaf && mine != nil && !mine.leaf && mine.digest == c.digest:
		case !c.leaf:
			y.todo = append(y.todo, item{turns: turns, digest: c.digest, here: mine})
		case mine != nil && mine.leaf && *mine == *c:
		default:
			if mine != nil {
				if err := y.remove(mine); err != nil {
					return err
				}
			}
			if p.kind == answerValues {
				y.stats.Values++
				y.set(c.name, p.vals[i])
			} else if r := (*present)(y.s).find(c.name); !r.deleted && proof.ValueDigest(r.value) == c.digest {
				y.set(c.name, r.value)
			} else {
				y.todo = append(y.todo, item{turns: turns, leaf: c})
			}
		}
	}
	return nil
}

func (y *syncer) set(key string, value []byte) {
	y.changes[key] = record{value: bytes.Clone(value)}
	y.bytes += len(key) + len(value) + recordBytes
}

// remove deletes all leaves at and below c, unless they were set.
func (y *syncer) remove(c *child) error {
	switch {
	case c == nil:
		return nil
	case !c.leaf:
		n := y.s.mustLoad(c)
		for i := range n.children {
			if err := y.remove(&n.children[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if _, there := y.changes[c.name]; !there {
		y.changes[c.name] = record{deleted: true}
		y.bytes += len(c.name) + recordBytes
	}
	if y.bytes >= 2*y.s.cfg.syncBytes {
		return errEnough
	}
	return nil
}

// patch puts changes into the database. From then on the state is incomplete.
func (s *Store) patch(changes map[string]record) error {
	s.mu.Lock()
	if !s.incomplete {
		// Nothing of the past can be read any more, and so nothing of it is kept.
		s.incomplete, s.begun, s.snapshots = true, true, nil
		s.epoch.Add(1)
		clear(s.pins)
		s.oldest.Store(s.last)
	}
	for key, r := range changes {
		s.tree.dirty[key] = struct{}{}
		s.pend.setLast(key, r)
	}
	s.prune()
	s.mu.Unlock()
	return s.flush()
}

// complete makes the state, whose tree is there, that of a height.
func (s *Store) complete(height uint64, want crypto.Digest) error {
	if !s.incomplete {
		if err := s.patch(nil); err != nil {
			return err
		}
	}
	if got := proof.StateDigest(rootOf(s.tree.root())); got != want {
		return s.fail("sync", fmt.Errorf("%w: the state has digest %v, not %v", ErrCorrupt, got, want))
	}
	s.mu.Lock()
	s.epoch.Add(1)
	clear(s.pins)
	s.incomplete, s.begun, s.snapshots = false, true, nil
	s.last = height
	s.oldest.Store(height)
	last := s.tree.seals[len(s.tree.seals)-1]
	last.height = height
	s.tree.seals = []seal{last}
	s.prune()
	s.mu.Unlock()
	return s.flush()
}
