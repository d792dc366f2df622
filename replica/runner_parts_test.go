package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// partedJournal is a journal whose state is had in parts; the runner's sync says how.
type partedJournal struct{ *journal }

func (partedJournal) ServeState([]byte) ([]byte, error) { return []byte("a part"), nil }
func (partedJournal) SyncState(context.Context, statemachine.StateTarget) (s statemachine.StateSyncStats, err error) {
	return s, errors.ErrUnsupported
}

func (partedJournal) CompareState(context.Context, statemachine.StateTarget, int) ([]statemachine.StateDifference, bool, error) {
	return nil, false, errors.ErrUnsupported
}

func (partedJournal) Rerun(context.Context, statemachine.Block, [][]byte) ([]statemachine.StateWrite, error) {
	return nil, errors.ErrUnsupported
}

// prefixFiles is a transferred snapshot of which the first chunks are here.
type prefixFiles struct {
	data []byte
	root pbft.Digest
	// whole: all chunks are here, and finished is what comes of making them durable.
	whole    bool
	finished error
}

func (f *prefixFiles) finish() error { return f.finished }
func (f *prefixFiles) part() bool    { return !f.whole }
func (f *prefixFiles) prefix() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f.data)), nil
}
func (f *prefixFiles) certifiedRoot() pbft.Digest { return f.root }
func (f *prefixFiles) drop() error                { return nil }
func (f *prefixFiles) close()                     {}

// partsRunner is a runner of an application with parts, a certified snapshot and how its
// installation is reported.
type partsRunner struct {
	*runner
	c        *simCluster
	app      partedJournal
	bundle   *pbft.Bundle
	files    *prefixFiles
	reported []error
}

func newPartsRunner(t *testing.T) *partsRunner {
	c := newSimCluster(t, 4, 8)
	c.startAll()
	for i := 0; c.sims[0].Node().Core().SnapshotHeight() == 0; i++ {
		c.put(fmt.Sprint(i))
	}
	b := c.sims[0].Node().Core().SnapshotBundle()
	held := c.disks[0].snaps.held[b.Height()]
	p := &partsRunner{
		runner: c.sims[3].runner, c: c, app: partedJournal{c.apps[3]}, bundle: b,
		files: &prefixFiles{data: held.data, root: held.manifest.Root(), finished: errors.ErrUnsupported},
	}
	p.runner.parts.app = p.app
	p.runner.installed = func(_ *pbft.Bundle, err error) { p.reported = append(p.reported, err) }
	return p
}

// lag has the runner begin anew, far below the snapshot.
func (p *partsRunner) lag() *partsRunner {
	p.exec = statemachine.NewExecutor(p.app, statemachine.DefaultLimits())
	return p
}

// served tells whether a peer or client may be answered from the state.
func (p *partsRunner) served(t *testing.T) bool {
	answer, err := p.serveState(p.app, []byte{askState})
	require.NoError(t, err)
	return len(answer) > 0
}

// What an installation by parts left half done is no state: nobody is answered from it
// until one ended well.
func TestHalfInstalledStateIsNotServed(t *testing.T) {
	p := newPartsRunner(t).lag()
	require.True(t, p.served(t))
	life := p.repair.life
	p.parts.sync = func(statemachine.PartedState, *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		// Snapshots of the state that was are not written any more, and nobody waits for
		// the end of this, which may take minutes.
		require.Greater(t, p.repair.life, life)
		require.False(t, p.queryLock.TryRLock())
		require.False(t, p.served(t))
		return s, errors.New("no peer has it")
	}
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.ErrorIs(t, p.reported[0], ErrWhole)
	require.True(t, p.pending)
	require.False(t, p.served(t))
	p.parts.sync = func(app statemachine.PartedState, h *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		return s, app.Restore(bytes.NewReader(p.files.data[h.AppAt:]))
	}
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.NoError(t, p.reported[1])
	require.True(t, p.served(t))
}

// An installation that fails before anything was touched leaves the state as it was.
func TestStateBeforeAnInstallationIsKept(t *testing.T) {
	p := newPartsRunner(t).lag()
	p.parts.sync = func(statemachine.PartedState, *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		require.Fail(t, "it is not asked for")
		return s, nil
	}
	p.files.data = p.files.data[:len(p.files.data)/4]
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.ErrorIs(t, p.reported[0], ErrWhole)
	require.False(t, p.pending)
	require.True(t, p.served(t))
}

// A transfer that blocks have overtaken, because they came by the log all the same, does
// not take the state back.
func TestOvertakenPartsAreNotInstalled(t *testing.T) {
	p := newPartsRunner(t).lag()
	p.parts.sync = func(app statemachine.PartedState, h *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		return s, app.Restore(bytes.NewReader(p.files.data[h.AppAt:]))
	}
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	at := p.exec.Position()
	require.Equal(t, uint64(p.bundle.Height()), at.Height)
	p.parts.sync = func(statemachine.PartedState, *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		require.Fail(t, "it is not asked for")
		return s, nil
	}
	life := p.repair.life
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.Equal(t, []error{nil, nil}, p.reported)
	require.Equal(t, at, p.exec.Position())
	require.Equal(t, life, p.repair.life)
}

// A snapshot that was written of the right state, and is not the certified one all the
// same, is deleted, and the certified one transferred.
func TestSnapshotOfAnInstalledStateIsTheCertifiedOne(t *testing.T) {
	p := newPartsRunner(t).lag()
	p.parts.sync = func(app statemachine.PartedState, h *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		return s, app.Restore(bytes.NewReader(p.files.data[h.AppAt:]))
	}
	p.files.root = pbft.Digest{1}
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.ErrorIs(t, p.reported[0], ErrWhole)
	_, there := p.folder.root(p.bundle.Height())
	require.False(t, there)
}

// A divergence at an older checkpoint, found while a certified state was being installed,
// does not delete its snapshot: the log need not name it yet.
func TestInstalledSnapshotIsConfirmed(t *testing.T) {
	p := newPartsRunner(t)
	h := p.bundle.Height()
	require.NoError(t, p.store.Write([]pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordSnapshot}, Delete: true}}, true))
	p.repair.installed = 0
	require.NoError(t, p.adopted(p.bundle))
	require.NoError(t, p.forgetWrong(h-1))
	_, there := p.folder.root(h)
	require.True(t, there)
}

// What came of blocks in a state that was wrong is not kept where they are not executed again.
func TestWrongResultsAreForgotten(t *testing.T) {
	p := newPartsRunner(t)
	p.archive.retain = 1000
	h := p.bundle.Height()
	for _, k := range []HostKind{HostReplies, HostLeaves} {
		require.NoError(t, p.archive.store.WriteHost([]HostRecord{{Key: HostKey{k, h - 1}, Value: []byte("right")}, {Key: HostKey{k, h}, Value: []byte("wrong")}}, false))
	}
	p.repair.begin(&pbft.Divergence{Agreed: h - 1})
	p.replayTo = h
	p.runner.rebuilt = func(*pbft.Bundle, pbft.Height, []pbft.CheckpointStatement) {}
	require.NoError(t, p.rebuild(p.bundle))
	for _, k := range []HostKind{HostReplies, HostLeaves} {
		v, err := p.archive.store.GetHost(HostKey{k, h})
		require.NoError(t, err)
		require.Nil(t, v)
		v, err = p.archive.store.GetHost(HostKey{k, h - 1})
		require.NoError(t, err)
		require.Equal(t, "right", string(v))
	}
}

// A snapshot whose chunks the disk has damaged by the time that the state is there is transferred
// once more; until then no block is executed.
func TestSnapshotDamagedWhileItsPartsCame(t *testing.T) {
	p := newPartsRunner(t).lag()
	p.repair.begin(&pbft.Divergence{})
	p.rebuilt = func(b *pbft.Bundle, _ pbft.Height, _ []pbft.CheckpointStatement) {
		p.reported = append(p.reported, nil)
	}
	p.parts.sync = func(app statemachine.PartedState, h *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		return s, app.Restore(bytes.NewReader(p.files.data[h.AppAt:]))
	}
	p.files.whole, p.files.finished = true, fmt.Errorf("chunk 1: %w", snapshot.ErrCorrupt)
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.Len(t, p.reported, 1)
	require.ErrorIs(t, p.reported[0], snapshot.ErrCorrupt)
	require.True(t, p.pending)
	p.files.finished = nil
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.Len(t, p.reported, 2)
	require.NoError(t, p.reported[1])
}

// An installation is ended while it is under way, or when it begins if that came first; another
// one is not, and neither is one after it.
func TestSuperseding(t *testing.T) {
	var s superseding
	ended := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	a, end := s.begin(8)
	s.supersede(16)
	require.False(t, ended(a))
	s.supersede(8)
	require.True(t, ended(a))
	s.supersede(8) // it may come twice
	end()
	b, end := s.begin(8) // and is tried again
	require.True(t, ended(b))
	end()
	c, end := s.begin(8)
	require.False(t, ended(c))
	end()
	s.supersede(8)
	d, _ := s.begin(16)
	require.False(t, ended(d))
	s.supersede(16)
	require.True(t, ended(d))
}

// What came of an installation that a later one takes the place of is no state, and neither the
// whole snapshot nor a restart is wanted.
func TestSupersededInstallationIsReported(t *testing.T) {
	p := newPartsRunner(t).lag()
	p.parts.sync = func(statemachine.PartedState, *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		s.Received = 1
		return s, fmt.Errorf("store: %w", statemachine.ErrSuperseded)
	}
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.Len(t, p.reported, 1)
	require.ErrorIs(t, p.reported[0], ErrLater)
	require.False(t, p.parts.whole)
	require.True(t, p.pending)
	require.False(t, p.served(t))
}

// damagedHalfWay is an application whose state turns out to be damaged when some of it has come.
type damagedHalfWay struct {
	partedJournal
	asked []bool // whether it was to repair
}

func (d *damagedHalfWay) SyncState(_ context.Context, want statemachine.StateTarget) (statemachine.StateSyncStats, error) {
	d.asked = append(d.asked, want.Repair)
	if !want.Repair {
		return statemachine.StateSyncStats{Requests: 2, Sent: 20, Received: 200, Changed: 3}, statemachine.ErrDamaged
	}
	return statemachine.StateSyncStats{Requests: 1, Sent: 1, Received: 1, Changed: 1, Damaged: 1}, nil
}

// An update that meets damage goes on as a repair, and what came before counts.
func TestWhatCameBeforeARepairCounts(t *testing.T) {
	c := newClientTestCluster(t, nil)
	s := &Server{life: t.Context(), metrics: newMetrics(), runner: &runner{}}
	s.cfg.Roster = c.roster
	s.runner.damage.report = func(error) {}
	app := &damagedHalfWay{}
	stats, err := s.syncState(app, &statemachine.Header{Position: statemachine.Position{Height: 7}})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true}, app.asked)
	require.Equal(t, statemachine.StateSyncStats{Requests: 3, Sent: 21, Received: 201, Changed: 4, Damaged: 1}, stats)
}

// damagedJournal cannot read what it needs for the next block.
type damagedJournal struct {
	partedJournal
	damaged *bool
}

type damagedError struct{ error }

func (damagedError) HaltsReplica()   {}
func (e damagedError) Unwrap() error { return e.error }

func (j damagedJournal) Apply(b statemachine.Block) []statemachine.Result {
	if *j.damaged {
		panic(damagedError{statemachine.ErrDamaged})
	}
	return j.partedJournal.Apply(b)
}

// Damage that is met while the log above an installed state is executed is repaired, as at any
// other time, and then the log is executed to its end.
func TestDamageMetInTheLogAboveAState(t *testing.T) {
	p := newPartsRunner(t)
	for i := range 3 {
		p.c.put(fmt.Sprint("above ", i))
	}
	committed := p.c.sims[3].Node().Core().Committed()
	require.Greater(t, committed, p.bundle.Height())
	p.lag()
	damaged := true
	p.exec = statemachine.NewExecutor(damagedJournal{p.app, &damaged}, statemachine.DefaultLimits())
	p.parts.sync = func(app statemachine.PartedState, h *statemachine.Header) (s statemachine.StateSyncStats, err error) {
		return s, app.Restore(bytes.NewReader(p.files.data[h.AppAt:]))
	}
	var met error
	p.runner.damage.report = func(err error) { met = err }
	p.pending, p.replayTo = true, committed
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.ErrorIs(t, met, statemachine.ErrDamaged)
	require.True(t, p.pending, "no block is executed")
	require.NoError(t, p.stopFor(&pbft.Divergence{Damaged: true}))
	require.Equal(t, committed, p.replayTo)
	damaged = false
	upTo := pbft.Height(0)
	p.runner.rebuilt = func(_ *pbft.Bundle, to pbft.Height, _ []pbft.CheckpointStatement) { upTo = to }
	require.NoError(t, p.do(&runnerJob{install: p.bundle, files: p.files}))
	require.Equal(t, committed, upTo)
}
