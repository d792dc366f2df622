package kv

import (
	"bytes"
	"sort"
	"testing"

	"github.com/parley-bft/parley/statemachine/kv/kvop"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Both forms against a plain map: single operations, results and content.
func TestAgainstModel(t *testing.T) {
	for name, open := range forms {
		t.Run(name, func(t *testing.T) { againstModel(t, open) })
	}
}

func againstModel(t *testing.T, open func(Limits) machine) {
	rapid.Check(t, func(t *rapid.T) {
		m := &driven{machine: open(smallLimits()), t: t}
		model := map[string]KeyValue{}
		revision := uint64(0)
		key := rapid.SliceOfN(rapid.ByteRange('a', 'c'), 1, 2)
		value := rapid.SliceOfN(rapid.Byte(), 0, 3)
		put := func(k, v []byte) {
			revision++
			kv, ok := model[string(k)]
			if !ok {
				kv = KeyValue{Key: k, Create: revision}
			}
			kv.Value, kv.Mod, kv.Version = append([]byte(nil), v...), revision, kv.Version+1
			model[string(k)] = kv
		}
		do := m.do
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), value.Draw(t, "value")
				do(Put(k, v))
				put(k, v)
			},
			"get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				r := do(Get(k))
				want, ok := model[string(k)]
				require.Equal(t, ok, r.Found)
				require.Equal(t, want, r.KV)
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				_, ok := model[string(k)]
				require.Equal(t, ok, do(Delete(k)).Found)
				if ok {
					revision++
					delete(model, string(k))
				}
			},
			"swap": func(t *rapid.T) {
				k, old, v := key.Draw(t, "key"), value.Draw(t, "old"), value.Draw(t, "value")
				have, ok := model[string(k)]
				r := do(CompareAndSwap(k, old, v))
				if ok && bytes.Equal(have.Value, old) {
					require.NoError(t, r.Err())
					put(k, v)
				} else {
					require.ErrorIs(t, r.Err(), ErrCompareFailed)
					require.Equal(t, have, r.KV)
				}
			},
			"range": func(t *rapid.T) {
				from, to := key.Draw(t, "from"), key.Draw(t, "to")
				limit := rapid.Uint32Range(1, 6).Draw(t, "limit")
				var want []KeyValue
				for k, kv := range model {
					if k >= string(from) && k < string(to) {
						want = append(want, kv)
					}
				}
				sort.Slice(want, func(i, j int) bool { return bytes.Compare(want[i].Key, want[j].Key) < 0 })
				more := len(want) > int(limit)
				if more {
					want = want[:limit]
				}
				r := do(Range(from, to, RangeOptions{Limit: limit}))
				require.Equal(t, want, r.KVs)
				require.Equal(t, more, r.More)
			},
			"": func(t *rapid.T) {
				size := int64(0)
				for k, kv := range model {
					size += entrySize(len(k), len(kv.Value))
				}
				var have totals
				keys := 0
				switch m := m.machine.(type) {
				case *Machine:
					m.Digest()
					if m.trie.Len() != len(model) {
						t.Fatalf("trie has %d keys", m.trie.Len())
					}
					have, keys = totals{m.revision, m.size}, m.tree.Len()
				case *store.Machine:
					v, err := m.Store().Last()
					require.NoError(t, err)
					have.load(v)
					for range v.Range([]byte{kvop.StoreSpace}, []byte{kvop.StoreSpace + 1}) {
						keys++
					}
				}
				if have != (totals{revision, size}) || keys != len(model) {
					t.Fatalf("%+v, %d keys; model %d, %d, %d", have, keys, revision, size, len(model))
				}
			},
		})
	})
}
