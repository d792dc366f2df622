package registry

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store"
)

// reading is what a read has: one state.
type reading struct {
	r   store.Reader
	cfg *config
	// What compromised has looked up. A page has a thousand entries, mostly of a few
	// parties, each of which may have had hundreds of keys revoked.
	itself map[crypto.PublicKey]*RevokedKey // nil of a key that has not revoked itself
	of     map[Party]map[crypto.PublicKey]*RevokedKey
}

// read is an operation that changes nothing, and a query.
type read interface {
	Operation
	read(*reading) (*Result, byte, error)
}

// decodeEntry decodes what this package wrote. A failure is a bug, or a state that is
// none of a registry.
func decodeEntry(key, b []byte, code func(*canon.Codec)) {
	if err := canon.Decode(b, code); err != nil {
		panic(fmt.Sprintf("registry: entry %q: %v", key, err))
	}
}

func (r *reading) collection(name string) (*Collection, error) {
	c := new(Collection)
	if !r.load(collectionKey(name), c.code) {
		return nil, refuse(CodeNotFound, "there is no collection %s", name)
	}
	return c, nil
}

func (r *reading) record(collection, id string) (*Record, error) {
	rec := new(Record)
	if !r.load(RecordKey(collection, id), rec.code) {
		return nil, refuse(CodeNotFound, "there is no record %s/%s", collection, id)
	}
	return rec, nil
}

func (r *reading) version(collection, id string, number uint64) (*Version, error) {
	v := new(Version)
	if !r.load(VersionKey(collection, id, number), v.code) {
		return nil, refuse(CodeNotFound, "%s/%s has no version %d", collection, id, number)
	}
	return v, nil
}

// judged is a version with what is known now of the keys that made it.
func (r *reading) judged(collection, id string, number uint64) (*Version, error) {
	v, err := r.version(collection, id, number)
	if err == nil {
		v.Compromised = r.compromised(v.Author, v.Keys, v.At.Time)
	}
	return v, err
}

// GetInfo asks for chain, limits and counts.
type GetInfo struct{}

// Kind is KindGetInfo.
func (*GetInfo) Kind() Kind          { return KindGetInfo }
func (*GetInfo) code(*canon.Codec)   {}
func (*GetInfo) check(*Limits) error { return nil }
func (o *GetInfo) read(r *reading) (*Result, byte, error) {
	i := r.counts()
	i.Chain, i.Limits = r.cfg.Chain, r.cfg.Limits
	return &Result{Info: i}, formInfo, nil
}

func (r *reading) counts() *Info {
	i := new(Info)
	r.load([]byte(keyCounts), i.codeCounts)
	return i
}

// GetParty asks for a registered party.
type GetParty struct{ Name Party }

// Kind is KindGetParty.
func (*GetParty) Kind() Kind            { return KindGetParty }
func (o *GetParty) code(c *canon.Codec) { codeParty(c, &o.Name) }
func (o *GetParty) check(*Limits) error { return checkName("name", string(o.Name)) }
func (o *GetParty) read(r *reading) (*Result, byte, error) {
	p, err := r.party(o.Name)
	return &Result{Party: p}, formParty, err
}

// GetKey asks whether a key has revoked itself; it is not found if not.
type GetKey struct{ Key crypto.PublicKey }

// Kind is KindGetKey.
func (*GetKey) Kind() Kind            { return KindGetKey }
func (o *GetKey) code(c *canon.Codec) { c.Fixed(o.Key[:]) }
func (o *GetKey) check(*Limits) error { return nil }
func (o *GetKey) read(r *reading) (*Result, byte, error) {
	k := new(RevokedKey)
	if !r.load(revokedKey(o.Key), k.code) {
		return nil, 0, refuse(CodeNotFound, "key %s has not revoked itself", o.Key.Hex())
	}
	return &Result{Key: k}, formKey, nil
}

// GetCollection asks for a collection.
type GetCollection struct{ Name string }

// Kind is KindGetCollection.
func (*GetCollection) Kind() Kind            { return KindGetCollection }
func (o *GetCollection) code(c *canon.Codec) { c.String(&o.Name, huge) }
func (o *GetCollection) check(*Limits) error { return checkName("name", o.Name) }
func (o *GetCollection) read(r *reading) (*Result, byte, error) {
	c, err := r.collection(o.Name)
	return &Result{Collection: c}, formCollection, err
}

// GetSchema asks for a schema of a collection, 0 for the latest.
type GetSchema struct {
	Collection string
	Number     uint32
}

// Kind is KindGetSchema.
func (*GetSchema) Kind() Kind { return KindGetSchema }
func (o *GetSchema) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	c.Uint32(&o.Number)
}
func (o *GetSchema) check(*Limits) error { return checkName("collection", o.Collection) }
func (o *GetSchema) read(r *reading) (*Result, byte, error) {
	c, err := r.collection(o.Collection)
	if err != nil {
		return nil, 0, err
	}
	number := o.Number
	if number == 0 {
		number = c.Schemas
	}
	text, ok := r.r.Get(schemaKey(o.Collection, number))
	if !ok {
		return nil, 0, refuse(CodeNotFound, "%s has no schema %d", o.Collection, number)
	}
	return &Result{Schema: text}, formSchema, nil
}

// GetRecord asks for a record and the version that has its present content.
type GetRecord struct{ Collection, ID string }

// Kind is KindGetRecord.
func (*GetRecord) Kind() Kind { return KindGetRecord }
func (o *GetRecord) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
}
func (o *GetRecord) check(l *Limits) error { return l.checkRecord("", o.Collection, o.ID) }
func (o *GetRecord) read(r *reading) (*Result, byte, error) {
	rec, err := r.record(o.Collection, o.ID)
	if err != nil {
		return nil, 0, err
	}
	v, err := r.judged(o.Collection, o.ID, rec.Content)
	return &Result{Record: rec, Version: v}, formRecord, err
}

// GetVersion asks for a version of a record.
type GetVersion struct {
	Collection, ID string
	Number         uint64
}

// Kind is KindGetVersion.
func (*GetVersion) Kind() Kind { return KindGetVersion }
func (o *GetVersion) code(c *canon.Codec) {
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.Uint64(&o.Number)
}
func (o *GetVersion) check(l *Limits) error { return l.checkRecord("", o.Collection, o.ID) }
func (o *GetVersion) read(r *reading) (*Result, byte, error) {
	v, err := r.judged(o.Collection, o.ID, o.Number)
	return &Result{Version: v}, formVersion, err
}
