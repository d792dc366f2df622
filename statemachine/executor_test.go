package statemachine

import (
	"errors"
	"strings"
	"testing"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/receipttree"
	"github.com/stretchr/testify/require"
)

func TestBlocksOutOfOrder(t *testing.T) {
	c := newChain(t, testLimits())
	c.run(10, request(1, 1, 1, 50, "x"))
	_, before, err := c.Digests()
	require.NoError(t, err)
	b := c.block(10)
	for _, h := range []uint64{0, 1, 3} {
		b.Height = h
		_, err := c.Execute(b)
		require.ErrorIs(t, err, ErrOutOfOrder)
	}
	_, err = c.Execute(c.block(9, request(1, 2, 1, 50, "x")))
	require.ErrorIs(t, err, ErrOutOfOrder)
	_, after, err := c.Digests()
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Equal(t, Executed, c.status(10, request(1, 2, 1, 50, "x")))
	require.EqualValues(t, 2, c.Position().Height)
}

// A rejected request changes nothing: neither the digest of the sessions nor the
// bytes of a snapshot (beside the position in its header).
func TestRejectionsChangeNothing(t *testing.T) {
	c := newChain(t, testLimits())
	for k := 1; k <= 4; k++ {
		c.run(10, request(k, 1, 1, 80, "x"))
	}
	c.run(10, request(1, 3, 1, 80, "x"))
	c.Quarantine(request(1, 4, 1, 50, "q").Digest)
	app, sessions, err := c.Digests()
	require.NoError(t, err)
	replies := c.run(20,
		request(1, 1, 1, 80, "x"), request(1, 1, 1, 80, "y"), request(1, 2, 1, 19, "late"), request(1, 2, 1, 500, "early"),
		request(1, 100, 1, 50, "far"), request(9, 1, 1, 50, "new"), request(1, 4, 1, 50, "q"), request(1, 0, 0, 50, "zero"))
	var got []Status
	for _, r := range replies {
		got = append(got, r.Status)
	}
	require.Equal(t, []Status{Duplicate, Conflict, Expired, Early, Window, Busy, Quarantined, Forgotten}, got)
	app2, sessions2, err := c.Digests()
	require.NoError(t, err)
	require.Equal(t, app, app2)
	require.Equal(t, sessions, sessions2)
	require.Equal(t, Executed, c.status(20, request(1, 2, 1, 80, "two")))
}

func TestReceipts(t *testing.T) {
	c := newChain(t, testLimits())
	c.run(1, request(1, 1, 1, 50, "a", "b"))
	replies := c.run(2, request(1, 1, 1, 50, "a", "b"), request(2, 1, 1, 1, "late"), request(2, 1, 1, 50, "big", "c"))
	b := c.block(3, request(3, 1, 1, 50, "d"))
	b.Checkpoint = true
	x, err := c.Execute(b)
	require.NoError(t, err)
	cp := x.Checkpoint
	require.EqualValues(t, 3, cp.Height)
	require.Equal(t, b.Digest, cp.BlockDigest)
	require.Len(t, cp.Leaves, 2+1+1+2+1)
	require.Equal(t, receipttree.Root(cp.Leaves), cp.ResultsRoot)
	app, sessions, err := c.Digests()
	require.NoError(t, err)
	require.Equal(t, app, cp.AppDigest)
	require.Equal(t, sessions, cp.SessionsDigest)

	prove := func(r *Reply, op int, data string) {
		leaf := r.ReceiptLeaf(op)
		path, ok := receipttree.Path(cp.Leaves, r.Leaf+op)
		require.True(t, ok)
		require.True(t, receipttree.Verify(cp.ResultsRoot, leaf.Digest(), r.Leaf+op, len(cp.Leaves), path))
		leaf.Code++
		require.False(t, receipttree.Verify(cp.ResultsRoot, leaf.Digest(), r.Leaf+op, len(cp.Leaves), path))
	}
	prove(&replies[2], 0, "big")
	require.Equal(t, CodeResultTooLarge, replies[2].Results[0].Code, "the receipt shows what the client got")
	prove(&replies[2], 1, "c")
	prove(&x.Replies[0], 0, "d")
	// A refusal is provable; so is that a duplicate was one, by its own leaf.
	require.Equal(t, Expired, replies[1].Status)
	prove(&replies[1], 0, "")
	require.Equal(t, 2, replies[0].Leaf)
	dup := receipttree.Leaf{Height: 2, Request: replies[0].Request, Status: uint8(Duplicate)}
	require.Equal(t, dup.Digest(), cp.Leaves[2])
	// The repeated reply stands for the original leaf.
	original := replies[0].ReceiptLeaf(1)
	require.Equal(t, cp.Leaves[1], original.Digest())

	// The next tree begins empty.
	c.height++
	b = c.block(4)
	b.Checkpoint = true
	x, err = c.Execute(b)
	require.NoError(t, err)
	require.Empty(t, x.Checkpoint.Leaves)
	require.Equal(t, receipttree.Root(nil), x.Checkpoint.ResultsRoot)
}

func TestStateDigest(t *testing.T) {
	a, b := crypto.Hash("a"), crypto.Hash("b")
	require.NotEqual(t, StateDigest(a, b, crypto.Digest{}), StateDigest(b, a, crypto.Digest{}))
	require.NotEqual(t, StateDigest(a, b, crypto.Digest{}), StateDigest(a, b, a))
}

func TestApplicationPanic(t *testing.T) {
	c := newChain(t, testLimits())
	c.run(1, request(1, 1, 1, 50, "x"))
	poison := request(2, 1, 1, 50, "panic")
	fine := request(1, 2, 1, 50, "y")
	good := snapshotBytes(t, mustSnapshot(t, c.Executor))
	_, err := c.Execute(c.block(2, fine, poison))
	var p *PanicError
	require.ErrorAs(t, err, &p)
	require.ErrorIs(t, err, ErrApplicationPanic)
	require.EqualValues(t, 2, p.Height)
	require.Equal(t, "Apply", p.During)
	require.Equal(t, -1, p.Op)
	require.Equal(t, []crypto.Digest{fine.Digest, poison.Digest}, p.Requests)
	require.Contains(t, string(p.Stack), "ledger")
	require.ErrorContains(t, err, "height 2")

	_, err = c.Execute(c.block(2))
	require.ErrorIs(t, err, ErrBroken)
	require.ErrorIs(t, err, ErrApplicationPanic)
	_, err = c.Snapshot()
	require.ErrorIs(t, err, ErrBroken, "half a block must not become a snapshot")

	// The way out: back to the last good state, and the culprit in quarantine.
	require.NoError(t, c.Restore(strings.NewReader(string(good))))
	c.Quarantine(poison.Digest)
	replies := c.run(2, fine, poison)
	require.Equal(t, Executed, replies[0].Status)
	require.Equal(t, Quarantined, replies[1].Status)
}

func mustSnapshot(t tester, e *Executor) Snapshot {
	s, err := e.Snapshot()
	require.NoError(t, err)
	return s
}

func TestWrongNumberOfResults(t *testing.T) {
	c := newChain(t, testLimits())
	_, err := c.Execute(c.block(1, request(1, 1, 1, 50, "short", "x")))
	require.ErrorIs(t, err, ErrResultCount)
	require.ErrorContains(t, err, "1 for 2 operations at height 1")
	_, err = c.Execute(c.block(1))
	require.ErrorIs(t, err, ErrBroken)
}

// perOp is the ledger with operations run one by one.
type perOp struct {
	ledger
	undone []string
	undo   bool
}

func (p *perOp) Apply(b Block) []Result {
	return PerOp(b, p.one, func(op Op, v any) {
		p.undone = append(p.undone, v.(string))
		if p.undo {
			panic("cannot undo")
		}
	})
}

func TestPerOp(t *testing.T) {
	app := new(perOp)
	e := NewExecutor(app, testLimits())
	x, err := e.Execute(RequestBlock{Height: 1, Time: second, Requests: []Request{request(1, 1, 1, 50, "a", "panic", "b")}})
	require.NoError(t, err)
	require.Equal(t, CodePanicked, x.Replies[0].Results[1].Code)
	require.Empty(t, x.Replies[0].Results[1].Data, "a panic's text may differ between replicas")
	require.Equal(t, CodeOK, x.Replies[0].Results[2].Code)
	require.Equal(t, []string{"poison"}, app.undone)
	require.Len(t, app.ran, 2)

	app.undo = true
	culprit := request(2, 1, 1, 50, "panic")
	_, err = e.Execute(RequestBlock{Height: 2, Time: second, Requests: []Request{request(1, 2, 1, 50, "a", "b"), culprit}})
	var p *PanicError
	require.ErrorAs(t, err, &p)
	require.Equal(t, 2, p.Op)
	require.Equal(t, []crypto.Digest{culprit.Digest}, p.Requests)
	require.ErrorContains(t, err, "cannot undo")
}

func TestPerOpWithoutRecovery(t *testing.T) {
	results := PerOp(Block{Ops: []Op{{Data: []byte("panic")}, {Data: []byte("x")}}}, new(ledger).one, nil)
	require.Equal(t, CodePanicked, results[0].Code)
	require.Equal(t, CodeOK, results[1].Code)
}

type badDigest struct{ ledger }

func (badDigest) Digest() crypto.Digest { panic("digest") }

type badSnapshot struct{ ledger }

func (badSnapshot) Snapshot() (Snapshot, error) { panic("snapshot") }

type noSnapshot struct{ ledger }

var errNoSnapshot = errors.New("no memory")

func (noSnapshot) Snapshot() (Snapshot, error) { return nil, errNoSnapshot }

func TestPanicsElsewhere(t *testing.T) {
	var p *PanicError
	e := NewExecutor(new(badDigest), testLimits())
	_, err := e.Execute(RequestBlock{Height: 1, Checkpoint: true})
	require.ErrorAs(t, err, &p)
	require.Equal(t, "Digest", p.During)
	_, _, err = e.Digests()
	require.ErrorIs(t, err, ErrBroken)

	e = NewExecutor(new(badSnapshot), testLimits())
	_, err = e.Snapshot()
	require.ErrorAs(t, err, &p)
	require.Equal(t, "Snapshot", p.During)

	e = NewExecutor(new(noSnapshot), testLimits())
	_, err = e.Snapshot()
	require.ErrorIs(t, err, errNoSnapshot)
	_, err = e.Execute(RequestBlock{Height: 1})
	require.NoError(t, err, "a snapshot that fails is no reason to stop")
	require.Panics(t, func() { NewExecutor(new(ledger), Limits{}) })
}

func TestAdmissible(t *testing.T) {
	c := newChain(t, testLimits())
	r := request(1, 1, 1, 60, "x")
	s, ok := c.Admissible(&r, 10*second)
	require.True(t, ok)
	require.Equal(t, Executed, s)
	s, ok = c.Admissible(&r, 61*second)
	require.False(t, ok)
	require.Equal(t, Expired, s)
	for k := 1; k <= 4; k++ {
		c.run(10, request(k, 1, 1, 60, "x"))
	}
	s, _ = c.Admissible(&r, 0)
	require.Equal(t, Duplicate, s)
	newcomer := request(5, 1, 1, 90, "x")
	s, _ = c.Admissible(&newcomer, 10*second)
	require.Equal(t, Busy, s)
	_, ok = c.Admissible(&newcomer, 61*second)
	require.True(t, ok, "by then somebody can be forgotten")
	late := request(1, 2, 1, 9, "x")
	s, _ = c.Admissible(&late, 0)
	require.Equal(t, Expired, s, "never judged by a clock that is behind block time")
}

// cutter cuts all results from one piece of memory.
type cutter struct {
	ledger
	piece []byte
}

func (c *cutter) Apply(b Block) []Result {
	var out []Result
	for i := range b.Ops {
		c.piece = append(c.piece, b.Ops[i].Data...)
		out = append(out, OK(c.piece[len(c.piece)-len(b.Ops[i].Data):]))
	}
	return out
}

// Small results have memory of their request's own, so that one that is remembered
// keeps nothing else alive; none can be appended into the next.
func TestSmallResultsAreCopied(t *testing.T) {
	app := &cutter{piece: make([]byte, 0, 1<<20)}
	e := NewExecutor(app, DefaultLimits())
	large := strings.Repeat("l", smallResult+1)
	x, err := e.Execute(RequestBlock{Height: 1, Requests: []Request{request(1, 1, 1, 50, "small", "", large, "s")}})
	require.NoError(t, err)
	clear(app.piece[:cap(app.piece)])
	got := x.Replies[0].Results
	require.Equal(t, []Result{OK([]byte("small")), OK(nil), OK(make([]byte, len(large))), OK([]byte("s"))}, got)
	require.Equal(t, 5, cap(got[0].Data))
	require.Equal(t, 1, cap(got[3].Data))
}

type broken struct{}

func (broken) Error() string { return "disk" }
func (broken) HaltsReplica() {}

// A Halt is no result of an operation.
func TestPerOpPassesOnHalt(t *testing.T) {
	require.PanicsWithValue(t, broken{}, func() {
		PerOp(Block{Ops: make([]Op, 1)}, func(Op) Result { panic(broken{}) }, func(Op, any) {})
	})
}
