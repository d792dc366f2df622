package store

import (
	"fmt"
	"sync"

	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Heights returns the oldest and the last height that can be read.
func (s *Store) Heights() (oldest, last uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.oldest.Load(), s.last
}

// Durable returns the last height that is on the disk: what a crash leaves. After a
// restart blocks are executed again from there, or from the last snapshot.
func (s *Store) Durable() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.durable
}

// At returns the state after the block of a height. The error is a *[HeightError],
// [ErrClosed] or a *[Failure].
func (s *Store) At(height uint64) (*View, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at(height)
}

func (s *Store) at(height uint64) (*View, error) {
	oldest := s.oldest.Load()
	switch {
	case height > s.last:
		return nil, &HeightError{height, oldest, s.last, ErrFuture}
	case height < oldest:
		return nil, &HeightError{height, oldest, s.last, ErrPruned}
	}
	return s.view(height), nil
}

// Last returns the state after the last block. Before the first block and after
// [Store.Restore], until [Store.SetHeight], its height is 0.
func (s *Store) Last() (*View, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view(s.last), nil
}

// view makes a view. mu is held.
func (s *Store) view(height uint64) *View {
	v := &View{s: s, height: height, epoch: s.epoch.Load(), last: s.pend.last.Copy()}
	if height == s.last {
		v.newest, v.flushes = true, s.flushes.Load()
	}
	v.history = s.pend.history.Copy()
	return v
}

// held is Last with a height that is not pruned until release is called.
func (s *Store) held() (v *View, release func(), err error) {
	if err := s.ready(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v = s.view(s.last)
	return v, s.pin(v), nil
}

// heldAt is At with a height that is not pruned until release is called.
func (s *Store) heldAt(height uint64) (v *View, release func(), err error) {
	if err := s.ready(); err != nil {
		return nil, nil, err
	}
	return s.hold(height)
}

// inspectAt is heldAt for those who look for damage, who do so also in a store that has
// failed because of it.
func (s *Store) inspectAt(height uint64) (v *View, release func(), err error) {
	if err := s.ready(); err != nil && !isDamage(err) {
		return nil, nil, err
	}
	if v, release, err = s.hold(height); err == nil {
		v.quiet = true
	}
	return v, release, err
}

func (s *Store) hold(height uint64) (v *View, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, err = s.at(height); err != nil {
		return nil, nil, err
	}
	return v, s.pin(v), nil
}

func (s *Store) pin(v *View) (release func()) {
	s.pins[v.height]++
	var once sync.Once
	return func() { once.Do(func() { s.unpin(v) }) }
}

func (s *Store) unpin(v *View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.epoch != s.epoch.Load() {
		return
	}
	if s.pins[v.height]--; s.pins[v.height] == 0 {
		delete(s.pins, v.height)
	}
}

// SetHeight says of which height the state is that was restored.
func (s *Store) SetHeight(height uint64) {
	if s.returned && height < s.last {
		s.setBack(height)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun && (!s.returned || height <= s.last) {
		s.returned = false
		return
	}
	// The state was this at an earlier height, too; what it was in between is not asked.
	s.last, s.begun, s.returned = height, true, false
	s.oldest.Store(height)
	if n := len(s.tree.seals); n > 0 {
		t := s.tree.seals[n-1]
		t.height = height
		s.tree.seals = append(s.tree.seals, t)
	}
	s.prune()
}

// setBack goes further back than Restore went, to the last height up to this one at which the
// state was the same.
func (s *Store) setBack(height uint64) {
	t, ok := s.lastWith(proof.StateDigest(rootOf(s.tree.root())), height)
	if !ok {
		_ = s.fail("set the height", fmt.Errorf("the restored state is that of height %d here, and was to be that of %d", s.last, height))
		return
	}
	_ = s.rollback(t) // which has failed for whoever is next, too
}
