package registrytest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// call is an operation on one record by one of the clients.
type call struct {
	id   string
	by   registry.Party
	op   registry.Operation
	kind registry.Kind
}

// saw is how it ended: the error of its code, nil for none, and what was read.
type saw struct {
	err     error
	unknown bool
	version uint64
	owner   registry.Party
	data    string
	revoked bool
}

// rec is what the model knows of a record.
type rec struct {
	version      uint64 // 0: there is none
	owner, offer registry.Party
	data         string
	revoked      bool
}

// after is the model: what an operation does to a record, and how it ends.
func (s rec) after(c call) (rec, error) {
	if _, create := c.op.(*registry.CreateRecord); !create && s.version == 0 {
		return s, registry.ErrNotFound
	}
	_, read := c.op.(*registry.GetRecord)
	if s.revoked && !read && c.kind != registry.KindCreateRecord {
		return s, registry.ErrRevoked
	}
	switch op := c.op.(type) {
	case *registry.CreateRecord:
		if s.version > 0 {
			return s, registry.ErrExists
		}
		return rec{version: 1, owner: c.by, data: string(op.Data)}, nil
	case *registry.UpdateRecord:
		switch {
		case s.owner != c.by:
			return s, registry.ErrUnauthorized
		case op.Version != 0 && op.Version != s.version:
			return s, registry.ErrConflict
		}
		s.version, s.data = s.version+1, string(op.Data)
	case *registry.OfferRecord:
		if s.owner != c.by {
			return s, registry.ErrUnauthorized
		}
		s.offer = op.To
	case *registry.AcceptRecord:
		if s.offer != c.by {
			return s, registry.ErrUnauthorized
		}
		s.version, s.owner, s.offer = s.version+1, c.by, ""
	case *registry.RevokeRecord:
		if s.owner != c.by {
			return s, registry.ErrUnauthorized
		}
		s.version, s.revoked, s.offer = s.version+1, true, ""
	}
	return s, nil
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byID := map[string][]porcupine.Operation{}
		for _, o := range history {
			id := o.Input.(call).id
			byID[id] = append(byID[id], o)
		}
		for _, p := range byID {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return rec{} },
	Step: func(state, input, output any) (bool, any) {
		s, c, out := state.(rec), input.(call), output.(saw)
		next, err := s.after(c)
		switch {
		case out.unknown:
			return true, next
		case err != nil || out.err != nil:
			return errors.Is(out.err, err) && err != nil, next
		case c.kind == registry.KindGetRecord:
			return out == saw{version: s.version, owner: s.owner, data: s.data, revoked: s.revoked}, next
		}
		return out.version == next.version, next
	},
}

// Clients that work at the same time on the same records, while a replica stops: what
// they see is what some order explains, of operations that each take effect in a moment
// between call and answer.
func TestLinearizable(t *testing.T) {
	chain := crypto.Hash("test/registry", nil)
	keys := make([]*keyfile.Client, 4)
	for i := range keys {
		k, err := keyfile.GenerateClient(rand.Reader)
		require.NoError(t, err)
		keys[i] = k
	}
	party := func(i int) registry.Party { return registry.KeyParty(keys[i].Signing.Public()) }
	cluster, err := replica.StartLocal(t.Context(), replica.LocalConfig{Dir: t.TempDir(), NewMachine: func() statemachine.StateMachine {
		s, err := store.Open(context.Background(), store.DefaultConfig())
		require.NoError(t, err)
		m, err := registry.NewMachine(s, chain, registry.Genesis{
			Parties:     []registry.GenesisParty{{Name: "controller", Keys: signed.Of(1, keys[0].Signing.Public())}},
			Collections: []registry.GenesisCollection{{Name: "c", Controller: "controller", Rules: registry.OpenCreate}},
		})
		require.NoError(t, err)
		return m
	}})
	require.NoError(t, err)
	defer cluster.Close()

	began := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	ended := map[string]int{}
	const each = 40
	var workers sync.WaitGroup
	for i := range keys {
		workers.Go(func() {
			c, err := client.Dial(t.Context(), client.Config{Roster: cluster.Roster, Key: keys[i].Signing})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			r := mrand.New(mrand.NewPCG(uint64(i), 1))
			for n := range each + len(story) {
				in := randomCall(r, party, i, n)
				if n >= each { // so that everything succeeds now and then
					in = call{id: fmt.Sprint("own ", i), by: party(i), op: story[n-each](fmt.Sprint("own ", i), party(i))}
					in.kind = in.op.Kind()
				}
				at := time.Since(began)
				res, err := registry.Do(t.Context(), c, in.op)
				out := sawOf(res, err)
				if out.unknown {
					t.Error(err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: i, Input: in, Call: int64(at), Output: out, Return: int64(time.Since(began))})
				ended[fmt.Sprint(in.kind, " ", out.err)]++
				stop := len(history) == 2*each
				mu.Unlock()
				if stop {
					if err := cluster.Servers[3].Stop(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	workers.Wait()
	require.Len(t, history, len(keys)*(each+len(story)))
	require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(model, history, time.Minute))
	for _, kind := range []registry.Kind{registry.KindCreateRecord, registry.KindUpdateRecord, registry.KindOfferRecord, registry.KindAcceptRecord, registry.KindGetRecord} {
		require.Positive(t, ended[fmt.Sprint(kind, " <nil>")], "%v never succeeded", kind)
	}

	// The check can fail: an answer that nobody gave.
	for i := range history {
		if in, out := history[i].Input.(call), history[i].Output.(saw); in.kind == registry.KindGetRecord && out.err == nil {
			out.version++
			history[i].Output = out
			break
		}
	}
	require.Equal(t, porcupine.Illegal, porcupine.CheckOperationsTimeout(model, history, time.Minute))
}

// story is what each client does at last with a record of its own.
var story = []func(id string, self registry.Party) registry.Operation{
	func(id string, _ registry.Party) registry.Operation {
		return &registry.CreateRecord{Collection: "c", ID: id}
	},
	func(id string, self registry.Party) registry.Operation {
		return &registry.OfferRecord{Collection: "c", ID: id, To: self}
	},
	func(id string, _ registry.Party) registry.Operation {
		return &registry.AcceptRecord{Collection: "c", ID: id}
	},
	func(id string, _ registry.Party) registry.Operation {
		return &registry.UpdateRecord{Collection: "c", ID: id, Version: 2}
	},
	func(id string, _ registry.Party) registry.Operation {
		return &registry.GetRecord{Collection: "c", ID: id}
	},
}

func randomCall(r *mrand.Rand, party func(int) registry.Party, i, n int) call {
	in := call{id: fmt.Sprint(r.IntN(6) + 4*(n/14)), by: party(i)}
	switch r.IntN(12) {
	case 0, 1, 2:
		in.op = &registry.CreateRecord{Collection: "c", ID: in.id, Data: fmt.Append(nil, i, ".", n)}
	case 3, 4:
		in.op = &registry.UpdateRecord{Collection: "c", ID: in.id, Version: uint64(r.IntN(4)), Data: fmt.Append(nil, i, ".", n)}
	case 5, 6:
		in.op = &registry.OfferRecord{Collection: "c", ID: in.id, To: party(r.IntN(4))}
	case 7, 8:
		in.op = &registry.AcceptRecord{Collection: "c", ID: in.id}
	case 9:
		if r.IntN(4) == 0 {
			in.op = &registry.RevokeRecord{Collection: "c", ID: in.id}
			break
		}
		fallthrough
	default:
		in.op = &registry.GetRecord{Collection: "c", ID: in.id}
	}
	in.kind = in.op.Kind()
	return in
}

func sawOf(r *registry.Result, err error) saw {
	switch {
	case r == nil:
		return saw{err: err, unknown: true}
	case err != nil:
		for _, e := range []error{registry.ErrNotFound, registry.ErrExists, registry.ErrUnauthorized, registry.ErrConflict, registry.ErrRevoked} {
			if errors.Is(err, e) {
				return saw{err: e}
			}
		}
		return saw{err: err}
	case r.Record != nil:
		return saw{version: r.Record.Version, owner: r.Record.Owner, data: string(r.Version.Data), revoked: r.Record.Revoked}
	}
	return saw{version: r.Change.Version}
}
