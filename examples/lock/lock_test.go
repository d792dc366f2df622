package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{New: newMachine, Gen: func(r *rand.Rand) []byte {
		o := operation{
			kind: kind(1 + r.IntN(4)), name: string(rune('a' + r.IntN(4))),
			token: 1 + r.Uint64N(50), lease: time.Duration(1+r.IntN(3000)) * time.Millisecond,
		}
		data := o.encode()
		if r.IntN(10) == 0 {
			data = data[:r.IntN(len(data))]
		}
		return data
	}})
}

// service is a machine whose clock the test moves.
type service struct {
	t   *testing.T
	m   statemachine.StateMachine
	now statemachine.Time
}

var ann, bob = crypto.PublicKey{1}, crypto.PublicKey{2}

func newService(t *testing.T) *service { return &service{t, newMachine(), 1_000_000_000} }

func (s *service) pass(d time.Duration) { s.now += statemachine.Time(d) }

func (s *service) do(who crypto.PublicKey, o operation) statemachine.Result {
	results := s.m.Apply(statemachine.Block{Time: s.now, Ops: []statemachine.Op{{Client: who, Data: o.encode()}}})
	require.Len(s.t, results, 1)
	return results[0]
}

// lease expects a result that carries a lease.
func (s *service) lease(code statemachine.ResultCode, who crypto.PublicKey, o operation) lease {
	s.t.Helper()
	r := s.do(who, o)
	require.Equal(s.t, code, r.Code)
	l, err := decodeLease(r.Data)
	require.NoError(s.t, err)
	return l
}

func TestLeases(t *testing.T) {
	s := newService(t)
	take := operation{kind: acquire, name: "a", lease: time.Second}
	look := operation{kind: inspect, name: "a"}
	require.Equal(t, codeFree, s.do(bob, look).Code)

	first := s.lease(statemachine.CodeOK, ann, take)
	require.Equal(t, lease{ann, 1, s.now + 1e9}, first)
	require.Equal(t, first, s.lease(statemachine.CodeOK, bob, look))
	require.Equal(t, first, s.lease(codeHeld, bob, take))
	require.Equal(t, first, s.lease(codeHeld, ann, take), "by its owner, too")
	require.Equal(t, uint64(2), s.lease(statemachine.CodeOK, bob, operation{kind: acquire, name: "b", lease: time.Second}).Token)

	// Only the owner, and only under the lease's token.
	for _, k := range []kind{renew, release} {
		require.Equal(t, codeNotHeld, s.do(bob, operation{kind: k, name: "a", token: 1, lease: time.Second}).Code)
		require.Equal(t, codeNotHeld, s.do(ann, operation{kind: k, name: "a", token: 2, lease: time.Second}).Code)
		require.Equal(t, codeNotHeld, s.do(ann, operation{kind: k, name: "c", token: 1, lease: time.Second}).Code)
	}
	s.pass(900 * time.Millisecond)
	require.Equal(t, first, s.lease(statemachine.CodeOK, ann, operation{kind: renew, name: "a", token: 1, lease: time.Millisecond}), "renewing never shortens")
	renewed := s.lease(statemachine.CodeOK, ann, operation{kind: renew, name: "a", token: 1, lease: time.Second})
	require.Equal(t, lease{ann, 1, s.now + 1e9}, renewed)

	// At its end it is void, for its owner too.
	s.pass(time.Second - 1)
	require.Equal(t, renewed, s.lease(codeHeld, bob, take))
	s.pass(1)
	require.Equal(t, codeFree, s.do(bob, look).Code)
	require.Equal(t, codeNotHeld, s.do(ann, operation{kind: renew, name: "a", token: 1, lease: time.Second}).Code)
	require.Equal(t, codeNotHeld, s.do(ann, operation{kind: release, name: "a", token: 1}).Code)
	second := s.lease(statemachine.CodeOK, bob, take)
	require.Equal(t, lease{bob, 3, s.now + 1e9}, second)

	// Given back, the next one has a higher token still.
	require.Equal(t, statemachine.OK(nil), s.do(bob, operation{kind: release, name: "a", token: 3}))
	require.Equal(t, codeFree, s.do(ann, look).Code)
	require.Equal(t, uint64(4), s.lease(statemachine.CodeOK, ann, take).Token)
}

func TestFull(t *testing.T) {
	s := newService(t)
	for i := range maxLeases {
		length := time.Second
		if i == 7 {
			length = time.Minute
		}
		s.lease(statemachine.CodeOK, ann, operation{kind: acquire, name: fmt.Sprint(i), lease: length})
	}
	another := operation{kind: acquire, name: "another", lease: time.Second}
	require.Equal(t, codeFull, s.do(bob, another).Code)
	s.pass(time.Second)
	require.Equal(t, uint64(maxLeases+1), s.lease(statemachine.CodeOK, bob, another).Token)
	require.Len(t, s.m.(*machine).leases, 2, "what is void was forgotten, what is not was kept")
	require.Equal(t, ann, s.lease(statemachine.CodeOK, bob, operation{kind: inspect, name: "7"}).Owner)
}

func TestMalformed(t *testing.T) {
	s := newService(t)
	before := s.m.Digest()
	for name, data := range map[string][]byte{
		"nothing":        nil,
		"cut":            {byte(acquire), 0, 0},
		"no name":        operation{kind: inspect}.encode(),
		"long name":      operation{kind: inspect, name: strings.Repeat("n", maxName+1)}.encode(),
		"trailing":       append(operation{kind: inspect, name: "a"}.encode(), 0),
		"no lease":       operation{kind: acquire, name: "a"}.encode(),
		"long lease":     operation{kind: acquire, name: "a", lease: maxLease + 1}.encode(),
		"negative lease": operation{kind: acquire, name: "a", lease: -1}.encode(),
	} {
		r := s.m.Apply(statemachine.Block{Time: s.now, Ops: []statemachine.Op{{Client: ann, Data: data}}})[0]
		require.Equal(t, statemachine.CodeMalformed, r.Code, name)
	}
	require.Equal(t, statemachine.CodeUnsupported, s.do(ann, operation{kind: 5, name: "a"}).Code)
	require.Equal(t, before, s.m.Digest())
}

func FuzzOperation(f *testing.F) {
	for k := acquire; k <= inspect; k++ {
		f.Add(operation{kind: k, name: "a", token: 1, lease: time.Second}.encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, code := decodeOperation(data)
		if code == statemachine.CodeOK {
			require.Equal(t, data, o.encode(), "one operation has one encoding")
		}
	})
}

func FuzzRestore(f *testing.F) {
	m := newMachine()
	for _, name := range []string{"a", "b"} {
		m.Apply(statemachine.Block{Ops: []statemachine.Op{{Data: operation{kind: acquire, name: name, lease: time.Second}.encode()}}})
	}
	f.Add(written(f, m))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMachine()
		if m.Restore(bytes.NewReader(data)) != nil {
			return
		}
		require.Equal(t, data, written(t, m), "one state has one snapshot")
	})
}

func written(t testing.TB, m statemachine.StateMachine) []byte {
	frozen, err := m.Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = frozen.WriteTo(&b)
	require.NoError(t, err)
	return b.Bytes()
}

// The program: everybody gets their turns, nothing is lost, and the sleeper does
// no harm.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), t.TempDir(), &out))
	story := out.String()
	require.True(t, strings.HasPrefix(story, "Anna has the lock under token 1, and falls asleep\n"), story)
	require.Contains(t, story, "Anna wakes up and writes: refused, stale token: it is 1, and 10 has been here\n")
	require.Contains(t, story, "the ledger stands at 9: 3 clients, 3 turns each, nothing lost\n")
	for i := 1; i <= 9; i++ {
		require.Contains(t, story, fmt.Sprintf("has the lock under token %d and writes %d\n", i+1, i))
	}
}
