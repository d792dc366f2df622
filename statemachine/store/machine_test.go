package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// toy is a handler: its operations are short texts.
type toy struct{ fail error }

const codeRefused = statemachine.CodeApplication

func (h *toy) Found(t Txn) { t.Set([]byte("founded"), []byte("yes")) }

func (h *toy) BeginBlock(t Txn, b *statemachine.Block) {}

func (h *toy) EndBlock(t Txn, b *statemachine.Block) {
	if n := len(b.Ops); n > 5 {
		t.Set([]byte("long"), []byte{byte(n)})
	}
}

func (h *toy) Apply(t Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
	if h.fail != nil {
		panic(&Failure{Op: "read", Err: h.fail})
	}
	if len(op.Data) < 2 {
		return statemachine.Reject(statemachine.CodeMalformed, nil)
	}
	key, value := op.Data[1:2], op.Data[2:]
	switch op.Data[0] {
	case 's':
		t.Set(key, value)
		return statemachine.OK(value)
	case 'd':
		t.Delete(key)
		return statemachine.OK(nil)
	case 'g':
		v, _ := t.Get(key)
		return statemachine.OK(v)
	case 'r': // refused half way
		t.Set(key, value)
		return statemachine.Reject(codeRefused, value)
	case 'f': // refused, for a fee
		t.Set(key, value)
		t.Commit()
		return statemachine.Reject(codeRefused, nil)
	case 'p':
		t.Begin().Set(key, value)
		panic("half way")
	case 'l':
		in := t.Begin()
		in.Delete(key)
		n := 0
		for range in.Range(nil, nil) {
			n++
		}
		in.Discard()
		return statemachine.OK([]byte{byte(n)})
	}
	return statemachine.Reject(statemachine.CodeUnsupported, nil)
}

func (h *toy) Query(_ context.Context, r Reader, q []byte) ([]byte, error) {
	if h.fail != nil {
		panic(&Failure{Op: "read", Err: h.fail})
	}
	v, _ := r.Get(q)
	return v, nil
}

func genToy(r *rand.Rand) []byte {
	op := []byte{"ssssdgrfplx"[r.IntN(11)], byte('a' + r.IntN(12))}
	for range r.IntN(20) {
		op = append(op, byte(r.IntN(256)))
	}
	return op[:len(op)-max(0, r.IntN(10)-8)]
}

func newToy(t require.TestingT, c Config) (*Machine, *toy) {
	h := new(toy)
	m, err := NewMachine(open(t, c), h)
	require.NoError(t, err)
	return m, h
}

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{
		New: func() statemachine.StateMachine { m, _ := newToy(t, memory(3)); return m },
		Gen: genToy,
	})
}

func run(m *Machine, height uint64, ops ...string) []statemachine.Result {
	b := statemachine.Block{Height: height}
	for _, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: []byte(op)})
	}
	return m.Apply(b)
}

func TestMachineOutcomes(t *testing.T) {
	m, _ := newToy(t, memory(3))
	got := run(m, 1, "sa1", "rb2", "fc3", "pd4", "la", "ga", "x")
	var codes []statemachine.ResultCode
	for _, r := range got {
		codes = append(codes, r.Code)
	}
	require.Equal(t, []statemachine.ResultCode{0, codeRefused, codeRefused, statemachine.CodePanicked, 0, 0, statemachine.CodeMalformed}, codes)
	require.Equal(t, "\x02", string(got[4].Data))
	v, err := m.Store().At(1)
	require.NoError(t, err)
	require.Equal(t, []string{"a=1", "c=3", "founded=yes", "long=\x07"}, entries(v.Range(nil, nil)))
	answer, err := m.Query(context.Background(), []byte("c"))
	require.NoError(t, err)
	require.Equal(t, "3", string(answer))
}

func TestProofQueries(t *testing.T) {
	m, _ := newToy(t, memory(3))
	run(m, 1, "sa1")
	d := m.Digest()
	run(m, 2, "sa2")
	for key, want := range map[string]string{"a": "1", "b": ""} {
		b, err := m.Query(context.Background(), ProofQuery(1, []byte(key)))
		require.NoError(t, err)
		p, err := proof.Decode(b)
		require.NoError(t, err)
		require.NoError(t, p.Verify(d, []byte(key)))
		require.Equal(t, want, string(p.Value))
	}
	_, err := m.Query(context.Background(), ProofQuery(2, []byte("a")))
	require.ErrorIs(t, err, ErrNoProof)
	_, err = m.Query(context.Background(), ProofQuery(3, []byte("a")))
	require.ErrorIs(t, err, ErrFuture)
	_, err = m.Query(context.Background(), ProofQuery(2, nil))
	require.ErrorIs(t, err, ErrQuery)
}

// A database that fails is no operation's fault: the executor stops.
func TestFailureStopsTheExecutor(t *testing.T) {
	m, h := newToy(t, memory(3))
	e := statemachine.NewExecutor(m, statemachine.DefaultLimits())
	gone := errors.New("the disk is gone")
	block := func(height uint64) statemachine.RequestBlock {
		b := statemachine.RequestBlock{Height: height, Time: 10}
		r := statemachine.Request{Client: crypto.PublicKey{1}, Seq: height, Deadline: 20, Ops: [][]byte{[]byte("ga")}}
		r.Digest = crypto.Hash("test", fmt.Append(nil, height))
		b.Requests = append(b.Requests, r)
		return b
	}
	x, err := e.Execute(block(1))
	require.NoError(t, err)
	require.Equal(t, statemachine.Executed, x.Replies[0].Status)
	h.fail = gone
	_, err = e.Execute(block(2))
	require.ErrorIs(t, err, statemachine.ErrHalted)
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, gone)
	require.NotErrorIs(t, err, statemachine.ErrApplicationPanic)
	_, err = m.Query(context.Background(), []byte("a"))
	require.ErrorIs(t, err, gone)
	h.fail = nil
	_, err = e.Execute(block(2))
	require.ErrorIs(t, err, statemachine.ErrBroken)
}

func TestHeightOfARestoredState(t *testing.T) {
	m, _ := newToy(t, memory(3))
	e := statemachine.NewExecutor(m, statemachine.DefaultLimits())
	for h := uint64(1); h <= 9; h++ {
		_, err := e.Execute(statemachine.RequestBlock{Height: h})
		require.NoError(t, err)
	}
	s, err := e.Snapshot()
	require.NoError(t, err)
	other, _ := newToy(t, memory(3))
	f := statemachine.NewExecutor(other, statemachine.DefaultLimits())
	r, w := io.Pipe()
	go func() { _, err := s.WriteTo(w); w.CloseWithError(err) }()
	require.NoError(t, f.Restore(r))
	v, err := other.Store().At(9)
	require.NoError(t, err)
	d, err := v.Digest()
	require.NoError(t, err)
	require.Equal(t, m.Digest(), d)
	_, err = other.Store().At(8)
	require.ErrorIs(t, err, ErrPruned)
	_, err = f.Execute(statemachine.RequestBlock{Height: 10})
	require.NoError(t, err)
}
