package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/parley-bft/parley/statemachine"
)

// weighed is a disk in memory that notes how long the longest batch was, and keeps what it
// holds after each.
type weighed struct {
	inMemory
	longest int
	written func(db *memoryDB)
}

func (d *weighed) current() (database, error) {
	db, err := d.inMemory.current()
	return weighedDB{db, d}, err
}

type weighedDB struct {
	database
	d *weighed
}

func (w weighedDB) newBatch() batch { return weighedBatch{w.database.newBatch(), w.d} }

type weighedBatch struct {
	batch
	d *weighed
}

func (b weighedBatch) write(sync bool) error {
	b.d.longest = max(b.d.longest, b.size())
	err := b.batch.write(sync)
	if b.d.written != nil {
		b.d.written(b.d.inUse)
	}
	return err
}

// small is a store that keeps the states of its snapshots and has small batches, with blocks
// up to a height, every fourth with a digest. A block changes some 8 KiB.
func small(t *testing.T, last uint64) (s *Store, d *weighed, states []model) {
	c := memory(0)
	d = new(weighed)
	c.FlushBytes, c.stepBytes = 8<<10, 8<<10
	c.disks = func(Config, func(error)) (disks, error) { return d, nil }
	s = open(t, c)
	s.keeps = true
	now := model{}
	for h := range last + 1 {
		for i := range uint64(40) {
			k, v := fmt.Sprintf("a key of some length %d", (3*h+i)%100), fmt.Sprintf("what it has from block %d on", h)
			if (h+i)%11 == 0 {
				s.Block().Delete([]byte(k))
				delete(now, k)
			} else {
				s.Block().Set([]byte(k), []byte(v))
				now[k] = v
			}
		}
		require.NoError(t, s.Commit(h))
		if h%4 == 0 {
			_, err := s.Digest()
			require.NoError(t, err)
		}
		if h%40 == 8 {
			s.note(h)
		}
		copied := model{}
		for k, v := range now {
			copied[k] = v
		}
		states = append(states, copied)
	}
	require.NoError(t, s.Flush())
	return s, d, states
}

// A batch has what a flush gathers and about as much again, be it ever so much that is not kept
// any more, or is taken back: of what small changes that would be hundreds of KiB.
const longestBatch = 64 << 10

// What was kept for a snapshot is pruned in parts, once that is released, and all of it goes.
func TestPruningIsDoneInParts(t *testing.T) {
	s, d, _ := small(t, 300)
	require.LessOrEqual(t, d.longest, longestBatch)
	before := count(t, s, spaceHistory)
	s.released.Store(288)
	for h := uint64(301); h < 304; h++ {
		s.Block().Set([]byte("k"), fmt.Append(nil, h))
		require.NoError(t, s.Commit(h))
		require.NoError(t, s.Flush())
		require.LessOrEqual(t, d.longest, longestBatch)
	}
	oldest, _ := s.Heights()
	require.Equal(t, uint64(288), oldest, "nobody reads what is to go")
	left := count(t, s, spaceHistory)
	require.Less(t, left, before)
	require.Greater(t, left, 1000, "else this says nothing")
	for h := uint64(304); h < 400; h++ {
		s.Block().Set([]byte("k"), fmt.Append(nil, h))
		require.NoError(t, s.Commit(h))
		require.NoError(t, s.Flush())
	}
	require.LessOrEqual(t, d.longest, longestBatch)
	require.Less(t, count(t, s, spaceHistory), 700, "that of the blocks above")
	require.NoError(t, s.Close())
}

// Going back is done in steps, each of which leaves a whole state: that of a crash.
func TestGoingBackInSteps(t *testing.T) {
	s, d, states := small(t, 300)
	d.longest = 0
	steps := map[uint64]bool{}
	d.written = func(db *memoryDB) {
		c := memory(0)
		c.disks = func(Config, func(error)) (disks, error) {
			return &inMemory{inUse: &memoryDB{tree: db.tree.Copy()}}, nil
		}
		crashed := open(t, c)
		require.Equal(t, states[crashed.last].seq(nil, nil, false), content(t, crashed), "height %d", crashed.last)
		r, err := crashed.Scrub(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, crashed.last, r.Height)
		require.Empty(t, r.Damages)
		steps[crashed.last] = true
	}
	at, ok := s.tree.at(48)
	require.True(t, ok)
	require.NoError(t, s.rollback(at))
	require.LessOrEqual(t, d.longest, longestBatch)
	require.Greater(t, len(steps), 10)
	require.True(t, steps[48])
	require.Equal(t, states[48].seq(nil, nil, false), content(t, s))
	require.Equal(t, []uint64{8, 48}, s.snapshots)
	d.written = nil
	at, ok = s.tree.at(8) // and once more, from there
	require.True(t, ok)
	require.NoError(t, s.rollback(at))
	require.Equal(t, states[8].seq(nil, nil, false), content(t, s))
	require.NoError(t, s.Commit(9))
	require.NoError(t, s.Close())
}

// A state that is made that of a lower height leaves nothing of the history above that behind,
// however much it is: the blocks to come have these heights, too.
func TestSyncToALowerHeightForgetsTheHistory(t *testing.T) {
	s, d, states := small(t, 300)
	a := storeOf(t, memory(3), 100, states[100])
	_, err := s.Sync(t.Context(), wants(t, a, honest(a)))
	require.NoError(t, err)
	require.LessOrEqual(t, d.longest, 2*loadBatch)
	require.Zero(t, count(t, s, spaceHistory))
	require.Zero(t, count(t, s, spaceJournal))
	v, release, err := s.heldAt(100)
	require.NoError(t, err)
	defer release()
	for h := uint64(101); h < 120; h++ {
		s.Block().Set(fmt.Append(nil, "a key of some length ", h%30), fmt.Append(nil, h))
		require.NoError(t, s.Commit(h))
	}
	require.Equal(t, states[100].seq(nil, nil, false), entries(v.Range(nil, nil)))
	require.NoError(t, s.Close())
}

// keeping is a machine on a disk that keeps the states of snapshots at 10, 20 and 30, and is at
// 35.
func keeping(t *testing.T, odd string) (*Machine, map[uint64]statemachine.StateTarget) {
	c := onDisk(2, vfs.NewMem())
	c.stepBytes = 1 // a step for each block
	m, _ := newToy(t, c)
	wants := make(map[uint64]statemachine.StateTarget)
	for h := uint64(1); h <= 35; h++ {
		ops := []string{fmt.Sprintf("s%c%d", 'a'+byte(h%26), h)}
		if h > 20 {
			ops = append(ops, "sz"+odd)
		}
		run(m, h, ops...)
		d := m.Digest()
		if h%10 == 0 {
			machineSnapshot(t, m)
			wants[h] = statemachine.StateTarget{Height: h, Digest: d, Repair: true}
		}
	}
	return m, wants
}

// A machine whose state is wrong goes back to that of a snapshot that it keeps, and asks nobody:
// where all replicas are wrong at once there is nobody to ask.
func TestRepairGoesBackToAKeptState(t *testing.T) {
	m, wants := keeping(t, "wrong")
	stats, err := m.SyncState(t.Context(), wants[20])
	require.NoError(t, err)
	require.Zero(t, stats)
	m.Restored(20)
	require.Equal(t, wants[20].Digest, m.Digest())
	require.Nil(t, m.store.lost)
	oldest, last := m.store.Heights()
	require.Equal(t, []uint64{10, 20}, []uint64{oldest, last}, "those of other snapshots stay")
	for h := uint64(21); h < 25; h++ {
		run(m, h, "sq1")
	}
	// What is not kept comes from peers, if there are any.
	_, err = m.SyncState(t.Context(), wants[30])
	require.ErrorIs(t, err, ErrPeers)
	require.NoError(t, m.store.Close())
}

// What the disk has done to the state that is kept comes from peers, and no more than that; if
// there is no way back all that differs does.
func TestRepairOfAKeptStateThatIsDamaged(t *testing.T) {
	right, wants := keeping(t, "right")
	for name, c := range map[string]struct {
		spoil            func(s *Store)
		changed, damaged int
	}{
		"a value": {func(s *Store) { damageValue(t, s, "n", flipLast) }, 1, 1},
		"the way back": {func(s *Store) {
			b := s.db.newBatch()
			b.delete(inSpace(spaceHistory, historyName("z", 21)))
			require.NoError(t, b.write(true))
		}, 0, 0},
	} {
		m, _ := keeping(t, "wrong")
		require.NoError(t, m.store.Flush())
		c.spoil(m.store)
		want := wants[20]
		want.Peers = []statemachine.StatePeer{machinePeer(right)}
		stats, err := m.SyncState(t.Context(), want)
		require.NoError(t, err, name)
		require.Equal(t, c.damaged, stats.Damaged, name)
		if c.changed > 0 {
			require.Equal(t, c.changed, stats.Changed, name)
		} else {
			require.Positive(t, stats.Changed, name)
		}
		require.Equal(t, want.Digest, m.Digest(), name)
		require.Equal(t, content(t, m.store), func() []string {
			v, err := right.store.At(20)
			require.NoError(t, err)
			return entries(v.Range(nil, nil))
		}(), name)
		run(m, 21, "sq1")
		require.NoError(t, m.store.Close())
	}
	require.NoError(t, right.store.Close())
}
