package statetest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/stretchr/testify/require"
)

// toy is a correct machine: a map from one-byte keys to byte strings, and a count
// of operations. flaw breaks one thing.
type toy struct {
	flaw  string
	mu    sync.Mutex // so that a snapshot that is not frozen is no worse than that
	M     map[string][]byte
	Count uint64
	last  []byte
	memo  crypto.Digest
}

func newToy(flaw string) *toy { return &toy{flaw: flaw, M: map[string][]byte{}} }

func (m *toy) Apply(b statemachine.Block) []statemachine.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []statemachine.Result
	for _, op := range b.Ops {
		if len(op.Data) < 2 {
			out = append(out, statemachine.Reject(statemachine.CodeMalformed, nil))
			continue
		}
		m.Count++
		key, value := string(op.Data[:1]), op.Data[1:]
		if m.flaw != "keeps input" {
			value = append([]byte(nil), value...)
		}
		m.M[key] = value
		result := append([]byte(key), value...)
		switch m.flaw {
		case "map order in a result":
			for k := range m.M {
				result = append(result, k...)
			}
		case "clock in a result":
			result = fmt.Append(result, time.Now().UnixNano())
		case "random":
			result = fmt.Append(result, rand.Uint64())
		case "result shares the state":
			result = value
		case "result shares the input":
			result = op.Data
		case "result reused":
			m.last = append(m.last[:0], result...)
			result = m.last
		case "depends on blocks":
			result = fmt.Append(result, b.Height)
		}
		out = append(out, statemachine.OK(result))
	}
	if m.flaw == "one result short" && len(out) > 3 {
		out = out[1:]
	}
	return out
}

func (m *toy) keys() []string {
	keys := make([]string, 0, len(m.M))
	for k := range m.M {
		keys = append(keys, k)
	}
	if m.flaw != "map order in the digest" && m.flaw != "map order in the snapshot" {
		sort.Strings(keys)
	}
	return keys
}

func (m *toy) Digest() crypto.Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flaw == "digest forgets to change" && !m.memo.IsZero() {
		return m.memo
	}
	if m.flaw == "digest changes the state" {
		m.Count++
	}
	var b []byte
	keys := m.keys()
	if m.flaw == "map order in the snapshot" {
		sort.Strings(keys)
	}
	for _, k := range keys {
		b = append(b, k...)
		if m.flaw != "digest ignores values" {
			b = append(b, m.M[k]...)
		}
	}
	if m.flaw != "digest ignores the count" {
		b = binary.BigEndian.AppendUint64(b, m.Count)
	}
	m.memo = crypto.Hash("test/toy", b)
	return m.memo
}

type pair struct {
	K string
	V []byte
}

type toyState struct {
	Count uint64
	Pairs []pair
}

type toySnapshot struct {
	m      *toy
	frozen []byte
}

func (s *toySnapshot) WriteTo(w io.Writer) (int64, error) {
	b := s.frozen
	if s.m.flaw == "snapshot not frozen" {
		b = s.m.encode()
	}
	n, err := w.Write(b)
	if s.m.flaw == "wrong length" {
		n++
	}
	return int64(n), err
}

func (s *toySnapshot) Close() error { return nil }

func (m *toy) encode() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := toyState{Count: m.Count}
	if m.flaw == "snapshot forgets the count" {
		state.Count = 0
	}
	for _, k := range m.keys() {
		state.Pairs = append(state.Pairs, pair{k, m.M[k]})
	}
	b, err := json.Marshal(state)
	if err != nil {
		panic(err)
	}
	return b
}

func (m *toy) Snapshot() (statemachine.Snapshot, error) {
	s := &toySnapshot{m: m}
	if m.flaw != "snapshot not frozen" {
		s.frozen = m.encode()
	}
	return s, nil
}

func (m *toy) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil && m.flaw != "swallows read errors" {
		return err
	}
	var state toyState
	if m.flaw == "restore panics" && len(b) < 5 {
		_ = b[5]
	}
	switch {
	case m.flaw == "ignores what follows":
		err = json.NewDecoder(bytes.NewReader(b)).Decode(&state)
	default:
		err = json.Unmarshal(b, &state)
	}
	if err != nil && m.flaw != "swallows read errors" {
		return err
	}
	if m.flaw != "restore merges" {
		m.M = map[string][]byte{}
	}
	m.Count = state.Count
	for _, p := range state.Pairs {
		m.M[p.K] = p.V
	}
	if m.flaw == "restore forgets the count" {
		m.Count = 0
	}
	return nil
}

func toyFactory(flaw string) Factory {
	return Factory{
		New: func() statemachine.StateMachine { return newToy(flaw) },
		Gen: func(r *rand.Rand) []byte {
			b := make([]byte, r.IntN(6))
			for i := range b {
				b[i] = byte('a' + r.IntN(26))
			}
			return b
		},
		Seeds:          3,
		SplitInvariant: true,
	}
}

func TestSoundMachinePasses(t *testing.T) {
	Run(t, toyFactory(""))
	require.Empty(t, Check(toyFactory("")))
}

// Each flaw is caught, and by the check that is meant for it.
func TestBrokenMachinesAreCaught(t *testing.T) {
	for flaw, want := range map[string]string{
		"one result short":           "one result for each operation",
		"map order in a result":      "same blocks, same results and digests",
		"clock in a result":          "same blocks, same results and digests",
		"random":                     "same blocks, same results and digests",
		"map order in the digest":    "same blocks, same results and digests",
		"map order in the snapshot":  "snapshot bytes are a function of the state",
		"digest changes the state":   "digest is stable between blocks",
		"digest ignores values":      "digest tells states apart",
		"digest ignores the count":   "digest tells states apart",
		"digest forgets to change":   "digest tells states apart",
		"keeps input":                "inputs are not kept",
		"result shares the input":    "inputs are not kept",
		"result shares the state":    "results are not shared with the state",
		"result reused":              "results are not shared with the state",
		"wrong length":               "snapshot bytes are a function of the state",
		"snapshot not frozen":        "snapshot stays frozen",
		"snapshot forgets the count": "restore gives the same state and future",
		"restore forgets the count":  "restore gives the same state and future",
		"restore merges":             "restore replaces what was there",
		"restore panics":             "damaged snapshots are refused",
		"ignores what follows":       "damaged snapshots are refused",
		"swallows read errors":       "damaged snapshots are refused",
		"depends on blocks":          "block boundaries do not matter",
	} {
		t.Run(flaw, func(t *testing.T) {
			var names []string
			for _, v := range Check(toyFactory(flaw)) {
				names = append(names, v.Check)
			}
			require.Contains(t, names, want)
		})
	}
}
