package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/statemachine"
)

// flipIn flips a bit right behind a text in the only table that has it.
func flipIn(t *testing.T, c Config, text string) (file string) {
	t.Helper()
	for _, f := range stateFiles(t, c) {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			require.Empty(t, file, "it is in two files")
			file = f
			w, err := os.OpenFile(f, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = w.WriteAt([]byte{b[at+len(text)] ^ 1}, int64(at+len(text)))
			require.NoError(t, err)
			require.NoError(t, w.Close())
		}
	}
	require.NotEmpty(t, file)
	return file
}

// stillDisks opens a database that does not compact, so that its tables stay as they are.
type stillDisks struct{ disks }

func (d stillDisks) current() (database, error) { return d.again() }

// layers makes a closed store of two tables: the first has all keys, the second newer values of
// very few that are far from each other.
func layers(t *testing.T, c Config) model {
	m := model{}
	s := open(t, c)
	for h, every := range []int{1, 1000} {
		for i := 0; i < 5000; i += every {
			k, v := fmt.Sprintf("key-%05d", i), fmt.Sprintf("value-%05d-of-layer-%d, of some length so that there are blocks", i, h)
			s.Block().Set([]byte(k), []byte(v))
			m[k] = v
		}
		require.NoError(t, s.Commit(uint64(h)))
		_, err := s.Digest()
		require.NoError(t, err)
		require.NoError(t, s.Flush())
		require.NoError(t, s.db.(*pebbleDB).db.DB().Flush())
	}
	require.NoError(t, s.Close())
	return m
}

// Of a database whose tables are damaged all is kept but what a block has that has a bad
// byte, also where the block lies in the way of all walks; what is lost is named with the file.
func TestSalvageKeepsTheRest(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	for _, damaged := range []struct {
		text string
		most int
	}{
		{"value-02501-of-layer-0", 80}, // in the middle of the lowest table
		{"value-00001-of-layer-0", 80}, // in its first block
		{"value-04999-of-layer-0", 80}, // in its last one
		{"value-02000-of-layer-1", 40}, // no walk gets past this: it spans all keys
	} {
		c := memory(3)
		c.Dir = filepath.Join(t.TempDir(), "state")
		c.disks = func(cfg Config, broken func(error)) (disks, error) {
			d, err := newDisks(cfg, broken)
			return stillDisks{d}, err
		}
		there := layers(t, c)
		require.Len(t, stateFiles(t, c), 2)
		a := storeOf(t, memory(3), 9, there)
		file := flipIn(t, c, damaged.text)
		s := open(t, c)
		var heard error
		m := &Machine{store: s}
		m.OnDamage(func(err error) { heard = err })
		err := Catch(func() {
			v, err := s.Last()
			require.NoError(t, err)
			entries(v.Range(nil, nil))
		})
		require.ErrorIs(t, err, statemachine.ErrDamaged)
		require.ErrorIs(t, heard, statemachine.ErrDamaged)
		stats, err := m.MendState(t.Context())
		require.NoError(t, err)
		require.Len(t, stats.Unreadable, 1, damaged.text)
		u := stats.Unreadable[0]
		require.Equal(t, file, u.File)
		require.Contains(t, u.Reason, "checksum")
		require.NotEmpty(t, s.mustLoad(s.tree.root()).children)
		synced, err := s.Sync(t.Context(), wants(t, a, honest(a)))
		require.NoError(t, err)
		require.Equal(t, content(t, a), content(t, s))
		require.Positive(t, synced.Damaged, damaged.text)
		require.LessOrEqual(t, synced.Damaged, damaged.most, damaged.text)
		require.LessOrEqual(t, synced.Changed, damaged.most, damaged.text)
		require.Len(t, synced.Lost, min(synced.Damaged, statemachine.MaxLostKeys))
		for _, d := range synced.Lost {
			require.True(t, d.Damaged)
			require.Equal(t, there[string(d.Key)], string(d.There))
			require.Less(t, string(u.After), string(d.Key))
			if u.Before != nil {
				require.Less(t, string(d.Key), string(u.Before))
			}
		}
		require.Nil(t, s.lost)
		require.NoError(t, s.Commit(10))
		r, err := s.Scrub(t.Context(), 10)
		require.NoError(t, err)
		require.Empty(t, r.Damages)
		require.Zero(t, count(t, s, spaceHistory))
		require.NoError(t, s.Close())
	}
}

// Whatever bits flip in the tables of a store, a synchronisation with a scrub ends with the
// right state, at once and after a restart.
func TestSalvageOfAnything(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	c := memory(3)
	c.Dir = filepath.Join(t.TempDir(), "state")
	there := numbered(600, "a value of some length, so that there are blocks")
	settled(t, c, there)
	a := storeOf(t, memory(3), 9, there)
	rapid.Check(t, func(rt *rapid.T) {
		bad := c
		bad.Dir = filepath.Join(filepath.Dir(c.Dir), "bad")
		require.NoError(rt, os.RemoveAll(bad.Dir))
		require.NoError(rt, os.CopyFS(bad.Dir, os.DirFS(c.Dir)))
		files := stateFiles(t, bad)
		for range rapid.IntRange(1, 6).Draw(rt, "flips") {
			file := rapid.SampledFrom(files).Draw(rt, "file")
			b, err := os.ReadFile(file)
			require.NoError(rt, err)
			b[rapid.IntRange(0, len(b)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
			require.NoError(rt, os.WriteFile(file, b, 0o600))
		}
		s, err := Open(t.Context(), bad)
		require.NoError(rt, err)
		_, err = s.Sync(t.Context(), scrubbed(wants(rt, a, honest(a))))
		require.NoError(rt, err)
		require.Equal(rt, content(rt, a), content(rt, s))
		require.NoError(rt, s.Close())
		s = open(rt, bad)
		require.Equal(rt, content(rt, a), content(rt, s))
		r, err := s.Scrub(t.Context(), 1)
		require.NoError(rt, err)
		require.Empty(rt, r.Damages)
		require.NoError(rt, s.Close())
	})
}

// Between two keys there is one, until there is none.
func TestBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.SliceOfN(rapid.Byte(), 1, 6)
		low, high := draw.Draw(t, "low"), draw.Draw(t, "high")
		if bytes.Compare(low, high) > 0 {
			low, high = high, low
		}
		mid := between(low, high)
		if mid == nil {
			require.True(t, bytes.HasPrefix(high, low) && len(bytes.Trim(high[len(low):], "\x00")) == 0, "%x %x", low, high)
			return
		}
		require.Negative(t, bytes.Compare(low, mid))
		require.Negative(t, bytes.Compare(mid, high))
	})
}
