package explore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// fingerprint is what two local states must have in common to be one.
type fingerprint [16]byte

// ignored are the fields of a core that are left out, each for its reason. All others
// count, also those that are added one day. A test holds the names against the core.
var ignored = map[string]string{
	"cfg": "constant", "quorums": "constant", "schedule": "constant",
	"ticks": "time is a choice", "now": "time is a choice", "timers": "time is a choice; sentNewView is looked at",
	"suspicion": "leaving a view is the choice",
	"counters":  "for people",
	"evidence":  "has no effect on the one who finds it but a suspicion",
	"storedNVs": "for accountability only",
	"newView":   "durable.NewView is its digest",
	"rejoin":    "nobody rejoins",
	"order":     "the blocks are looked at as a set",
	"peers":     "looked at: claims that this replica may use, views above its own",
	"pool":      "looked at where this replica may propose",
	"fetch":     "looked at: what is asked for, not whom and when",
}

// dumper writes a core down.
type dumper struct {
	b []byte
}

func (d *dumper) number(n uint64) { d.b = binary.LittleEndian.AppendUint64(d.b, n) }

// fingerprintOf looks at a core through reflection: nothing of it is changed or kept.
func (n *node) fingerprintOf() fingerprint {
	d := dumper{b: n.w.scratch[:0]}
	core := reflect.ValueOf(n.core).Elem()
	t := core.Type()
	for i := range t.NumField() {
		if _, skip := ignored[t.Field(i).Name]; !skip {
			d.value(core.Field(i))
		}
	}
	view := n.core.View()
	sent := core.FieldByName("timers").FieldByName("sentNewView").Uint() == uint64(view)
	d.value(core.FieldByName("timers").FieldByName("sentNewView"))
	claims := n.w.primary(view) == n.id && !n.core.Entered() && !sent
	peers := core.FieldByName("peers")
	for i := range peers.Len() {
		p := peers.Index(i)
		top := p.FieldByName("status").FieldByName("View").Uint()
		if change := p.FieldByName("change"); !change.IsNil() {
			top = max(top, change.Elem().FieldByName("SignedClaim").FieldByName("Claim").FieldByName("View").Uint())
			if claims {
				d.value(change.Elem())
			}
		}
		if top <= uint64(view) {
			top = 0
		}
		d.number(top)
	}
	if n.w.leadsFrom(n.id, view) {
		d.pool(core.FieldByName("pool"))
	}
	if fetch := core.FieldByName("fetch"); fetch.FieldByName("asked").Bool() {
		d.value(fetch.FieldByName("want"))
	}
	if n.w.cfg.Crashes > 0 {
		n.dumpLog(&d)
	}
	d.number(uint64(n.crashes))
	d.number(uint64(len(d.b)))
	d.b = n.sent.key(d.b)
	n.w.scratch = d.b
	sum := sha256.Sum256(d.b)
	return fingerprint(sum[:16])
}

// wanted is the block that the core has asked for and not got; nil: none.
func (n *node) wanted() *block {
	fetch := reflect.ValueOf(n.core).Elem().FieldByName("fetch")
	if !fetch.FieldByName("asked").Bool() {
		return nil
	}
	return n.w.blockOf[pbft.Digest(fetch.FieldByName("want").FieldByName("Digest").Bytes())]
}

// shown are the certificates that a core pushes to whoever lacks them (R13).
func (n *node) shown() []int {
	var facts []int
	core := reflect.ValueOf(n.core).Elem()
	for _, name := range [...]string{"high", "target", "viewCommit"} {
		if c := core.FieldByName(name); !c.IsNil() {
			s := c.Elem().FieldByName("Statement")
			facts = append(facts, n.w.votedFact(pbft.Statement{
				Phase: pbft.Phase(s.FieldByName("Phase").Uint()), View: pbft.View(s.FieldByName("View").Uint()),
				NewView: pbft.Digest(s.FieldByName("NewView").Bytes()), Height: pbft.Height(s.FieldByName("Height").Uint()),
				Block: pbft.Digest(s.FieldByName("Block").Bytes()),
			}))
		}
	}
	return facts
}

// leadsFrom tells whether id is primary of view v or of one to come.
func (w *world) leadsFrom(id pbft.ReplicaID, v pbft.View) bool {
	for ; v <= w.cfg.lastView(); v++ {
		if w.primary(v) == id {
			return true
		}
	}
	return false
}

// dumpLog writes what a restart would find, without what only accountability needs.
func (n *node) dumpLog(d *dumper) {
	for _, r := range n.records() {
		switch r.Key.Kind {
		case pbft.RecordEvidence, pbft.RecordCommit:
			continue
		case pbft.RecordNewView:
			if pbft.View(r.Key.Height) < n.core.View() {
				continue
			}
		}
		d.b = r.Key.Append(d.b)
		d.b = append(d.b, r.Value...)
	}
}

// pool writes the queues of the clients, in the order of their turns, and what is
// proposed.
func (d *dumper) pool(p reflect.Value) {
	for c := p.FieldByName("turns").FieldByName("head"); !c.IsNil(); c = c.Elem().FieldByName("next") {
		d.requests(c.Elem().FieldByName("of").Elem().FieldByName("waiting"))
	}
	d.requests(p.FieldByName("proposed"))
}

func (d *dumper) requests(list reflect.Value) {
	d.number(1)
	for q := list.FieldByName("head"); !q.IsNil(); q = q.Elem().FieldByName("next") {
		d.value(q.Elem().FieldByName("of").Elem().FieldByName("request").Elem().FieldByName("digest"))
	}
}

var (
	typeBlock       = reflect.TypeFor[pbft.Block]()
	typeCertificate = reflect.TypeFor[pbft.Certificate]()
)

// value writes any value. Blocks are their digest, certificates their statement.
func (d *dumper) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			d.b = append(d.b, 1)
		} else {
			d.b = append(d.b, 0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.number(v.Uint())
	case reflect.String:
		d.number(uint64(v.Len()))
		d.b = append(d.b, v.String()...)
	case reflect.Pointer:
		if v.IsNil() {
			d.b = append(d.b, 0)
			return
		}
		d.b = append(d.b, 1)
		d.value(v.Elem())
	case reflect.Struct:
		d.structure(v)
	case reflect.Array, reflect.Slice:
		d.list(v)
	case reflect.Map:
		d.mapping(v)
	default:
		panic(fmt.Sprintf("explore: a core holds a %v: say in ignored whether it matters", v.Type()))
	}
}

func (d *dumper) structure(v reflect.Value) {
	switch v.Type() {
	case typeBlock:
		d.value(v.FieldByName("digest"))
		return
	case typeCertificate:
		d.value(v.FieldByName("Statement"))
		return
	}
	for i := range v.NumField() {
		d.value(v.Field(i))
	}
}

func (d *dumper) list(v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 && (v.Kind() == reflect.Slice || v.CanAddr()) {
		d.number(uint64(v.Len()))
		d.b = append(d.b, v.Bytes()...)
		return
	}
	d.number(uint64(v.Len()))
	for i := range v.Len() {
		d.value(v.Index(i))
	}
}

// mapping writes the pairs in the order of the keys' bytes.
func (d *dumper) mapping(v reflect.Value) {
	var pairs [][]byte
	for it := v.MapRange(); it.Next(); {
		var pair dumper
		pair.value(it.Key())
		pair.value(it.Value())
		pairs = append(pairs, pair.b)
	}
	slices.SortFunc(pairs, bytes.Compare)
	d.number(uint64(len(pairs)))
	for _, p := range pairs {
		d.b = append(d.b, p...)
	}
}
