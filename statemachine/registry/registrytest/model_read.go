package registrytest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/registry"
)

// page is what of a list, in order, an answer has: after a place, and no more than limit.
func page[T any](all []T, place func(T) string, after string, limit uint32, r *registry.Result) []T {
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(place(a), place(b)) })
	all = slices.DeleteFunc(all, func(t T) bool { return after != "" && place(t) <= after })
	most := maxPage
	if limit > 0 {
		most = min(most, int(limit))
	}
	if r.More = len(all) > most; r.More {
		all = all[:most]
	}
	return all
}

// numbered is a place of a number, in the order of numbers.
func numbered(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%020d", n)
}

func found(r *registry.Result) outcome { return outcome{read: r} }

// read is what a read answers.
func (m *Model) read(o registry.Operation) outcome {
	r := new(registry.Result)
	switch o := o.(type) {
	case *registry.GetInfo:
		r.Info = &registry.Info{Parties: uint64(len(m.parties)), Collections: uint64(len(m.collections)), Records: uint64(len(m.records))}
		return found(r)
	case *registry.GetParty:
		if r.Party = m.parties[o.Name]; r.Party == nil {
			return ends(registry.CodeNotFound)
		}
		return found(r)
	case *registry.GetKey:
		if !m.revoked[o.Key] {
			return ends(registry.CodeNotFound)
		}
		r.Key = &registry.RevokedKey{Key: o.Key}
		return found(r)
	case *registry.GetCollection:
		c := m.collections[o.Name]
		if c == nil {
			return ends(registry.CodeNotFound)
		}
		r.Collection = &c.Collection
		return found(r)
	case *registry.GetSchema:
		c := m.collections[o.Collection]
		number := o.Number
		if c != nil {
			number = cmp.Or(number, c.Schemas)
		}
		if c == nil || number == 0 || number > c.Schemas {
			return ends(registry.CodeNotFound)
		}
		r.Schema = c.schemas[number-1]
		return found(r)
	case *registry.ListCollections:
		all := []registry.Collection{}
		for _, c := range m.collections {
			all = append(all, c.Collection)
		}
		r.Collections = page(all, func(c registry.Collection) string { return c.Name }, o.After, o.Limit, r)
		return found(r)
	case *registry.ListAuthorities:
		if c := m.collections[o.Collection]; c != nil {
			all := slices.Collect(maps.Values(c.authorities))
			r.Authorities = page(all, func(a registry.Authority) string { return string(a.Name) }, string(o.After), o.Limit, r)
		}
		return found(r)
	case *registry.ListDelegations:
		all := []registry.Delegation{}
		for d, rights := range m.delegated {
			if d.collection == o.Collection && d.id == o.ID {
				all = append(all, registry.Delegation{Collection: d.collection, ID: d.id, From: d.from, To: d.to, Rights: rights})
			}
		}
		after := ""
		if o.AfterFrom != "" {
			after = string(o.AfterFrom) + "\x00" + string(o.AfterTo)
		}
		r.Delegations = page(all, func(d registry.Delegation) string { return string(d.From) + "\x00" + string(d.To) }, after, o.Limit, r)
		return found(r)
	}
	return m.readRecords(o, r)
}

func (m *Model) readRecords(o registry.Operation, r *registry.Result) outcome {
	pick := func(is func(*record) bool) (all []registry.Record) {
		for _, rec := range m.records {
			if is(rec) {
				all = append(all, rec.Record)
			}
		}
		return all
	}
	switch o := o.(type) {
	case *registry.GetRecord:
		rec := m.records[o.Collection+"/"+o.ID]
		if rec == nil {
			return ends(registry.CodeNotFound)
		}
		r.Record, r.Version = &rec.Record, &rec.versions[rec.Content-1]
	case *registry.GetVersion:
		rec := m.records[o.Collection+"/"+o.ID]
		if rec == nil || o.Number == 0 || o.Number > rec.Version {
			return ends(registry.CodeNotFound)
		}
		r.Version = &rec.versions[o.Number-1]
	case *registry.ListRecords:
		all := pick(func(rec *record) bool { return rec.Collection == o.Collection })
		r.Records = page(all, func(rec registry.Record) string { return rec.ID }, o.After, o.Limit, r)
	case *registry.ListOwned:
		after := ""
		if o.AfterID != "" {
			after = o.AfterCollection + "/" + o.AfterID
		}
		all := pick(func(rec *record) bool { return rec.Owner == o.Owner })
		r.Records = page(all, func(rec registry.Record) string { return rec.Collection + "/" + rec.ID }, after, o.Limit, r)
	case *registry.ListVersions:
		if rec := m.records[o.Collection+"/"+o.ID]; rec != nil {
			r.Versions = page(slices.Clone(rec.versions), func(v registry.Version) string { return numbered(v.Number) }, numbered(o.After), o.Limit, r)
		}
	case *registry.ListAttestations:
		if rec := m.records[o.Collection+"/"+o.ID]; rec != nil {
			r.Attestations = page(slices.Clone(rec.attestations), func(a registry.Attestation) string { return numbered(a.Number) }, numbered(o.After), o.Limit, r)
		}
	default:
		return ends(registry.CodeUnsupported)
	}
	return found(r)
}

// shown is an answer in words, without what is not modelled: times, digests, who signed,
// texts about things.
func shown(r *registry.Result) string {
	var b strings.Builder
	write := func(what string, v any) { fmt.Fprintf(&b, "%s %+v; ", what, v) }
	if i := r.Info; i != nil {
		write("info", []uint64{i.Parties, i.Collections, i.Records})
	}
	if p := r.Party; p != nil {
		write("party", []any{p.Name, p.Keys, p.Recovery, p.Version})
	}
	if k := r.Key; k != nil {
		write("key", k.Key)
	}
	if c := r.Collection; c != nil {
		write("collection", collectionShown(*c))
	}
	write("schema", string(r.Schema))
	if r.Record != nil {
		write("record", recordShown(*r.Record))
	}
	if r.Version != nil {
		write("version", versionShown(*r.Version))
	}
	for _, c := range r.Collections {
		write("collection", collectionShown(c))
	}
	for _, a := range r.Authorities {
		write("authority", []any{a.Collection, a.Name, a.Topics, a.Expires})
	}
	for _, rec := range r.Records {
		write("record", recordShown(rec))
	}
	for _, v := range r.Versions {
		write("version", versionShown(v))
	}
	for _, a := range r.Attestations {
		write("attestation", []any{a.Collection, a.ID, a.Number, a.Authority, a.Topic, a.Version, a.Statement, a.RevokedBy, a.Reason})
	}
	for _, d := range r.Delegations {
		write("delegation", []any{d.Collection, d.ID, d.From, d.To, d.Rights})
	}
	write("more", r.More)
	return b.String()
}

func collectionShown(c registry.Collection) any {
	return []any{c.Name, c.Controller, c.Rules, c.Schemas, c.Floor, c.Records}
}

func recordShown(r registry.Record) any {
	r.Digest, r.Created = crypto.Digest{}, registry.Stamp{}
	return r
}

func versionShown(v registry.Version) any {
	return []any{v.Number, v.Action, v.Owner, v.Author, v.Content, v.Schema, string(v.Data), v.Commitment, v.Reason}
}
