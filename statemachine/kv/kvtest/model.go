package kvtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// Model says how operations of a key-value store must end, those of a [Workload] and all
// others: a plain map, with nothing of the store's but its types and the reading of
// results. Results that are cut off for their size are not among what it knows.
type Model struct {
	w        *Workload
	content  map[string]entry
	revision uint64
	size     int64
}

type entry struct {
	value                string
	create, mod, version uint64
}

// NewModel returns the model of an empty store.
func NewModel(w *Workload) *Model { return &Model{w: w, content: map[string]entry{}} }

// Begin begins a block.
func (*Model) Begin(statemachine.Time) {}

// Judge runs an operation, and says how its result is not what it must be.
func (m *Model) Judge(_ crypto.PublicKey, op []byte, got statemachine.Result) error {
	want := m.run(op)
	if got.Code != want.Code {
		return fmt.Errorf("it ends with code %d, in the model with %d", got.Code, want.Code)
	}
	if want.Kind == 0 {
		if len(got.Data) > 0 {
			return fmt.Errorf("it is rejected with %d bytes", len(got.Data))
		}
		return nil
	}
	have, err := kv.DecodeResult(got)
	if err != nil {
		return err
	}
	if h, w := fmt.Sprintf("%+v", have), fmt.Sprintf("%+v", want); h != w {
		return fmt.Errorf("it answers %s, the model %s", h, w)
	}
	return nil
}

// run is an operation. A rejection that says no more than its code has no kind.
func (m *Model) run(op []byte) kv.Result {
	q, code := m.w.read(op)
	if code != statemachine.CodeOK {
		return kv.Result{Code: code}
	}
	var r kv.Result
	next := m.revision + 1
	switch q.kind {
	case kv.KindRevision, kv.KindDigest:
		return kv.Result{Code: statemachine.CodeUnsupported}
	case kv.KindSwap:
		e, found := m.content[q.key]
		holds := q.condition == 0 && !found || q.condition == 1 && found && e.value == q.old || q.condition == 2 && found && e.mod == q.number
		switch {
		case !holds:
			r = kv.Result{Kind: kv.KindSwap, Code: kv.CodeCompareFailed, Found: found}
			if found {
				r.KV = shown(q.key, e, false)
			}
		case !m.room(&q):
			return kv.Result{Code: kv.CodeNoSpace}
		default:
			m.put(q.key, q.value, next)
			r = kv.Result{Kind: kv.KindSwap, Found: true, KV: shown(q.key, m.content[q.key], true)}
		}
	case kv.KindTxn:
		if r = m.txn(&q, next); r.Code != statemachine.CodeOK {
			return r
		}
	default:
		if q.kind == kv.KindPut && !m.room(&q) {
			return kv.Result{Code: kv.CodeNoSpace}
		}
		r = m.simple(&q, next)
	}
	r.Revision = m.revision
	for i := range r.Responses {
		r.Responses[i].Revision = m.revision
	}
	return r
}

func (m *Model) txn(q *request, next uint64) kv.Result {
	r := kv.Result{Kind: kv.KindTxn, Succeeded: true}
	for _, c := range q.compares {
		r.Succeeded = r.Succeeded && m.holds(&c)
	}
	branch := q.then
	if !r.Succeeded {
		branch = q.otherwise
	}
	most := int64(0)
	for i := range branch {
		if branch[i].kind == kv.KindPut {
			most += size(branch[i].key, branch[i].value)
		}
	}
	if most > 0 && m.size+most > m.w.limits.MaxStateBytes {
		return kv.Result{Code: kv.CodeNoSpace}
	}
	for i := range branch {
		r.Responses = append(r.Responses, m.simple(&branch[i], next))
	}
	return r
}

func (m *Model) simple(q *request, next uint64) kv.Result {
	r := kv.Result{Kind: q.kind}
	e, found := m.content[q.key]
	switch q.kind {
	case kv.KindGet:
		if r.Found = found; found {
			r.KV = shown(q.key, e, false)
		}
	case kv.KindPut:
		m.put(q.key, q.value, next)
		r.Found, r.KV = found, shown(q.key, m.content[q.key], true)
	case kv.KindDelete:
		if r.Found = found; found {
			m.size -= size(q.key, e.value)
			delete(m.content, q.key)
			m.revision = next
		}
	case kv.KindRange:
		most := m.w.limits.MaxRangeKeys
		if q.limit > 0 {
			most = min(most, int(q.limit))
		}
		for _, key := range slices.Sorted(maps.Keys(m.content)) {
			if key < q.key || q.end != "" && key >= q.end {
				continue
			}
			if r.More = len(r.KVs) == most; r.More {
				break
			}
			r.KVs = append(r.KVs, shown(key, m.content[key], q.keysOnly))
		}
	}
	return r
}

func size(key, value string) int64 { return kv.EntryOverhead + int64(len(key)) + int64(len(value)) }

// room tells whether the value may be put: what it replaces makes room for it.
func (m *Model) room(q *request) bool {
	growth := size(q.key, q.value)
	if e, found := m.content[q.key]; found {
		growth -= size(q.key, e.value)
	}
	return growth <= 0 || m.size+growth <= m.w.limits.MaxStateBytes
}

func (m *Model) put(key, value string, next uint64) {
	e, found := m.content[key]
	if found {
		m.size -= size(key, e.value)
	} else {
		e.create = next
	}
	e.value, e.mod, e.version = value, next, e.version+1
	m.content[key] = e
	m.size += size(key, value)
	m.revision = next
	if strings.HasPrefix(key, Prefix) {
		m.w.seen[key] = e
	}
}

func (m *Model) holds(c *kv.Compare) bool {
	e := m.content[string(c.Key)]
	order := 0
	switch c.Target {
	case kv.TargetValue:
		order = strings.Compare(e.value, string(c.Value))
	case kv.TargetVersion:
		order = cmp.Compare(e.version, c.Number)
	case kv.TargetCreate:
		order = cmp.Compare(e.create, c.Number)
	case kv.TargetMod:
		order = cmp.Compare(e.mod, c.Number)
	}
	return map[kv.Relation]bool{kv.Equal: order == 0, kv.NotEqual: order != 0, kv.Less: order < 0, kv.Greater: order > 0}[c.Relation]
}

// shown is a key as results tell of it.
func shown(key string, e entry, omitted bool) kv.KeyValue {
	r := kv.KeyValue{Key: []byte(key), Create: e.create, Mod: e.mod, Version: e.version, Omitted: omitted}
	if !omitted {
		r.Value = []byte(e.value)
	}
	return r
}
