package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/btree"
	"pgregory.net/rapid"
)

func smallLimits() Limits {
	return Limits{MaxKeyBytes: 8, MaxValueBytes: 32, MaxTxnOps: 8, MaxRangeKeys: 20, MaxResultBytes: 800, MaxStateBytes: 1 << 20}
}

func randomBytes(r *rand.Rand, most int) []byte {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func randomKey(r *rand.Rand) []byte { return []byte{'a' + byte(r.IntN(3)), 'a' + byte(r.IntN(4))} }

// randomSimple is an operation that may stand in a transaction.
func randomSimple(r *rand.Rand) []byte {
	switch r.IntN(5) {
	case 0:
		return Get(randomKey(r))
	case 1, 2:
		return Put(randomKey(r), randomBytes(r, 10))
	case 3:
		return Delete(randomKey(r))
	default:
		return Range(randomKey(r), randomKey(r), RangeOptions{Limit: r.Uint32N(5), KeysOnly: r.IntN(2) == 0})
	}
}

func randomOp(r *rand.Rand) []byte {
	switch r.IntN(9) {
	case 0:
		return CompareAndSwap(randomKey(r), randomBytes(r, 1), randomBytes(r, 1))
	case 1:
		return Create(randomKey(r), randomBytes(r, 10))
	case 2:
		return SwapAtRevision(randomKey(r), 1+r.Uint64N(20), randomBytes(r, 10))
	case 3, 4:
		var cs []Compare
		for range r.IntN(3) {
			cs = append(cs, Compare{Key: randomKey(r), Target: Target(1 + r.IntN(4)), Relation: Relation(1 + r.IntN(4)), Value: randomBytes(r, 2), Number: r.Uint64N(20)})
		}
		var branches [2][][]byte
		for i := range branches {
			for range r.IntN(4) {
				branches[i] = append(branches[i], randomSimple(r))
			}
		}
		return Txn(cs, branches[0], branches[1])
	case 5:
		if r.IntN(2) == 0 {
			return randomBytes(r, 20)
		}
		b := randomSimple(r)
		return b[:r.IntN(len(b))]
	default:
		return randomSimple(r)
	}
}

// machine is a key-value store in either form.
type machine interface {
	statemachine.StateMachine
	statemachine.Querier
}

// forms are both of them.
var forms = map[string]func(Limits) machine{
	"in memory":  func(l Limits) machine { return New(l) },
	"in a store": newStored,
}

// inBoth runs a test on a machine of each form.
func inBoth(t *testing.T, l Limits, test func(t *testing.T, s *driven)) {
	for name, open := range forms {
		t.Run(name, func(t *testing.T) { test(t, &driven{machine: open(l), t: t}) })
	}
}

func TestConformance(t *testing.T) {
	for name, open := range forms {
		t.Run(name, func(t *testing.T) {
			statetest.Run(t, statetest.Factory{
				New:            func() statemachine.StateMachine { return open(smallLimits()) },
				Gen:            randomOp,
				SplitInvariant: name == "in memory", // a store's digest covers which block changed what
			})
		})
	}
}

// What operations see in a store, and what they come to, does not depend on where blocks
// begin and end.
func TestBlocksOfAStoreDoNotMatter(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 0))
		var ops []statemachine.Op
		for i := range 200 {
			ops = append(ops, statemachine.Op{Index: i, Data: randomOp(r)})
		}
		play := func(size func() int) (results []statemachine.Result, content []string) {
			m := newStored(smallLimits())
			for h, left := uint64(1), ops; len(left) > 0; h++ {
				n := min(size(), len(left))
				results = append(results, m.Apply(statemachine.Block{Height: h, Ops: left[:n]})...)
				left = left[n:]
			}
			v, err := m.(interface{ Store() *store.Store }).Store().Last()
			require.NoError(t, err)
			for key, value := range v.Range(nil, nil) {
				content = append(content, fmt.Sprintf("%x=%x", key, value))
			}
			return results, content
		}
		results, content := play(func() int { return 1 })
		for _, size := range []func() int{func() int { return len(ops) }, func() int { return 1 + r.IntN(20) }} {
			again, same := play(size)
			require.Equal(t, results, again)
			require.Equal(t, content, same)
		}
	}
}

// driven is a machine, one operation to a block.
type driven struct {
	machine
	t      require.TestingT
	height uint64
}

func (s *driven) run(ops ...statemachine.Op) []statemachine.Result {
	s.height++
	res := s.Apply(statemachine.Block{Height: s.height, Ops: ops})
	require.Len(s.t, res, len(ops))
	return res
}

func (s *driven) do(op []byte) Result {
	out, err := DecodeResult(s.run(statemachine.Op{Data: op})[0])
	require.NoError(s.t, err)
	return out
}

func b(s string) []byte { return []byte(s) }

func TestRevisions(t *testing.T) { inBoth(t, DefaultLimits(), testRevisions) }

func testRevisions(t *testing.T, s *driven) {
	r := s.do(Put(b("k"), b("1")))
	require.Equal(t, KeyValue{Key: b("k"), Create: 1, Mod: 1, Version: 1, Omitted: true}, r.KV)
	require.False(t, r.Found)
	require.EqualValues(t, 1, r.Revision)
	r = s.do(Put(b("k"), b("2")))
	require.True(t, r.Found)
	require.Equal(t, KeyValue{Key: b("k"), Create: 1, Mod: 2, Version: 2, Omitted: true}, r.KV)
	s.do(Put(b("other"), b("x")))
	r = s.do(Get(b("k")))
	require.Equal(t, KeyValue{Key: b("k"), Value: b("2"), Create: 1, Mod: 2, Version: 2}, r.KV)
	require.EqualValues(t, 3, r.Revision, "reading is no change")
	require.True(t, s.do(Delete(b("k"))).Found)
	r = s.do(Delete(b("k")))
	require.False(t, r.Found)
	require.EqualValues(t, 4, r.Revision, "deleting what is not there is no change")
	require.False(t, s.do(Get(b("k"))).Found)
	require.Equal(t, uint64(5), s.do(Put(b("k"), nil)).KV.Create, "created anew")
	require.Empty(t, s.do(Get(b("k"))).KV.Value)
}

func TestConditionalWrites(t *testing.T) { inBoth(t, DefaultLimits(), testConditionalWrites) }

func testConditionalWrites(t *testing.T, s *driven) {
	r := s.do(CompareAndSwap(b("k"), nil, b("1")))
	require.ErrorIs(t, r.Err(), ErrCompareFailed, "the empty value is not the same as no key")
	require.False(t, r.Found)
	require.NoError(t, func() error { r := s.do(Create(b("k"), b("1"))); return r.Err() }())
	r = s.do(Create(b("k"), b("2")))
	require.ErrorIs(t, r.Err(), ErrCompareFailed)
	require.Equal(t, b("1"), r.KV.Value)
	require.EqualValues(t, 1, r.Revision, "a failed condition changes nothing")
	r = s.do(CompareAndSwap(b("k"), b("1"), b("2")))
	require.NoError(t, r.Err())
	require.EqualValues(t, 2, r.KV.Version)
	r = s.do(SwapAtRevision(b("k"), 1, b("3")))
	require.ErrorIs(t, r.Err(), ErrCompareFailed)
	r = s.do(SwapAtRevision(b("k"), 2, b("3")))
	require.NoError(t, r.Err())
}

func TestTransaction(t *testing.T) { inBoth(t, DefaultLimits(), testTransaction) }

func testTransaction(t *testing.T, s *driven) {
	move := Txn([]Compare{{Key: b("a"), Target: TargetValue, Relation: Equal, Value: b("10")}, Missing(b("lock"))},
		[][]byte{Put(b("a"), b("0")), Put(b("b"), b("10")), Get(b("a")), Prefix(nil, RangeOptions{})},
		[][]byte{Get(b("a"))})
	r := s.do(move)
	require.False(t, r.Succeeded)
	require.Len(t, r.Responses, 1)
	require.Zero(t, r.Revision)
	s.do(Put(b("a"), b("10")))
	r = s.do(move)
	require.True(t, r.Succeeded)
	require.EqualValues(t, 2, r.Revision, "one revision for the whole transaction")
	require.Equal(t, b("0"), r.Responses[2].KV.Value, "sees its own writes")
	require.Len(t, r.Responses[3].KVs, 2)
	for _, kv := range r.Responses[3].KVs {
		require.EqualValues(t, 2, kv.Mod)
	}
	s.do(Put(b("lock"), nil))
	require.False(t, s.do(Txn([]Compare{Missing(b("lock"))}, nil, nil)).Succeeded)
	require.True(t, s.do(Txn([]Compare{Exists(b("lock"))}, nil, nil)).Succeeded)
	require.True(t, s.do(Txn([]Compare{{Key: b("lock"), Target: TargetMod, Relation: Less, Number: 4}}, nil, nil)).Succeeded)
	require.True(t, s.do(Txn([]Compare{{Key: b("lock"), Target: TargetCreate, Relation: Greater, Number: 2}}, nil, nil)).Succeeded)
}

func TestRange(t *testing.T) { inBoth(t, DefaultLimits(), testRange) }

func testRange(t *testing.T, s *driven) {
	for i := range 30 {
		s.do(Put(fmt.Appendf(nil, "k%02d", i), b("v")))
	}
	s.do(Put([]byte{0xff, 0xff}, b("end")))
	keys := func(r Result) (out string) {
		for _, kv := range r.KVs {
			out += string(kv.Key) + " "
		}
		return strings.TrimSpace(out)
	}
	require.Equal(t, "k05 k06", keys(s.do(Range(b("k05"), b("k07"), RangeOptions{}))))
	r := s.do(Prefix(b("k1"), RangeOptions{Limit: 3, KeysOnly: true}))
	require.Equal(t, "k10 k11 k12", keys(r))
	require.True(t, r.More)
	require.True(t, r.KVs[0].Omitted)
	r = s.do(Range(Next(b("k12")), b("k15"), RangeOptions{Limit: 2}))
	require.Equal(t, "k13 k14", keys(r))
	require.False(t, r.More, "the limit is reached and nothing is left")
	require.Len(t, s.do(Prefix([]byte{0xff}, RangeOptions{})).KVs, 1)
	require.Len(t, s.do(Range(nil, nil, RangeOptions{})).KVs, 31)
	require.Empty(t, s.do(Range(b("z"), b("a"), RangeOptions{})).KVs)
}

func TestResultsStayWithinTheLimit(t *testing.T) {
	inBoth(t, smallLimits(), testResultsStayWithinTheLimit)
}

func testResultsStayWithinTheLimit(t *testing.T, s *driven) {
	l := smallLimits()
	value := bytes.Repeat(b("v"), l.MaxValueBytes)
	key := func(i int) []byte { return fmt.Appendf(nil, "key%05d", i) }
	for i := range 40 {
		s.do(Put(key(i), value))
	}
	size := func(op []byte) int {
		res := s.run(statemachine.Op{Data: op})
		require.Equal(t, statemachine.CodeOK, res[0].Code)
		return len(res[0].Data)
	}
	require.LessOrEqual(t, size(Prefix(nil, RangeOptions{})), l.MaxResultBytes)
	r := s.do(Prefix(nil, RangeOptions{}))
	require.True(t, r.More)
	require.NotEmpty(t, r.KVs)

	var gets, ranges [][]byte
	for i := range l.MaxTxnOps {
		gets = append(gets, Get(key(i)))
		ranges = append(ranges, Prefix(nil, RangeOptions{}))
	}
	require.LessOrEqual(t, size(Txn(nil, gets, nil)), l.MaxResultBytes)
	require.LessOrEqual(t, size(Txn(nil, ranges, nil)), l.MaxResultBytes)
	r = s.do(Txn(nil, append(ranges[:4:4], gets[:4]...), nil))
	omitted := 0
	for _, one := range r.Responses[4:] {
		require.True(t, one.Found)
		if one.KV.Omitted {
			omitted++
			require.Empty(t, one.KV.Value)
		} else {
			require.Equal(t, value, one.KV.Value)
		}
	}
	require.NotZero(t, omitted, "the ranges took the room: what does not fit is left out, and said so")
}

func TestRejections(t *testing.T) { inBoth(t, smallLimits(), testRejections) }

func testRejections(t *testing.T, s *driven) {
	l := smallLimits()
	long := bytes.Repeat(b("x"), 100)
	many := make([][]byte, l.MaxTxnOps+1)
	for i := range many {
		many[i] = Get(b("k"))
	}
	before := s.Digest()
	for name, c := range map[string]struct {
		op   []byte
		code statemachine.ResultCode
	}{
		"empty":                  {nil, statemachine.CodeMalformed},
		"unknown kind":           {[]byte{99}, statemachine.CodeUnsupported},
		"cut":                    {Put(b("k"), b("v"))[:4], statemachine.CodeMalformed},
		"trailing":               {append(Get(b("k")), 0), statemachine.CodeMalformed},
		"empty key":              {Put(nil, b("v")), statemachine.CodeMalformed},
		"empty key in condition": {Txn([]Compare{Exists(nil)}, nil, nil), statemachine.CodeMalformed},
		"long key":               {Put(long, nil), statemachine.CodeTooLarge},
		"long value":             {Put(b("k"), long), statemachine.CodeTooLarge},
		"long value in txn":      {Txn(nil, nil, [][]byte{Put(b("k"), long)}), statemachine.CodeTooLarge},
		"many operations":        {Txn(nil, many, nil), statemachine.CodeTooLarge},
		"txn in a txn":           {Txn(nil, [][]byte{Txn(nil, nil, nil)}, nil), statemachine.CodeUnsupported},
		"swap in a txn":          {Txn(nil, [][]byte{Create(b("k"), nil)}, nil), statemachine.CodeUnsupported},
		"query in a txn":         {Txn(nil, [][]byte{RevisionQuery()}, nil), statemachine.CodeUnsupported},
		"query":                  {DigestQuery(), statemachine.CodeUnsupported},
		"revision 0":             {SwapAtRevision(b("k"), 0, nil), statemachine.CodeMalformed},
		"relation":               {Txn([]Compare{{Key: b("k"), Target: TargetMod, Relation: 9}}, nil, nil), statemachine.CodeMalformed},
	} {
		r := s.do(c.op)
		require.Equal(t, c.code, r.Code, name)
		require.ErrorIs(t, r.Err(), ErrRejected, name)
	}
	require.Equal(t, before, s.Digest())
}

func TestSpace(t *testing.T) {
	l := smallLimits()
	l.MaxStateBytes = 4 * (EntryOverhead + 10)
	inBoth(t, l, testSpace)
}

func testSpace(t *testing.T, s *driven) {
	for i := range 4 {
		r := s.do(Put([]byte{'a' + byte(i)}, b("123456789")))
		require.NoError(t, r.Err())
	}
	digest := s.Digest()
	for _, op := range [][]byte{
		Put(b("e"), nil), Put(b("a"), b("1234567890")), Create(b("e"), nil),
		Txn(nil, [][]byte{Delete(b("a")), Put(b("x"), nil)}, nil),
	} {
		r := s.do(op)
		require.ErrorIs(t, r.Err(), ErrNoSpace)
	}
	require.Equal(t, digest, s.Digest(), "refused as a whole")
	r := s.do(Put(b("a"), b("9")))
	require.NoError(t, r.Err(), "shrinking is always possible")
	s.do(Delete(b("b")))
	r = s.do(Put(b("e"), nil))
	require.NoError(t, r.Err())
}

// The digest does not depend on how the content came about.
func TestDigestForgetsHistory(t *testing.T) {
	l := smallLimits()
	m := New(l)
	for i := range 50 {
		m.put([]byte{byte(i)}, []byte{1}, uint64(i)+1)
		m.Digest()
	}
	for i := 10; i < 50; i++ {
		m.delete([]byte{byte(i)}, 51)
		m.Digest()
	}
	fresh := New(l)
	for i := 9; i >= 0; i-- {
		fresh.put([]byte{byte(i)}, []byte{1}, uint64(i)+1)
	}
	fresh.revision = m.revision
	require.Equal(t, m.Digest(), fresh.Digest())
	fresh.revision++
	require.NotEqual(t, m.Digest(), fresh.Digest(), "the revision is covered")
	fresh.revision--
	fresh.put([]byte{3}, []byte{2}, 51)
	require.NotEqual(t, m.Digest(), fresh.Digest())
}

func TestQueries(t *testing.T) { inBoth(t, DefaultLimits(), testQueries) }

func testQueries(t *testing.T, s *driven) {
	ctx := context.Background()
	s.do(Put(b("k"), b("v")))
	ask := func(q []byte) Result {
		a, err := s.Query(ctx, q)
		require.NoError(t, err)
		r, err := DecodeAnswer(a)
		require.NoError(t, err)
		return r
	}
	require.Equal(t, b("v"), ask(Get(b("k"))).KV.Value)
	require.Len(t, ask(Prefix(b("k"), RangeOptions{})).KVs, 1)
	require.EqualValues(t, 1, ask(RevisionQuery()).Revision)
	s.do(Put(b("k"), b("w")))
	require.Equal(t, b("w"), ask(Get(b("k"))).KV.Value, "the last executed state")
	s.do(Put(b("k"), b("x")))
	s.do(Put(b("k"), b("y")))
	require.EqualValues(t, 4, ask(RevisionQuery()).Revision)
	digest := s.Digest() // a store answers with none that it did not take
	require.Equal(t, digest, ask(DigestQuery()).Digest)
	for _, q := range [][]byte{nil, Put(b("k"), nil), {77}} {
		_, err := s.Query(ctx, q)
		require.ErrorIs(t, err, ErrQuery)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.Query(done, Get(b("k")))
	require.True(t, errors.Is(err, context.Canceled))
}

// Queries from many goroutines see whole blocks: each block writes one number
// under two keys.
func TestQueriesSeeWholeBlocks(t *testing.T) { inBoth(t, DefaultLimits(), testQueriesSeeWholeBlocks) }

func testQueriesSeeWholeBlocks(t *testing.T, m *driven) {
	block := func(i int) {
		v := fmt.Append(nil, i)
		m.run(statemachine.Op{Data: Put(b("a"), v)}, statemachine.Op{Data: Put(b("b"), v)})
	}
	block(0)
	stop := make(chan struct{})
	started := make(chan struct{}, 3)
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			last := uint64(0)
			for first := true; ; first = false {
				a, err := m.Query(context.Background(), Prefix(nil, RangeOptions{}))
				if err != nil {
					t.Error(err)
					return
				}
				r, err := DecodeAnswer(a)
				if err != nil || len(r.KVs) != 2 || !bytes.Equal(r.KVs[0].Value, r.KVs[1].Value) || r.KVs[1].Mod < last {
					t.Errorf("torn or old: %v %+v", err, r)
					return
				}
				last = r.KVs[1].Mod
				if first {
					started <- struct{}{}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	for range 3 {
		<-started
	}
	for i := range 300 {
		block(i + 1)
		if i%10 == 0 {
			m.Digest()
		}
	}
	close(stop)
	wg.Wait()
}

func TestLimitsValidate(t *testing.T) {
	require.NoError(t, DefaultLimits().Validate())
	require.NoError(t, smallLimits().Validate())
	for name, change := range map[string]func(*Limits){
		"MaxKeyBytes":    func(l *Limits) { l.MaxKeyBytes = 0 },
		"MaxValueBytes":  func(l *Limits) { l.MaxValueBytes = 1 << 30 },
		"MaxTxnOps":      func(l *Limits) { l.MaxTxnOps = 0 },
		"MaxRangeKeys":   func(l *Limits) { l.MaxRangeKeys = -1 },
		"MaxResultBytes": func(l *Limits) { l.MaxResultBytes = 1000 },
		"MaxStateBytes":  func(l *Limits) { l.MaxStateBytes = 0 },
	} {
		l := DefaultLimits()
		change(&l)
		require.ErrorIs(t, l.Validate(), ErrLimits)
		require.ErrorContains(t, l.Validate(), name)
		require.NotEqual(t, DefaultLimits().Digest(), l.Digest())
	}
	other := smallLimits()
	other.MaxRangeKeys++
	s, err := New(smallLimits()).Snapshot()
	require.NoError(t, err)
	var buf bytes.Buffer
	_, err = s.WriteTo(&buf)
	require.NoError(t, err)
	require.ErrorIs(t, New(other).Restore(&buf), ErrSnapshot)
}

// What was frozen, by a snapshot or for a query, does not see the writes that follow,
// however they reuse memory; and equal contents have equal digests, whatever was
// frozen on the way to them.
func TestFrozenStatesStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, plain := New(smallLimits()), New(smallLimits())
		key := rapid.SliceOfN(rapid.ByteRange('a', 'd'), 1, 1)
		value := rapid.SliceOfN(rapid.Byte(), 0, 8)
		type frozenState struct {
			tree *btree.Map[string, *entry]
			want map[string]entry
		}
		var states []frozenState
		copied := func(tree *btree.Map[string, *entry]) map[string]entry {
			all := map[string]entry{}
			tree.Scan(func(k string, e *entry) bool {
				x := *e
				x.value, x.generation = append([]byte{}, e.value...), 0
				all[k] = x
				return true
			})
			return all
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				tree := m.freeze()
				states = append(states, frozenState{tree, copied(tree)})
			case 1:
				m.Digest()
			case 2:
				op := Delete(key.Draw(t, "key"))
				require.Equal(t, plain.apply(statemachine.Op{Data: op}, nil), m.apply(statemachine.Op{Data: op}, nil))
			default:
				op := Put(key.Draw(t, "key"), value.Draw(t, "value"))
				require.Equal(t, plain.apply(statemachine.Op{Data: op}, nil), m.apply(statemachine.Op{Data: op}, nil))
			}
			for i := range states {
				require.Equal(t, states[i].want, copied(states[i].tree))
			}
			for k, c := range m.cells {
				e, ok := m.tree.Get(k)
				require.Equal(t, c.entry != nil, ok)
				require.Same(t, c.entry, e)
			}
		}
		require.Equal(t, plain.Digest(), m.Digest())
		require.Len(t, m.cells, m.tree.Len(), "no cell stays of a key that is gone")
	})
}

// Results stay what they were, and none can be appended into another.
func TestResultsDoNotOverlap(t *testing.T) {
	m := New(DefaultLimits())
	var got, want [][]byte
	for i := range 2000 {
		op := Put([]byte{byte(i)}, make([]byte, i*7%3000))
		if i%3 == 0 {
			op = Get([]byte{byte(i / 2)})
		}
		d := m.Apply(statemachine.Block{Ops: []statemachine.Op{{Data: op}}})[0].Data
		require.Equal(t, len(d), cap(d))
		if s := &m.results; len(d) > slabLargest && s.used < len(s.piece) {
			d[0] ^= 1
			require.NotEqual(t, d, s.piece[s.used:min(s.used+len(d), len(s.piece))], "it keeps the piece alive")
			d[0] ^= 1
		}
		got, want = append(got, d), append(want, append([]byte(nil), d...))
	}
	require.Equal(t, want, got)
}

// A state that is restored replaces also what the trie has not been told yet, of keys that
// it has, of others, and of some that were deleted: a replica that is behind takes a
// snapshot amid an interval.
func TestRestoreForgetsWhatIsNotHashedYet(t *testing.T) {
	m, behind := New(smallLimits()), New(smallLimits())
	run := func(m *Machine, ops ...[]byte) {
		for _, op := range ops {
			require.Equal(t, statemachine.CodeOK, m.apply(statemachine.Op{Data: op}, nil).Code)
		}
	}
	run(m, Put([]byte("a"), []byte("1")), Put([]byte("b"), []byte("2")))
	want := m.Digest()
	snap, err := m.Snapshot()
	require.NoError(t, err)
	var buf bytes.Buffer
	_, err = snap.WriteTo(&buf)
	require.NoError(t, err)
	run(behind, Put([]byte("a"), []byte("x")), Put([]byte("b"), []byte("y")), Put([]byte("c"), []byte("z")))
	behind.Digest()
	run(behind, Put([]byte("a"), []byte("z")), Delete([]byte("b")), Put([]byte("d"), nil))
	require.NoError(t, behind.Restore(&buf))
	require.Equal(t, want, behind.Digest())
	for _, m := range []*Machine{m, behind} {
		run(m, Put([]byte("a"), []byte("3")), Put([]byte("d"), []byte("4")), Delete([]byte("b")))
	}
	require.Equal(t, m.Digest(), behind.Digest())
	require.Len(t, behind.cells, behind.tree.Len())
}

// Keys that come and go leave nothing behind for long, also if nobody asks for a digest:
// the limit of the content counts what is there.
func TestDeletedKeysAreForgotten(t *testing.T) {
	m, plain := New(DefaultLimits()), New(DefaultLimits())
	const perBlock = 5000
	for block := range 3 * maxDirty / perBlock {
		var ops []statemachine.Op
		for i := range perBlock {
			key := fmt.Appendf(nil, "%d/%d", block, i)
			ops = append(ops, statemachine.Op{Data: Put(key, nil)}, statemachine.Op{Data: Delete(key)})
		}
		m.Apply(statemachine.Block{Ops: ops})
		plain.Apply(statemachine.Block{Ops: ops})
		plain.Digest()
		require.Less(t, len(m.cells), maxDirty+perBlock)
		require.Less(t, len(m.dirty), maxDirty+perBlock)
	}
	require.Equal(t, plain.Digest(), m.Digest())
	require.Empty(t, m.cells)
}
