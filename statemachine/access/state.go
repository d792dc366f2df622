package access

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// The parts of the store.
const (
	// AppPrefix is in front of the application's keys: what a proof of one is asked for
	// with.
	AppPrefix = "app/"
	prefix    = "access/"
)

// settings are what every decision needs.
type settings struct {
	Info
	Epoch     uint64 // changes of administrators
	Proposals uint64 // made so far
}

func (s *settings) code(c *canon.Codec) {
	s.Info.code(c)
	c.Uint64(&s.Epoch)
	c.Uint64(&s.Proposals)
}

func (i *Info) code(c *canon.Codec) {
	c.Uint8((*uint8)(&i.Mode))
	i.Administrators.Code(c)
	i.Strangers.code(c)
	c.Uint64(&i.Members)
	c.Uint64(&i.Changes)
	c.Fixed(i.Chain[:])
}

func (p *Proposal) code(c *canon.Codec) {
	c.Uint64(&p.Number)
	p.Change.code(c)
	c.Fixed(p.Digest[:])
	signed.CodeKeys(c, &p.Approvals)
	c.Uint64((*uint64)(&p.Expires))
	c.Uint64(&p.Epoch)
}

func (e *Entry) code(c *canon.Codec) {
	c.Uint64(&e.Number)
	c.Uint64(&e.Height)
	c.Uint64((*uint64)(&e.Time))
	e.Change.code(c)
	signed.CodeKeys(c, &e.By)
}

func (r *RefusalCount) code(c *canon.Codec) {
	c.Fixed(r.Client[:])
	c.Uint8((*uint8)(&r.Rule))
	c.Uint64(&r.Count)
	c.Uint64((*uint64)(&r.Last))
	c.String(&r.What, maxName)
}

// usage is what a client has submitted in a window.
type usage struct {
	Since             statemachine.Time
	Ends              statemachine.Time
	Operations, Bytes uint64
}

func (u *usage) code(c *canon.Codec) {
	c.Uint64((*uint64)(&u.Since))
	c.Uint64((*uint64)(&u.Ends))
	c.Uint64(&u.Operations)
	c.Uint64(&u.Bytes)
}

const keySettings = "settings"

func memberKey(k crypto.PublicKey) []byte { return append([]byte("m/"), k[:]...) }
func roleKey(name string) []byte          { return []byte("r/" + name) }
func proposalKey(n uint64) []byte         { return canon.AppendUint64([]byte("p/"), n) }
func auditKey(n uint64) []byte            { return canon.AppendUint64([]byte("a/"), n) }
func usageKey(k crypto.PublicKey) []byte  { return append([]byte("q/"), k[:]...) }
func refusalKey(k crypto.PublicKey, r Rule) []byte {
	return append(append([]byte("f/"), k[:]...), byte(r))
}

// endKey orders usages by the ends of their windows, so that old ones are found.
func endKey(ends statemachine.Time, k crypto.PublicKey) []byte {
	return append(canon.AppendUint64([]byte("w/"), uint64(ends)), k[:]...)
}

// reading is one state of the policy.
type reading struct{ r store.Reader }

func load(r store.Reader, key []byte, code func(*canon.Codec)) bool {
	b, ok := r.Get(key)
	if ok {
		if err := canon.Decode(b, code); err != nil {
			panic(fmt.Sprintf("access: entry %q: %v", key, err)) // a bug, or another application's state
		}
	}
	return ok
}

func save(t store.Txn, key []byte, code func(*canon.Codec)) { t.Set(key, canon.Encode(code)) }

func (r reading) settings() *settings {
	s := new(settings)
	if !load(r.r, []byte(keySettings), s.code) {
		panic("access: the state has no policy")
	}
	return s
}

func (r reading) member(k crypto.PublicKey) (m Member, ok bool) {
	ok = load(r.r, memberKey(k), m.code)
	return m, ok
}

// roles returns those of a member's roles that there are.
func (r reading) roles(m *Member) []Role {
	var roles []Role
	for _, name := range m.Roles {
		var role Role
		if load(r.r, roleKey(name), role.code) {
			roles = append(roles, role)
		}
	}
	return roles
}
