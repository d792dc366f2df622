package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/stream"
)

// machine is the replicated application: who has which lock.
//
// Its only clock is block time, which is the same on all replicas and never goes
// back; a replica's own clock would tear the states apart.
type machine struct {
	leases map[string]lease
	// token is that of the newest lease. It counts for all locks together, so that a
	// lock which was forgotten and comes back goes on with higher ones.
	token uint64
	// trie has a leaf for each lease: the digest after a change costs no more than
	// hashing along one path.
	trie merkle.Trie
}

// maxLeases bounds the state.
const maxLeases = 10_000

func newMachine() statemachine.StateMachine { return &machine{leases: make(map[string]lease)} }

// Apply runs the operations of a block.
func (m *machine) Apply(b statemachine.Block) []statemachine.Result {
	return statemachine.PerOp(b, func(op statemachine.Op) statemachine.Result {
		o, code := decodeOperation(op.Data)
		if code != statemachine.CodeOK {
			return statemachine.Reject(code, nil)
		}
		return m.run(o, op.Client, b.Time)
	}, nil)
}

// run checks everything before it changes anything.
func (m *machine) run(o operation, caller crypto.PublicKey, now statemachine.Time) statemachine.Result {
	l, held := m.leases[o.name]
	held = held && l.Expires > now
	own := held && l.Owner == caller && l.Token == o.token
	switch {
	case o.kind == inspect && !held:
		return statemachine.Reject(codeFree, nil)
	case o.kind == inspect:
		return statemachine.OK(l.encode())
	case o.kind == acquire && held: // by the caller, too: that is what renew is for
		return statemachine.Reject(codeHeld, l.encode())
	case o.kind == acquire && !m.room(o.name, now):
		return statemachine.Reject(codeFull, nil)
	case o.kind == acquire:
		m.token++
		l = lease{Owner: caller, Token: m.token, Expires: now + statemachine.Time(o.lease)}
	case !own:
		return statemachine.Reject(codeNotHeld, nil)
	case o.kind == release:
		m.remove(o.name)
		return statemachine.OK(nil)
	default: // renew, which never shortens
		l.Expires = max(l.Expires, now+statemachine.Time(o.lease))
	}
	m.put(o.name, l)
	return statemachine.OK(l.encode())
}

// room tells whether there is a place for a lease, if need be after forgetting all
// that are void. That it does so only then is no matter: void leases are treated
// like none, and all replicas forget them at the same operation.
func (m *machine) room(name string, now statemachine.Time) bool {
	if _, ok := m.leases[name]; ok || len(m.leases) < maxLeases {
		return true
	}
	for other, l := range m.leases { // the order is of no consequence
		if l.Expires <= now {
			m.remove(other)
		}
	}
	return len(m.leases) < maxLeases
}

const (
	domainName  = crypto.Domain("example/lock-name")
	domainLease = crypto.Domain("example/lock-lease")
	domainState = crypto.Domain("example/lock-state")
)

// leaf is a lock's place in the trie: clients choose names, so it is a hash.
func leaf(name string) crypto.Digest { return crypto.Hash(domainName, []byte(name)) }

func (m *machine) put(name string, l lease) {
	m.leases[name] = l
	m.trie.Set(leaf(name), crypto.Hash(domainLease, l.encode()))
}

func (m *machine) remove(name string) {
	delete(m.leases, name)
	m.trie.Delete(leaf(name))
}

// Digest identifies the state.
func (m *machine) Digest() crypto.Digest {
	root := m.trie.Root()
	return crypto.Hash(domainState, canon.AppendUint64(root[:], m.token))
}

// snapshot is a copy of the state: it is small, so a copy is quick enough.
type snapshot struct {
	token  uint64
	leases map[string]lease
}

// Snapshot freezes the state.
func (m *machine) Snapshot() (statemachine.Snapshot, error) {
	return &snapshot{m.token, maps.Clone(m.leases)}, nil
}

// WriteTo writes the token, the number of leases, and these by ascending name:
// equal states must have equal bytes.
func (s *snapshot) WriteTo(dst io.Writer) (int64, error) {
	w := stream.NewWriter(dst)
	w.Uint64(s.token)
	w.Uint32(uint32(len(s.leases)))
	for _, name := range slices.Sorted(maps.Keys(s.leases)) {
		l := s.leases[name]
		w.String(name)
		w.Fixed(l.Owner[:])
		w.Uint64(l.Token)
		w.Uint64(uint64(l.Expires))
	}
	return w.Flush()
}

// Close lets the copy go.
func (s *snapshot) Close() error { s.leases = nil; return nil }

// Restore reads what WriteTo wrote and believes none of it unchecked.
func (m *machine) Restore(src io.Reader) error {
	r := stream.NewReader(src)
	fresh := machine{leases: make(map[string]lease), token: r.Uint64()}
	last := ""
	for left := r.Uint32(); left > 0 && r.Err() == nil; left-- {
		name := string(r.Bytes(maxName))
		var l lease
		r.Fixed(l.Owner[:])
		l.Token, l.Expires = r.Uint64(), statemachine.Time(r.Uint64())
		switch {
		case r.Err() != nil:
		case name <= last:
			r.Fail("lock %q after %q", name, last)
		case l.Token == 0 || l.Token > fresh.token:
			r.Fail("lock %q has token %d of %d", name, l.Token, fresh.token)
		case len(fresh.leases) == maxLeases:
			r.Fail("more than %d leases", maxLeases)
		default:
			fresh.put(name, l)
		}
		last = name
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("snapshot of locks: %w", err)
	}
	*m = fresh
	return nil
}
