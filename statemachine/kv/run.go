package kv

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv/kvop"
)

// content is what operations run on: that of a [Machine] in memory, or a transaction of
// a store. How an operation ends is decided here, once for both.
type content interface {
	ordered
	// get returns the entry of key, or nil. It is valid until the next write.
	get(key []byte) *entry
	// put and delete make next the revision if they change anything.
	put(key, value []byte, next uint64) (e *entry, existed bool)
	delete(key []byte, next uint64) (existed bool)
	// fits tells whether there is room for so much more.
	fits(growth int64) bool
	// at is the revision.
	at() uint64
}

// ordered is a content that can be walked over.
type ordered interface {
	// ascend calls do with the entries from key on until it returns false.
	ascend(from string, do func(key string, e *entry) bool)
}

// run is operations on a content.
type run struct {
	content
	limits *Limits
	// meter counts what it reads. A transaction that writes cannot end in the midst of that:
	// its ranges, which the length of its result bounds, are counted when they have run, and none
	// that has any begins when nothing is left.
	meter *statemachine.Meter
}

// operation runs an operation and appends its result to out, which is empty. A
// rejection without detail is nil.
func (r run) operation(out, data []byte) ([]byte, statemachine.ResultCode) {
	var op operation
	if code := r.limits.decode(data, &op); code != statemachine.CodeOK {
		return nil, code
	}
	next := r.at() + 1
	// The revision goes in front when it is known; the body follows.
	out = append(out, 0, 0, 0, 0, 0, 0, 0, 0)
	code := statemachine.CodeOK
	switch op.kind {
	case KindSwap:
		out, code = r.swap(out, &op, next)
	case KindTxn:
		out, code = r.txn(out, &op, next)
	case KindRevision, KindDigest:
		return nil, statemachine.CodeUnsupported
	default:
		if op.kind == KindPut && !r.room(op.key, op.value) {
			return nil, CodeNoSpace
		}
		out, code = r.simple(out, &op, next)
	}
	switch code {
	case CodeNoSpace, statemachine.CodeTooMuchWork, statemachine.CodeBlockWorked:
		return nil, code
	}
	canon.AppendUint64(out[:0], r.at())
	return out, code
}

// simple runs Get, Put, Delete or Range, which cannot fail once decoded (and
// space was found), at revision next, and appends the body of its result.
func (r run) simple(out []byte, op *operation, next uint64) ([]byte, statemachine.ResultCode) {
	switch op.kind {
	case KindGet:
		e := r.get(op.key)
		if code := r.reads(e); code != statemachine.CodeOK {
			return nil, code
		}
		return r.limits.appendGet(out, op.key, e), statemachine.CodeOK
	case KindPut:
		e, existed := r.put(op.key, op.value, next)
		out = canon.AppendBool(append(out, byte(KindPut)), existed)
		return appendKV(out, op.key, e, true), statemachine.CodeOK
	case KindDelete:
		return canon.AppendBool(append(out, byte(KindDelete)), r.delete(op.key, next)), statemachine.CodeOK
	default:
		return r.limits.appendRange(out, r.content, op, r.meter)
	}
}

// reads counts an entry whose value goes into the result.
func (r run) reads(e *entry) statemachine.ResultCode {
	if e == nil {
		return r.meter.Take(1)
	}
	return r.meter.Take(statemachine.WorkOf(len(e.value)))
}

// room tells whether value may be put under key.
func (r run) room(key, value []byte) bool {
	// A new key needs the most, so the old value matters only when space runs out.
	if r.fits(entrySize(len(key), len(value))) {
		return true
	}
	e := r.get(key)
	return e != nil && r.fits(int64(len(value)-len(e.value)))
}

func (r run) swap(out []byte, op *operation, next uint64) ([]byte, statemachine.ResultCode) {
	e := r.get(op.key)
	found := e != nil
	holds := false
	switch op.condition {
	case kvop.IfAbsent:
		holds = !found
	case kvop.IfValue:
		holds = found && bytes.Equal(e.value, op.old)
	case kvop.IfRevision:
		holds = found && e.mod == op.revision
	}
	out = append(out, byte(KindSwap))
	if !holds {
		if code := r.reads(e); code != statemachine.CodeOK {
			return nil, code
		}
		out = canon.AppendBool(out, found)
		if found {
			out = appendKV(out, op.key, e, false)
		}
		return out, CodeCompareFailed
	}
	if !r.room(op.key, op.value) {
		return nil, CodeNoSpace
	}
	e, _ = r.put(op.key, op.value, next)
	out = canon.AppendBool(out, true)
	return appendKV(out, op.key, e, true), statemachine.CodeOK
}

func (r run) txn(out []byte, op *operation, next uint64) ([]byte, statemachine.ResultCode) {
	succeeded := true
	for i := range op.compares {
		if !r.holds(&op.compares[i]) {
			succeeded = false
			break
		}
	}
	branch := op.then
	if !succeeded {
		branch = op.otherwise
	}
	// Space is found for the branch as a whole before anything is written: what its
	// puts can add at most, whatever they replace.
	var inner operation
	most, work := int64(0), int64(0)
	writes, ranges := false, false
	for _, b := range branch {
		r.limits.decode(b, &inner)
		switch inner.kind {
		case KindPut:
			most += entrySize(len(inner.key), len(inner.value))
			writes = true
		case KindDelete:
			writes = true
		case KindRange:
			ranges = true
		case KindGet:
			if e := r.get(inner.key); e != nil {
				work += statemachine.WorkOf(len(e.value))
			}
		}
	}
	if !r.fits(most) {
		return nil, CodeNoSpace
	}
	if code := r.meter.Take(work); code != statemachine.CodeOK {
		return nil, code
	}
	if writes && ranges && r.meter.Exhausted() {
		return nil, statemachine.CodeBlockWorked
	}
	out = canon.AppendBool(append(out, byte(KindTxn)), succeeded)
	out = canon.AppendUint32(out, uint32(len(branch)))
	room := *r.limits
	for i, b := range branch {
		r.limits.decode(b, &inner)
		// What the operations after this one need at the least stays reserved.
		room.MaxResultBytes = r.limits.MaxResultBytes - (len(branch)-1-i)*(bodyFixed+entryFixed+r.limits.MaxKeyBytes)
		var code statemachine.ResultCode
		if out, code = r.inBranch(out, &inner, next, &room, writes); code != statemachine.CodeOK {
			return nil, code
		}
	}
	return out, statemachine.CodeOK
}

// inBranch is simple with the room that is left for the result. What it gets is counted; what
// is in a range is, too, and ends the transaction if it is too much and there are no writes.
func (r run) inBranch(out []byte, op *operation, next uint64, room *Limits, writes bool) ([]byte, statemachine.ResultCode) {
	switch {
	case op.kind == KindGet:
		e := r.get(op.key)
		return room.appendGet(out, op.key, e), statemachine.CodeOK
	case op.kind == KindRange && writes:
		at := len(out)
		out, _ = room.appendRange(out, r.content, op, nil)
		r.meter.Charge(int64(binary.BigEndian.Uint32(out[at+2:])) + int64(len(out)-at)>>10)
		return out, statemachine.CodeOK
	case op.kind == KindRange:
		return room.appendRange(out, r.content, op, r.meter)
	default:
		return r.simple(out, op, next)
	}
}

func (r run) holds(c *Compare) bool {
	e := r.get(c.Key)
	if e == nil {
		e = &entry{}
	}
	var order int
	switch c.Target {
	case TargetValue:
		order = bytes.Compare(e.value, c.Value)
	case TargetVersion:
		order = cmp.Compare(e.version, c.Number)
	case TargetCreate:
		order = cmp.Compare(e.create, c.Number)
	case TargetMod:
		order = cmp.Compare(e.mod, c.Number)
	}
	switch c.Relation {
	case Equal:
		return order == 0
	case NotEqual:
		return order != 0
	case Less:
		return order < 0
	default:
		return order > 0
	}
}
