package replica

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// newDiskCluster has a state of some keys, of which one is "bulk-07source", in table files of
// replica 2, which is stopped. There is no load.
func newDiskCluster(t *testing.T, edit func(cfg *Config)) *sickCluster {
	c := newSickClusterWith(t, true, edit)
	c.startAll()
	c.submit(0, "put bulk-07source right-it-is") // long before the last snapshot
	for n := range 150 {
		c.submit(n%3, fmt.Sprintf("put bulk-%03d %0300d", n, n))
	}
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 100 })
	executed := c.servers[0].Status().Executed
	c.eventually("all of it executed", func() bool { return c.servers[2].Status().Executed >= executed })
	c.stop(2)
	settleStore(t, c.stateFolder(2))
	return c
}

// repairedFile demands that replica 2 has got over damage to a file, by what differs.
func (c *sickCluster) repairedFile(file string) {
	c.t.Helper()
	found := c.healed(2, 1)
	require.Equal(c.t, []string{partStorage}, found.Parts, "%+v", found)
	require.NotEmpty(c.t, found.Unreadable)
	require.Equal(c.t, file, found.Unreadable[0].File)
	require.NotEmpty(c.t, found.Keys, "%+v", found)
	names := map[string]bool{}
	for _, k := range found.Keys {
		require.True(c.t, k.Damaged)
		require.Nil(c.t, k.Here)
		names[k.Key.Text] = true
	}
	require.True(c.t, names["bulk-07source"] || found.MoreKeys, "%v", names)
	require.NotEmpty(c.t, found.Repairs)
	last := found.Repairs[len(found.Repairs)-1]
	require.False(c.t, last.Whole)
	require.Positive(c.t, last.Damaged)
	require.Less(c.t, last.Damaged, 100, "less than the whole state")
	require.Less(c.t, last.Changed, 120)
	require.Positive(c.t, c.metric(2, "parley_divergences_total"))
	require.Positive(c.t, c.metric(2, "parley_healed_total"))
	c.submit(0, "copy bulk-07source target")
	c.inService(2)
	v, _, err := c.servers[2].Query(c.context(), []byte("target"))
	require.NoError(c.t, err)
	require.Equal(c.t, "right-it-is", string(v))
	r, err := ReadDoctorFile(c.folder(2))
	require.NoError(c.t, err)
	require.NotEmpty(c.t, r)
}

// A byte of a file that flips under a running replica: the first operation that reads it
// finds it. The replica answers nobody, names file and keys, gets what was lost and is back,
// under load and without anybody's help.
func TestDamageUnderARunningReplica(t *testing.T) {
	notShort(t)
	c := newDiskCluster(t, func(*Config) {})
	c.start(2)
	file := flipByte(t, c.stateFolder(2), "right-it-is")
	c.load(0, 1)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "copy bulk-07source target")
	}
	c.repairedFile(file)
}

// The same before a start.
func TestDamageBeforeAStart(t *testing.T) {
	notShort(t)
	c := newDiskCluster(t, func(*Config) {})
	file := flipByte(t, c.stateFolder(2), "right-it-is")
	c.load(0, 1)
	c.start(2)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "copy bulk-07source target")
	}
	c.repairedFile(file)
}

// A scrub finds what nobody reads.
func TestScrubFindsDamage(t *testing.T) {
	notShort(t)
	c := newDiskCluster(t, func(cfg *Config) { cfg.ScrubEvery = 16 * time.Millisecond })
	c.start(2)
	c.eventually("a scrub", func() bool { return c.servers[2].Doctor().Scrub != nil })
	require.Empty(t, c.servers[2].Doctor().Scrub.Damaged)
	require.Positive(t, c.servers[2].Doctor().Scrub.Keys)
	file := flipByte(t, c.stateFolder(2), "right-it-is")
	c.repairedFile(file)
	require.Positive(t, c.metric(2, "parley_scrubs_total"))
	require.Positive(t, c.metric(2, "parley_scrub_damages_total"))
}

// A value that is another one beneath its checksums is found by a scrub too, and named.
func TestScrubFindsAChangedValue(t *testing.T) {
	notShort(t)
	c := newDiskCluster(t, func(cfg *Config) { cfg.ScrubEvery = 16 * time.Millisecond })
	pokeStore(t, c.stateFolder(2), "bulk-07source", func(record []byte) { record[len(record)-1] ^= 1 })
	c.start(2)
	found := c.healed(2, 1)
	require.Contains(t, found.Reason, "scrub")
	require.Contains(t, found.Reason, "bulk-07source")
	require.Len(t, found.Keys, 1, "%+v", found)
	require.Equal(t, "bulk-07source", found.Keys[0].Key.Text)
	require.Equal(t, "right-it-is", found.Keys[0].There.Text)
	require.Equal(t, 1, found.Repairs[0].Damaged)
	c.inService(2)
}

// A state that does not open is set aside and made anew, at once.
func TestStateThatDoesNotOpen(t *testing.T) {
	notShort(t)
	c := newDiskCluster(t, func(*Config) {})
	require.NoError(t, os.WriteFile(filepath.Join(c.stateFolder(2), "CURRENT"), []byte("nonsense"), 0o600))
	c.start(2)
	found := c.healed(2, 1)
	require.Equal(t, []string{partStorage}, found.Parts)
	require.Contains(t, found.Note, "set aside")
	require.Contains(t, found.Reason, "CURRENT")
	c.submit(0, "copy bulk-07source target")
	c.inService(2)
	v, _, err := c.servers[2].Query(c.context(), []byte("target"))
	require.NoError(t, err)
	require.Equal(t, "right-it-is", string(v))
	c.eventually("no folder is left aside", func() bool {
		_, err := os.Stat(c.servers[2].asideDir())
		return os.IsNotExist(err)
	})
}

// Damage that was found, and not made good before the replica ended, is made good by the next
// start, which would not find it again.
func TestDamageIsKnownAfterARestart(t *testing.T) {
	notShort(t)
	var every atomic.Int64 // scrubs
	c := newDiskCluster(t, func(cfg *Config) { cfg.ScrubEvery = time.Duration(every.Load()) })
	pokeStore(t, c.stateFolder(2), "bulk-07source", func(record []byte) { record[len(record)-1] ^= 1 })
	every.Store(int64(16 * time.Millisecond))
	c.hangs.Store(true)
	c.start(2)
	c.eventually("it is noted", func() bool {
		v, err := c.servers[2].data.store.Get(pbft.RecordKey{Kind: pbft.RecordDiverged})
		require.NoError(t, err)
		return v != nil && c.servers[2].diverged.Load() != nil
	})
	c.stop(2)
	every.Store(-1)
	c.hangs.Store(false)
	c.start(2)
	found := c.healed(2, 1)
	require.Equal(t, []string{partStorage}, found.Parts)
	require.Contains(t, found.Reason, "before this start")
	require.Len(t, found.Keys, 1, "%+v", found)
	require.Equal(t, "bulk-07source", found.Keys[0].Key.Text)
	v, _, err := c.servers[2].Query(c.context(), []byte("bulk-07source"))
	require.NoError(t, err)
	require.Equal(t, "right-it-is", string(v))
	c.inService(2)
}

// What is set aside stays until a state is there again: one that is half made does not take its
// place.
func TestTheFirstStateStaysAside(t *testing.T) {
	notShort(t)
	c := newDiskCluster(t, func(*Config) {})
	whole := filepath.Join(c.stateFolder(2)+asideSuffix, "the last whole copy")
	require.NoError(t, os.Mkdir(filepath.Dir(whole), 0o700))
	require.NoError(t, os.WriteFile(whole, nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(c.stateFolder(2), "CURRENT"), []byte("nonsense"), 0o600))
	c.deaf.Store(true) // so it is not there again before this looks
	c.start(2)
	require.FileExists(t, whole)
	require.NoFileExists(t, filepath.Join(filepath.Dir(whole), "CURRENT"))
	c.deaf.Store(false)
	c.inService(2)
	c.eventually("no folder is left aside", func() bool {
		_, err := os.Stat(c.servers[2].asideDir())
		return os.IsNotExist(err)
	})
}

// Damage that is met when the repair of an earlier one is over, and blocks do not go on yet, is
// new: it is heard of, and stays known.
func TestDamageMetRightAfterARepair(t *testing.T) {
	s := &Server{
		cfg: Config{Now: testNow}, metrics: newMetrics(), logger: slog.New(slog.DiscardHandler), events: newQueue[func(*Node)](), files: newQueue[func()](),
		runner: &runner{jobs: newQueue[runnerJob](), exec: statemachine.NewExecutor(new(journal), statemachine.DefaultLimits())},
	}
	s.doctor = &doctor{s: s}
	heard := 0
	s.runner.damage.hear = func() { heard++ }
	s.damaged(statemachine.ErrDamaged)
	s.damaged(statemachine.ErrDamaged)
	require.Equal(t, 1, s.events.len(), "it is told once")
	s.runner.repair.stops.Store(1)
	d := &pbft.Divergence{Damaged: true}
	s.diverged.Store(d)
	(*nodeHost)(s).Healed(d)
	other := fmt.Errorf("another file: %w", statemachine.ErrDamaged)
	s.damaged(other)
	require.Equal(t, 2, s.events.len())
	require.NoError(t, s.runner.resume())
	require.Equal(t, 1, heard, "the storage may have failed by itself before that")
	require.ErrorIs(t, *s.runner.damage.found.Load(), other)
}

// Who begins to change the state says so before he ends what reads it for long, so that nothing
// of that kind begins in between.
func TestTheStateIsMissingBeforeScrubsEnd(t *testing.T) {
	r := new(runner)
	said := false
	r.damage.touching = func() { said = r.parts.missing.Load() }
	r.touch()()
	require.True(t, said)
}

// Scrubs come one replica after the other, and as long after the last one as is configured; one of
// a time that is yet to come, by a clock that was wrong, puts nothing off.
func TestWhenTheFirstScrubComes(t *testing.T) {
	const every = 160 * time.Hour
	s := &Server{cfg: Config{Now: testNow, ScrubEvery: every, Roster: newTestCluster(t, 4, nil).roster}, self: 2, doctor: new(doctor)}
	require.Equal(t, 15*time.Hour, s.untilScrub())
	for at, want := range map[time.Duration]time.Duration{
		-time.Hour: every - time.Hour, -every: 15 * time.Hour, 10 * 365 * 24 * time.Hour: every,
	} {
		s.doctor.scrub = &DoctorScrub{At: testNow().Add(at)}
		require.Equal(t, want, s.untilScrub(), "%v", at)
	}
}
