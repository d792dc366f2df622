package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var errDisk = errors.New("the disk is gone")

// flaky is a database in memory that fails at one call, and from then on.
type flaky struct {
	*memoryDB
	left *int
}

func (f flaky) fails() bool {
	*f.left--
	return *f.left < 0
}

func (f flaky) get(key []byte) ([]byte, error) {
	if f.fails() {
		return nil, errDisk
	}
	return f.memoryDB.get(key)
}

func (f flaky) iterate(from, to []byte, reverse bool) (dbIterator, error) {
	if f.fails() {
		return nil, errDisk
	}
	it, err := f.memoryDB.iterate(from, to, reverse)
	return flakyIterator{it, f}, err
}

func (f flaky) newBatch() batch { return flakyBatch{f.memoryDB.newBatch(), f} }

type flakyIterator struct {
	dbIterator
	f flaky
}

// next ends the walk where the disk is gone, as databases do; close tells.
func (i flakyIterator) valid() bool { return *i.f.left >= 0 && i.dbIterator.valid() }
func (i flakyIterator) next()       { i.f.fails(); i.dbIterator.next() }

func (i flakyIterator) close() error {
	if *i.f.left < 0 {
		return errDisk
	}
	return i.dbIterator.close()
}

type flakyBatch struct {
	batch
	f flaky
}

func (b flakyBatch) write(sync bool) error {
	if b.f.fails() {
		return errDisk
	}
	return b.batch.write(sync)
}

type flakyDisks struct {
	inMemory
	left *int
}

func (d *flakyDisks) current() (database, error) {
	_, err := d.inMemory.current()
	return flaky{d.inUse, d.left}, err
}

func (d *flakyDisks) fresh() (database, error) {
	_, err := d.inMemory.fresh()
	return flaky{d.next, d.left}, err
}

func (d *flakyDisks) scratch() (database, error) { return flaky{newMemoryDB(), d.left}, nil }

// Wherever the database fails, whoever meets it gets a Failure and nothing that is not
// true, and the store is of no use from then on; what is in the database is one whole
// state.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	states := []model{}
	step := func(h int) model {
		m := model{}
		for i := range 60 {
			if (i+h)%5 != 0 {
				m[fmt.Sprint("key ", i)] = fmt.Sprint(i, h-h%(i%7+1))
			}
		}
		return m
	}
	for h := range 30 {
		states = append(states, step(h))
	}
	snap := snapshotOf(t, storeOf(t, memory(0), 3, states[3]))
	life := func(s *Store) (last int, err error) {
		last = -1
		for h, want := range states {
			failed := Catch(func() {
				b := s.Block()
				for i := range 60 {
					k := fmt.Sprint("key ", i)
					v, ok := b.Get([]byte(k))
					if h > 0 {
						was, there := states[h-1][k]
						require.Equal(t, there, ok)
						require.Equal(t, was, string(v))
					}
					if now, there := want[k]; there {
						b.Set([]byte(k), []byte(now))
					} else {
						b.Delete([]byte(k))
					}
				}
				require.Equal(t, want.seq(nil, nil, h%2 == 0), walk(b, h%2 == 0))
			})
			if failed != nil {
				return last, failed
			}
			if err := s.Commit(uint64(h)); err != nil {
				return last, err
			}
			last = h
			if h%3 == 0 {
				if _, err := s.Digest(); err != nil {
					return last, err
				}
			}
			old := max(0, h-2)
			v, err := s.At(uint64(old))
			if err != nil {
				return last, err
			}
			if err := Catch(func() { require.Equal(t, states[old].seq(nil, nil, false), walk(v, false)) }); err != nil {
				return last, err
			}
			if d, err := v.Digest(); err == nil {
				p, err := v.Prove([]byte("key 7"))
				if err != nil {
					return last, err
				}
				require.NoError(t, p.Verify(d, []byte("key 7")))
			}
		}
		return last, restore(s, snap)
	}
	faults := 0
	for n := 0; ; n += 1 + n/50 {
		left := n
		d := &flakyDisks{left: &left}
		c := memory(3)
		c.FlushBytes = 4 << 10
		c.CacheBytes = 1 << 20
		c.disks = func(Config, func(error)) (disks, error) { return d, nil }
		s, err := Open(t.Context(), c)
		last := -1
		if err == nil {
			last, err = life(s)
		}
		if err == nil {
			require.NoError(t, s.Close())
			break
		}
		faults++
		require.ErrorIs(t, err, ErrFailed)
		require.ErrorIs(t, err, errDisk)
		if s != nil {
			for _, again := range []error{s.Commit(99), s.Flush(), Catch(func() { _, err := s.Digest(); require.ErrorIs(t, err, errDisk) }), restore(s, snap)} {
				if again != nil {
					require.ErrorIs(t, again, errDisk)
				}
			}
			_, verr := s.Last()
			require.ErrorIs(t, verr, errDisk)
			require.NoError(t, s.Close())
		}
		left = 1 << 30
		s, err = Open(t.Context(), c)
		require.NoError(t, err)
		if s.begun {
			_, at := s.Heights()
			require.LessOrEqual(t, int(at), last+1)
			require.Equal(t, states[at].seq(nil, nil, false), content(t, s), "after fault %d", n)
			sd, err := s.Digest()
			require.NoError(t, err)
			require.Equal(t, digestOf(t, states[at]), sd)
		}
		require.NoError(t, s.Close())
	}
	require.Greater(t, faults, 100)
}

// walk is what a reader has, from one end or the other.
func walk(r Reader, reverse bool) []string {
	if reverse {
		return entries(r.Backward(nil, nil))
	}
	return entries(r.Range(nil, nil))
}
