package store

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Two stores in one folder: the second is refused before it touches anything, and told
// what to do.
func TestFolderBelongsToOneStore(t *testing.T) {
	c := memory(2)
	c.Dir = filepath.Join(t.TempDir(), "state")
	s := storeOf(t, c, 1, numbered(10, "v"))
	other := filepath.Join(c.Dir, scratchDir, "of the first")
	require.NoError(t, os.MkdirAll(other, 0o700))
	_, err := Open(t.Context(), c)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, c.Dir)
	require.ErrorContains(t, err, "stop that one first")
	require.ErrorIs(t, Discard(c.Dir), ErrLocked)
	require.DirExists(t, other, "nothing was swept")
	require.NoError(t, s.Close())
	s = open(t, c)
	require.Len(t, content(t, s), 10)
	require.NoError(t, s.Close())

	// One that cannot be opened lets the folder go.
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, currentFile), []byte("nonsense"), 0o600))
	for range 2 {
		_, err = Open(t.Context(), c)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, c.Dir)
	}
	require.NoError(t, Discard(c.Dir))
	s = open(t, c)
	require.Empty(t, content(t, s))
	require.True(t, s.isNew())
	require.NoError(t, s.Close())
}

// stateFiles are the table files of the database in use.
func stateFiles(t *testing.T, c Config) (tables []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(c.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".sst") {
			tables = append(tables, path)
		}
		return err
	}))
	require.NotEmpty(t, tables)
	return tables
}

// settled makes a closed store on a real disk whose values are in table files.
func settled(t *testing.T, c Config, m model) {
	t.Helper()
	s := storeOf(t, c, 4, m)
	require.NoError(t, s.Flush())
	require.NoError(t, s.db.(*pebbleDB).db.DB().Flush())
	require.NoError(t, s.Close())
}

// A byte that is flipped in a closed store's file: whoever reads what stood there gets
// an error that says what to do, and nothing that is not true; a synchronisation
// makes the state good, and it stays good.
func TestFlippedByteInAFile(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	there := numbered(3000, "a value of some length, so that there are blocks")
	a := storeOf(t, memory(3), 9, there)
	failed := 0
	for i, part := range []float64{0.001, 0.2, 0.4, 0.6, 0.8, 0.95, 0.9999} {
		c := memory(3)
		c.Dir = filepath.Join(t.TempDir(), "state")
		settled(t, c, there)
		for _, file := range stateFiles(t, c) {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			b[int(part*float64(len(b)))] ^= 0x10
			require.NoError(t, os.WriteFile(file, b, 0o600))
		}
		s, err := Open(t.Context(), c)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, c.Dir)
			require.NoError(t, Discard(c.Dir))
			s = open(t, c)
		} else {
			var got []string
			v, err := s.Last()
			if err == nil { // the database's own compaction may have met it already
				err = Catch(func() { got = entries(v.Range(nil, nil)) })
			}
			if err == nil { // the byte was of no use to anybody
				require.Equal(t, there.seq(nil, nil, false), got)
			} else {
				failed++
				require.ErrorIs(t, err, ErrFailed)
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorContains(t, err, c.Dir)
				require.ErrorContains(t, err, "other replicas")
				require.ErrorIs(t, s.Commit(5), ErrFailed)
				_, err := s.Sync(t.Context(), wants(t, a, honest(a)))
				require.ErrorIs(t, err, ErrCorrupt, "without a scrub it stays as it is")
			}
			if i%2 == 0 { // also by a process that has not met it yet
				require.NoError(t, s.Close())
				s = open(t, c)
			}
		}
		_, err = s.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
		require.NoError(t, err)
		require.Equal(t, content(t, a), content(t, s))
		require.NoError(t, s.Close())
		s = open(t, c)
		require.Equal(t, content(t, a), content(t, s))
		r, err := s.Scrub(t.Context(), 10)
		require.NoError(t, err)
		require.Empty(t, r.Damages)
		require.Equal(t, 3000, r.Values)
		require.NoError(t, s.Commit(10))
		require.NoError(t, s.Close())
	}
	require.GreaterOrEqual(t, failed, 3)
}

// A scrub and a comparison of files that cannot be read say so.
func TestScrubOfFilesThatCannotBeRead(t *testing.T) {
	there := numbered(3000, "a value of some length, so that there are blocks")
	a := storeOf(t, memory(3), 4, there)
	c := memory(3)
	c.Dir = filepath.Join(t.TempDir(), "state")
	settled(t, c, there)
	r := rand.New(rand.NewPCG(1, 2))
	for _, file := range stateFiles(t, c) {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		for range 20 {
			b[r.IntN(len(b)*9/10)] ^= 0x10
		}
		require.NoError(t, os.WriteFile(file, b, 0o600))
	}
	s, err := Open(t.Context(), c)
	require.NoError(t, err)
	_, err = s.Scrub(t.Context(), 10)
	require.ErrorIs(t, err, ErrCorrupt)
	_, _, _, err = s.Compare(t.Context(), scrubbed(wants(t, a, honest(a))), 10)
	require.ErrorIs(t, err, ErrCorrupt)

	// A transfer that is cut off after it began anew goes on.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Sync(ctx, scrubbed(wants(t, a, honest(a))))
	require.ErrorIs(t, err, context.Canceled)
	stats, err := s.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
	require.NoError(t, err)
	require.Less(t, stats.Changed, 2500, "what could still be read was kept")
	require.Equal(t, stats.Changed, stats.Damaged)
	require.Equal(t, content(t, a), content(t, s))
	require.NoError(t, s.Close())
}

// The database finds damage for itself, while a transfer is under way: it is replaced.
func TestDamageThatTheDatabaseFinds(t *testing.T) {
	there := numbered(500, "there")
	a := storeOf(t, memory(3), 9, there)
	c := memory(3)
	c.Dir = filepath.Join(t.TempDir(), "state")
	for _, logged := range []bool{false, true} {
		b := storeOf(t, c, 4, numbered(500, "here"))
		broke := false
		peer := peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
			if !broke {
				broke = true
				b.broke(fmt.Errorf("%w: %w", ErrCorrupt, errFiles))
			}
			return a.Serve(q)
		})
		if logged {
			b.cfg.Logger = slog.New(slog.DiscardHandler)
		}
		stats, err := b.Sync(t.Context(), scrubbed(wants(t, a, peer)))
		require.NoError(t, err)
		require.True(t, broke)
		require.GreaterOrEqual(t, stats.Changed, 500)
		require.NoError(t, b.err())
		require.Equal(t, content(t, a), content(t, b))
		require.NoError(t, b.Close())
		_, err = b.Sync(t.Context(), scrubbed(wants(t, a, peer)))
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, Discard(c.Dir))
	}
}

func TestKindsOfDamage(t *testing.T) {
	seen := map[string]bool{}
	for k := DamagedValue; k <= DamagedNode; k++ {
		require.False(t, seen[k.String()])
		seen[k.String()] = true
		require.NotContains(t, k.String(), "damage ")
	}
	require.Equal(t, "damage 99", DamageKind(99).String())
}
