package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

func TestReadRecords(t *testing.T) {
	in := "# a comment\n\na\tb c=d\nname 1.0 abc\nk=v w\r\nempty\t\n"
	records, err := readRecords(strings.NewReader(in), kv.DefaultLimits())
	require.NoError(t, err)
	want := []record{
		{[]byte("a"), []byte("b c=d"), 3},
		{[]byte("name"), []byte("1.0 abc"), 4},
		{[]byte("k"), []byte("v w"), 5},
		{[]byte("empty"), []byte{}, 6},
	}
	require.Equal(t, want, records)
}

func TestReadRecordsNamesBadLines(t *testing.T) {
	limits := kv.DefaultLimits()
	in := "good value\nbad\n\tno key\n" + strings.Repeat("k", limits.MaxKeyBytes+1) + " v\nk " + strings.Repeat("v", limits.MaxValueBytes+1) + "\n"
	_, err := readRecords(strings.NewReader(in), limits)
	require.Error(t, err)
	for _, says := range []string{"4 bad lines, nothing was loaded", "line 2: no tab", "line 3: the key is empty", "line 4: the key has 4097 bytes", "line 5: the value has"} {
		require.ErrorContains(t, err, says)
	}
	_, err = readRecords(strings.NewReader(strings.Repeat("x\n", 50)), limits)
	require.ErrorContains(t, err, "and 40 more")
	_, err = readRecords(strings.NewReader("a b\n"+strings.Repeat("x", maxLine+1)), limits)
	require.ErrorContains(t, err, "line 2 is longer than")
}

func FuzzReadRecords(f *testing.F) {
	f.Add([]byte("a\tb\nc d\ne=f\n# x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := readRecords(bytes.NewReader(data), kv.DefaultLimits())
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, r := range records {
			fmt.Fprintf(&again, "%s\t%s\n", r.key, r.value)
		}
		// What was read, written down, reads the same, unless a key looks like a
		// comment or a value ends like a line of another system.
		back, err := readRecords(&again, kv.DefaultLimits())
		require.NoError(t, err)
		if !bytes.Contains(data, []byte("#")) && !bytes.Contains(data, []byte("\r")) {
			require.Len(t, back, len(records))
			for i := range back {
				require.Equal(t, records[i].key, back[i].key)
				require.Equal(t, records[i].value, back[i].value)
			}
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix, key := rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "prefix"), rapid.SliceOf(rapid.Byte()).Draw(t, "key")
		end := prefixEnd(string(prefix))
		in := bytes.Compare(key, prefix) >= 0 && (end == nil || bytes.Compare(key, end) < 0)
		require.Equal(t, bytes.HasPrefix(key, prefix), in)
	})
}

// fakeCluster executes puts, after a moment, and can be told what to do first.
type fakeCluster struct {
	mu     sync.Mutex
	puts   []string
	faults map[string][]error // by operation: what the first attempts come to
	delay  func(op string) time.Duration
}

func (f *fakeCluster) Do(ctx context.Context, op []byte) (client.Answer, error) {
	if f.delay != nil {
		select {
		case <-time.After(f.delay(string(op))):
		case <-ctx.Done():
			return client.Answer{}, fmt.Errorf("%w: %w", client.ErrOutcomeUnknown, ctx.Err())
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if errs := f.faults[string(op)]; len(errs) > 0 {
		f.faults[string(op)] = errs[1:]
		return client.Answer{}, errs[0]
	}
	f.puts = append(f.puts, string(op))
	m := kv.New(kv.DefaultLimits())
	return client.Answer{Result: m.Apply(statemachine.Block{Height: 1, Ops: []statemachine.Op{{Data: op}}})[0]}, nil
}

func (f *fakeCluster) Receipt(context.Context, client.Ref, []byte) (*receipt.Receipt, error) {
	return new(receipt.Receipt), nil
}

func testRecords(n, keys int) []record {
	records := make([]record, n)
	for i := range records {
		records[i] = record{key: fmt.Appendf(nil, "k%d", i%keys), value: fmt.Appendf(nil, "v%d", i), line: i + 1}
	}
	return records
}

func TestLoaderKeepsTheOrderOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := &fakeCluster{delay: func(string) time.Duration { n++; return time.Duration(n%7) * time.Millisecond }}
		records := testRecords(500, 20)
		l := &loader{client: &lockedDelay{f: f}, concurrency: 64}
		l.run(t.Context(), records)
		require.Equal(t, progress{done: 500}, l.progress())
		last := make(map[string]int)
		place := make(map[string]int)
		for i := range records {
			place[string(kv.Put(records[i].key, records[i].value))] = i
		}
		for _, op := range f.puts {
			i := place[op]
			key := string(records[i].key)
			require.GreaterOrEqual(t, i, last[key])
			last[key] = i
		}
	})
}

// lockedDelay makes the choice of the delay one goroutine's at a time.
type lockedDelay struct {
	mu sync.Mutex
	f  *fakeCluster
}

func (l *lockedDelay) Do(ctx context.Context, op []byte) (client.Answer, error) {
	l.mu.Lock()
	d := l.f.delay("")
	l.mu.Unlock()
	plain := &fakeCluster{faults: l.f.faults, delay: func(string) time.Duration { return d }}
	a, err := plain.Do(ctx, op)
	l.f.mu.Lock()
	l.f.puts = append(l.f.puts, string(op))
	l.f.mu.Unlock()
	return a, err
}

func (l *lockedDelay) Receipt(ctx context.Context, ref client.Ref, op []byte) (*receipt.Receipt, error) {
	return l.f.Receipt(ctx, ref, op)
}

// A record is put anew only when it is certain that it has not run.
func TestLoaderRepeatsOnlyWhatIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := testRecords(4, 4)
		op := func(i int) string { return string(kv.Put(records[i].key, records[i].value)) }
		f := &fakeCluster{faults: map[string][]error{
			op(0): {client.ErrExpired, client.ErrOverloaded, client.ErrExpired},
			op(1): {fmt.Errorf("%w: %w", client.ErrOutcomeUnknown, client.ErrOverloaded)},
			op(2): {client.ErrSuperseded},
			op(3): {&client.RefusedError{Reason: api.Reason_REASON_BUSY}},
		}}
		l := &loader{client: f, concurrency: 2}
		l.run(t.Context(), records)
		require.ElementsMatch(t, []string{op(0), op(3)}, f.puts)
		require.Equal(t, 4, l.again)
		require.Equal(t, 1, l.unknown)
		require.Equal(t, progress{done: 2, failed: 2}, l.progress())
		lines := []int{l.failures[0].record.line, l.failures[1].record.line}
		require.ElementsMatch(t, []int{2, 3}, lines)
	})
}

func TestLoaderStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		l := &loader{client: &fakeCluster{delay: func(string) time.Duration { return time.Hour }}, concurrency: 8}
		l.run(ctx, testRecords(100, 3))
		require.Zero(t, l.progress().done)
		require.Equal(t, 3, l.unknown, "one of each key was under way")

		f := &fakeCluster{faults: make(map[string][]error)}
		records := testRecords(1000, 1000)
		for _, r := range records {
			f.faults[string(kv.Put(r.key, r.value))] = []error{errors.New("no")}
		}
		l = &loader{client: f, concurrency: 8}
		l.run(t.Context(), records)
		require.Less(t, l.progress().failed, 2*maxFailures, "it gives up when everything fails")
	})
}

func TestLoaderMeasuresThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := &fakeCluster{delay: func(string) time.Duration {
			if n++; n == 6 {
				return 3 * time.Second
			}
			return time.Millisecond
		}}
		l := &loader{client: f, concurrency: 1, wanted: sample(10, 4), keep: func(*record, *receipt.Receipt) error { return nil }}
		l.run(t.Context(), testRecords(10, 10))
		require.Equal(t, 3*time.Second, l.pause)
		require.Equal(t, 5, l.pauseAt)
		require.Equal(t, progress{done: 10, receipts: 4}, l.progress())
	})
}

func TestExpectations(t *testing.T) {
	v := &verifier{exactlyOnce: true}
	want := expectations([]record{{[]byte("a"), []byte("1"), 1}, {[]byte("b"), []byte("1"), 2}, {[]byte("a"), []byte("2"), 3}})
	row := new(verifyRow)
	v.compare(row, "a", want["a"], &kv.KeyValue{Value: []byte("2"), Version: 2})
	require.Equal(t, 1, row.Equal)
	v.compare(row, "a", want["a"], &kv.KeyValue{Value: []byte("2"), Version: 3})
	v.compare(row, "a", want["a"], &kv.KeyValue{Value: []byte("1"), Version: 2})
	v.compare(row, "b", want["b"], nil)
	require.Equal(t, verifyRow{Equal: 1, Missing: 1, Differ: 1, Versions: 1, Examples: row.Examples}, *row)
	require.Contains(t, row.Examples[0], "line 3, key a: version 3, not 2")
}

// What one liar says about heights and views moves nothing.
func TestStatesBelieveNoMinority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := clusterState{Primary: -1, Replicas: make([]replicaState, 4)}
		honest := rapid.Uint64Range(1, 100)
		low, high := ^uint64(0), uint64(0)
		liar := rapid.IntRange(0, 3).Draw(t, "liar")
		for i := range s.Replicas {
			r := &s.Replicas[i]
			r.Weight, r.Reachable = 1, true
			v := honest.Draw(t, "view")
			if i == liar {
				v = rapid.Uint64().Draw(t, "lie")
			} else {
				low, high = min(low, v), max(high, v)
			}
			r.Status = &api.StatusResponse{View: v, Committed: v, Executed: v, Primary: uint32(v % 4)}
		}
		s.summarise(1)
		require.LessOrEqual(t, low, s.View)
		require.GreaterOrEqual(t, high, s.View)
		require.Equal(t, s.View, s.Committed)
	})
}
