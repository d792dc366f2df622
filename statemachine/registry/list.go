package registry

import (
	"bytes"
	"strings"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store"
)

// Lists come in pages: Limit is the largest number of entries wanted, 0 for as many as
// the registry gives. If [Result.More] says that there are more, ask again with After as
// that of the last entry.

// page appends to a list what is at the keys with a prefix, after one of them, until the
// list is full. load turns a key without the prefix, and its value, into an entry; false
// leaves it out. Each entry's size is that of its encoding.
func page[T any](r *reading, out *Result, list *[]T, limit uint32, prefix string, after []byte, load func(key, value []byte) (T, func(*canon.Codec), bool)) {
	most := r.cfg.Limits.MaxPage
	if limit > 0 && int64(limit) < int64(most) {
		most = int(limit)
	}
	from := []byte(prefix)
	if after != nil {
		from = append(append(from, after...), 0)
	}
	size := pageRoom
	seen := 0
	for key, value := range r.r.Range(from, store.PrefixEnd([]byte(prefix))) {
		if seen++; seen > most {
			out.More = true
			return
		}
		entry, code, ok := load(bytes.TrimPrefix(key, []byte(prefix)), value)
		if !ok {
			continue
		}
		if size += len(canon.Encode(code)); size > r.cfg.Limits.MaxResultBytes {
			out.More = true
			return
		}
		*list = append(*list, entry)
	}
}

// entry is the load of entries that are their own encoding.
func entry[T any](code func(*T) func(*canon.Codec)) func(key, value []byte) (T, func(*canon.Codec), bool) {
	return func(key, value []byte) (T, func(*canon.Codec), bool) {
		v := new(T)
		decodeEntry(key, value, code(v))
		return *v, code(v), true
	}
}

// after is a cursor of a text; nil to begin.
func after(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// afterNumber is a cursor of a number; nil to begin.
func afterNumber(n uint64) []byte {
	if n == 0 {
		return nil
	}
	return canon.AppendUint64(nil, n)
}

// ListCollections asks for the collections in the order of their names.
type ListCollections struct {
	After string
	Limit uint32
}

// Kind is KindListCollections.
func (*ListCollections) Kind() Kind { return KindListCollections }
func (o *ListCollections) code(c *canon.Codec) {
	c.String(&o.After, huge)
	c.Uint32(&o.Limit)
}
func (o *ListCollections) check(*Limits) error { return checkText("after", o.After, MaxNameBytes) }
func (o *ListCollections) read(r *reading) (*Result, byte, error) {
	out := new(Result)
	page(r, out, &out.Collections, o.Limit, "c/", after(o.After), entry(func(v *Collection) func(*canon.Codec) { return v.code }))
	return out, formCollections, nil
}

// ListAuthorities asks for the authorities of a collection in the order of their names.
type ListAuthorities struct {
	Collection string
	After      Party
	Limit      uint32
}

// Kind is KindListAuthorities.
func (*ListAuthorities) Kind() Kind { return KindListAuthorities }
func (o *ListAuthorities) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	codeParty(c, &o.After)
	c.Uint32(&o.Limit)
}
func (o *ListAuthorities) check(*Limits) error {
	return first(checkName("collection", o.Collection), optionalParty("after", o.After))
}
func (o *ListAuthorities) read(r *reading) (*Result, byte, error) {
	out := new(Result)
	page(r, out, &out.Authorities, o.Limit, "u/"+o.Collection+"/", after(string(o.After)), entry(func(v *Authority) func(*canon.Codec) { return v.code }))
	return out, formAuthorities, nil
}

// ListRecords asks for the records of a collection in the order of their ids.
type ListRecords struct {
	Collection string
	After      string
	Limit      uint32
}

// Kind is KindListRecords.
func (*ListRecords) Kind() Kind { return KindListRecords }
func (o *ListRecords) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	c.String(&o.After, huge)
	c.Uint32(&o.Limit)
}
func (o *ListRecords) check(l *Limits) error {
	return first(checkName("collection", o.Collection), checkText("after", o.After, l.MaxIDBytes))
}
func (o *ListRecords) read(r *reading) (*Result, byte, error) {
	out := new(Result)
	page(r, out, &out.Records, o.Limit, "r/"+o.Collection+"/", after(o.After), entry(func(v *Record) func(*canon.Codec) { return v.code }))
	return out, formRecords, nil
}

// ListOwned asks for the records that a party owns, in the order of collection and id.
type ListOwned struct {
	Owner Party
	// AfterCollection and AfterID are those of the last record of the page before.
	AfterCollection, AfterID string
	Limit                    uint32
}

// Kind is KindListOwned.
func (*ListOwned) Kind() Kind { return KindListOwned }
func (o *ListOwned) code(c *canon.Codec) {
	codeParty(c, &o.Owner)
	c.String(&o.AfterCollection, huge)
	c.String(&o.AfterID, huge)
	c.Uint32(&o.Limit)
}
func (o *ListOwned) check(l *Limits) error {
	if o.AfterCollection == "" && o.AfterID == "" {
		return checkParty("owner", o.Owner)
	}
	return first(checkParty("owner", o.Owner), l.checkRecord("", o.AfterCollection, o.AfterID))
}
func (o *ListOwned) read(r *reading) (*Result, byte, error) {
	out := new(Result)
	var from []byte
	if o.AfterID != "" {
		from = []byte(o.AfterCollection + "/" + o.AfterID)
	}
	page(r, out, &out.Records, o.Limit, "o/"+string(o.Owner)+"\x00", from, func(key, _ []byte) (Record, func(*canon.Codec), bool) {
		collection, id, _ := strings.Cut(string(key), "/")
		rec, err := r.record(collection, id)
		if err != nil {
			return Record{}, nil, false
		}
		return *rec, rec.code, true
	})
	return out, formRecords, nil
}

// ListVersions asks for the history of a record, from the first version on.
type ListVersions struct {
	Collection, ID string
	After          uint64
	Limit          uint32
}

// Kind is KindListVersions.
func (*ListVersions) Kind() Kind { return KindListVersions }
func (o *ListVersions) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.Uint64(&o.After)
	c.Uint32(&o.Limit)
}
func (o *ListVersions) check(l *Limits) error { return l.checkRecord("", o.Collection, o.ID) }
func (o *ListVersions) read(r *reading) (*Result, byte, error) {
	out := new(Result)
	page(r, out, &out.Versions, o.Limit, "v/"+o.Collection+"/"+o.ID+"\x00", afterNumber(o.After), func(key, value []byte) (Version, func(*canon.Codec), bool) {
		v := new(Version)
		decodeEntry(key, value, v.code)
		v.Compromised = r.compromised(v.Author, v.Keys, v.At.Time)
		return *v, v.answer, true
	})
	return out, formVersions, nil
}

// ListAttestations asks for the attestations of a record, from the first on.
type ListAttestations struct {
	Collection, ID string
	After          uint64
	Limit          uint32
}

// Kind is KindListAttestations.
func (*ListAttestations) Kind() Kind { return KindListAttestations }
func (o *ListAttestations) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.Uint64(&o.After)
	c.Uint32(&o.Limit)
}
func (o *ListAttestations) check(l *Limits) error { return l.checkRecord("", o.Collection, o.ID) }
func (o *ListAttestations) read(r *reading) (*Result, byte, error) {
	out := new(Result)
	page(r, out, &out.Attestations, o.Limit, "a/"+o.Collection+"/"+o.ID+"\x00", afterNumber(o.After), func(key, value []byte) (Attestation, func(*canon.Codec), bool) {
		a := new(Attestation)
		decodeEntry(key, value, a.code)
		a.Compromised = r.compromised(a.Authority, a.Keys, a.At.Time)
		return *a, a.code, true
	})
	return out, formAttestations, nil
}

// ListDelegations asks for the delegations for a record, or, if ID is empty, for those
// for all that somebody has in the collection; in the order of From and To.
type ListDelegations struct {
	Collection, ID string
	// AfterFrom and AfterTo are those of the last delegation of the page before.
	AfterFrom, AfterTo Party
	Limit              uint32
}

// Kind is KindListDelegations.
func (*ListDelegations) Kind() Kind { return KindListDelegations }
func (o *ListDelegations) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	codeParty(c, &o.AfterFrom)
	codeParty(c, &o.AfterTo)
	c.Uint32(&o.Limit)
}
func (o *ListDelegations) check(l *Limits) error {
	err := first(checkName("collection", o.Collection), optionalParty("after", o.AfterFrom), optionalParty("after", o.AfterTo))
	if err == nil && o.ID != "" {
		err = l.checkID(o.ID)
	}
	return err
}
func (o *ListDelegations) read(r *reading) (*Result, byte, error) {
	out := new(Result)
	var from []byte
	if o.AfterFrom != "" {
		from = []byte(string(o.AfterFrom) + "\x00" + string(o.AfterTo))
	}
	page(r, out, &out.Delegations, o.Limit, "d/"+o.Collection+"/"+o.ID+"\x00", from, entry(func(v *Delegation) func(*canon.Codec) { return v.code }))
	return out, formDelegations, nil
}
