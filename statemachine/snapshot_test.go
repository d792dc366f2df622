package statemachine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/parley-bft/parley/crypto"
	"github.com/stretchr/testify/require"
)

// busy returns a chain with sessions of all kinds: windows with holes, dropped
// answers, an evicted session, pending leaves.
func busy(t tester) *chain {
	c := newChain(t, testLimits())
	c.run(1, request(1, 1, 1, 20, "a", "b"), request(2, 5, 3, 90, "c"), request(2, 9, 3, 90, "d"))
	c.run(2, request(3, 70, 70, 90, "e"), request(4, 1, 1, 90, "f", "big"))
	for seq := uint64(2); seq < 20; seq++ {
		c.run(3, request(4, seq, seq/2, 90, "g"))
	}
	c.run(30, request(5, 1, 1, 95, "evicts 1"))
	return c
}

func TestSnapshotRestore(t *testing.T) {
	c := busy(t)
	b := snapshotBytes(t, mustSnapshot(t, c.Executor))
	again := busy(t)
	_, _, err := again.Digests() // sealed at another time
	require.NoError(t, err)
	require.Equal(t, b, snapshotBytes(t, mustSnapshot(t, again.Executor)))

	h, err := ReadHeader(bytes.NewReader(b))
	require.NoError(t, err)
	require.Equal(t, c.Position(), h.Position)
	app, sessions, err := c.Digests()
	require.NoError(t, err)
	require.Equal(t, app, h.AppDigest)
	require.Equal(t, sessions, h.SessionsDigest)

	other := newChain(t, testLimits())
	other.run(1, request(8, 1, 1, 20, "to be replaced"))
	require.NoError(t, other.Restore(bytes.NewReader(b)))
	other.height = c.height
	require.Equal(t, c.Position(), other.Position())
	require.Equal(t, b, snapshotBytes(t, mustSnapshot(t, other.Executor)))
	require.Equal(t, c.table.cached, other.table.cached)

	// The same future, up to the receipts of a tree that began before.
	next := c.block(40, request(1, 1, 1, 20, "a", "b"), request(2, 9, 3, 90, "d"), request(2, 6, 3, 90, "x"),
		request(3, 71, 70, 90, "y"), request(4, 19, 9, 90, "g"), request(4, 3, 1, 90, "g"), request(7, 1, 1, 90, "z"))
	next.Checkpoint = true
	want, err := c.Execute(next)
	require.NoError(t, err)
	got, err := other.Execute(next)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, Forgotten, want.Replies[0].Status)
	require.Equal(t, Duplicate, want.Replies[1].Status)
	require.Equal(t, Busy, want.Replies[6].Status)
}

func TestSnapshotStaysFrozen(t *testing.T) {
	c := busy(t)
	want := snapshotBytes(t, mustSnapshot(t, c.Executor))
	frozen := mustSnapshot(t, c.Executor)
	var got bytes.Buffer
	done := make(chan error)
	go func() {
		_, err := frozen.WriteTo(&got)
		done <- err
	}()
	for seq := uint64(20); seq < 120; seq++ {
		c.run(96, request(4, seq, seq, 150, "more"), request(int(seq), 1, 1, 96, "others"))
		_, _, err := c.Digests()
		require.NoError(t, err)
	}
	require.NoError(t, <-done)
	require.Equal(t, want, got.Bytes())
	require.NoError(t, frozen.Close())
}

func TestRestoreRefuses(t *testing.T) {
	c := busy(t)
	good := snapshotBytes(t, mustSnapshot(t, c.Executor))
	const sessionsAt = 8 + 4 + 32 + 8 + 8 + 32 + 32 // offset of the sessions digest in the header
	const appAt = sessionsAt - 32
	damaged := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	fresh := func() *chain {
		f := newChain(t, testLimits())
		f.run(1, request(8, 1, 1, 20, "mine"))
		return f
	}
	for name, b := range map[string][]byte{"empty": nil, "magic": damaged(0), "version": damaged(11), "limits": damaged(12), "cut": good[:300], "sessions": damaged(sessionsAt + 32 + 8 + 8 + 4 + 4 + 10)} {
		f := fresh()
		err := f.Restore(bytes.NewReader(b))
		require.Error(t, err, name)
		require.Equal(t, Executed, f.status(1, request(8, 2, 1, 20, "goes on")), "nothing was touched: %s", name)
	}
	f := fresh()
	var m *MismatchError
	require.ErrorAs(t, f.Restore(bytes.NewReader(damaged(sessionsAt))), &m)
	require.Equal(t, "sessions", m.Part)

	require.ErrorAs(t, f.Restore(bytes.NewReader(damaged(appAt))), &m)
	require.Equal(t, "application", m.Part)
	require.ErrorIs(t, m, ErrStateMismatch)
	_, err := f.Execute(f.block(1))
	require.ErrorIs(t, err, ErrBroken)
	require.ErrorAs(t, f.Restore(bytes.NewReader(damaged(len(good)-1))), &m)
	require.NoError(t, f.Restore(bytes.NewReader(good)), "a good one makes it good")
	_, _, err = f.Digests()
	require.NoError(t, err)

	other := testLimits()
	other.MaxSessions++
	require.ErrorIs(t, newChain(t, other).Restore(bytes.NewReader(good)), ErrSnapshotFormat)

	disk := errors.New("disk")
	require.ErrorIs(t, fresh().Restore(io.MultiReader(bytes.NewReader(good[:400]), readError{disk})), disk)
}

type readError struct{ err error }

func (r readError) Read([]byte) (int, error) { return 0, r.err }

type panickyRestore struct{ ledger }

func (panickyRestore) Restore(io.Reader) error { panic("restore") }

func TestRestorePanic(t *testing.T) {
	c := busy(t)
	e := NewExecutor(new(panickyRestore), testLimits())
	err := e.Restore(bytes.NewReader(snapshotBytes(t, mustSnapshot(t, c.Executor))))
	var p *PanicError
	require.ErrorAs(t, err, &p)
	require.Equal(t, "Restore", p.During)
}

// The application must read to the end of its bytes.
type lazyReader struct{ ledger }

func (l *lazyReader) Restore(r io.Reader) error {
	_, err := io.ReadFull(r, make([]byte, 4))
	return err
}

func TestRestoreLeavesNothingUnread(t *testing.T) {
	c := busy(t)
	e := NewExecutor(new(lazyReader), testLimits())
	err := e.Restore(bytes.NewReader(snapshotBytes(t, mustSnapshot(t, c.Executor))))
	require.ErrorIs(t, err, ErrSnapshotFormat)
}

// FuzzRestore: the sessions digest in the header is made to fit, so that every
// check behind it is reached. What is accepted is the one encoding of the table.
func FuzzRestore(f *testing.F) {
	f.Add(snapshotBytes(f, mustSnapshot(f, busy(f).Executor)))
	f.Add(snapshotBytes(f, mustSnapshot(f, newChain(f, testLimits()).Executor)))
	const sessionsAt = 8 + 4 + 32 + 8 + 8 + 32 + 32
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		c := newChain(t, testLimits())
		err := c.Restore(bytes.NewReader(b))
		var m *MismatchError
		if errors.As(err, &m) {
			copy(b[map[string]int{"sessions": sessionsAt, "application": sessionsAt - 32}[m.Part]:], m.Got[:])
			err = c.Restore(bytes.NewReader(b))
			if errors.As(err, &m) {
				copy(b[sessionsAt-32:], m.Got[:])
				err = c.Restore(bytes.NewReader(b))
			}
		}
		if err != nil {
			return
		}
		require.Equal(t, b, snapshotBytes(t, mustSnapshot(t, c.Executor)))
		// It works on.
		at := c.Position()
		for i, r := range []Request{request(1, 1, 1, 50, "x"), request(2, 10, 3, 90, "y"), request(9, 1, 1, 90, "z")} {
			if at.Height > 1<<62 || at.Time > never-100*second {
				return
			}
			r.Deadline = at.Time + 50*second
			_, err := c.Execute(RequestBlock{Height: at.Height + uint64(i) + 1, Time: at.Time + Time(i), Requests: []Request{r, r}})
			require.NoError(t, err)
		}
	})
}

const never = ^Time(0)

func TestEveryPartOfTheTableIsCovered(t *testing.T) {
	base := func() *sessions { return busy(t).table }
	want := base().digest()
	require.Equal(t, want, base().digest())
	change := map[string]func(*sessions, *session){
		"executed":       func(t *sessions, _ *session) { t.executed++ },
		"forgottenUntil": func(t *sessions, _ *session) { t.forgottenUntil++ },
		"limits":         func(t *sessions, _ *session) { t.limits.MaxCacheBytes++ },
		"floor":          func(_ *sessions, s *session) { s.floor++ },
		"window":         func(_ *sessions, s *session) { s.set(s.floor + 40) },
		"maxDeadline":    func(_ *sessions, s *session) { s.maxDeadline++ },
		"answers":        func(_ *sessions, s *session) { s.answers = s.answers[1:] },
		"session gone":   func(t *sessions, s *session) { delete(t.byKey, s.client); t.gone = append(t.gone, s.client) },
	}
	for _, a := range []struct {
		name string
		f    func(*answer)
	}{
		{"seq", func(a *answer) { a.seq++ }},
		{"request", func(a *answer) { a.request[0]++ }},
		{"height", func(a *answer) { a.height++ }},
		{"ordinal", func(a *answer) { a.ordinal++ }},
		{"code", func(a *answer) { a.results[0].Code++ }},
		{"data", func(a *answer) { a.results[0].Data = []byte("other") }},
		{"count", func(a *answer) { a.results = a.results[:0] }},
	} {
		change["answer's "+a.name] = func(_ *sessions, s *session) {
			a.f(s.answers[0])
			s.answers[0].digest = s.answers[0].rehash(s.answers[0].results)
		}
	}
	for name, f := range change {
		table := base()
		s := table.byKey[client(2)]
		f(table, s)
		table.touch(s)
		require.NotEqual(t, want, table.digest(), name)
	}
}

// Sealing often or once, the digest is the same; so is a table built by restoring.
func TestDigestIsIncremental(t *testing.T) {
	often, once := newChain(t, testLimits()), newChain(t, testLimits())
	for i := range 200 {
		r := request(i%7, uint64(i), 1, 3+i, string(binary.BigEndian.AppendUint32(nil, uint32(i))))
		r.Seq++
		often.run(1+i, r)
		once.run(1+i, r)
		_, _, err := often.Digests()
		require.NoError(t, err)
	}
	_, a, err := often.Digests()
	require.NoError(t, err)
	_, b, err := once.Digests()
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Equal(t, often.table.trie.Len(), often.Sessions())
	require.NotEqual(t, crypto.Digest{}, a)
}
