package registry

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/statetest"
	"github.com/parley-bft/parley/statemachine/store"
)

// fake is the client of the conformance kit with a number: its keys sign nothing.
func fake(n int) crypto.PublicKey { return crypto.PublicKey{byte(n)} }

// randomOp is an operation of few names, ids and parties, so that operations meet; some
// are signed, some broken.
func randomOp(r *rand.Rand) []byte {
	party := func() Party {
		return []Party{"", "", "", "", KeyParty(fake(r.IntN(4))), KeyParty(fake(0)), "p", "q"}[r.IntN(8)]
	}
	collection := func() string { return []string{"c", "c", "c", "d"}[r.IntN(4)] }
	id := func() string { return string(rune('1' + r.IntN(3))) }
	data := func() []byte { return []byte([]string{``, `1`, `"a"`, `{"name": "x"}`, `[`}[r.IntN(5)]) }
	rules := func() Rules { return OpenCreate | Rules(r.IntN(1<<8)&r.IntN(1<<8)&r.IntN(1<<8)) }
	expires := func() statemachine.Time {
		return []statemachine.Time{0, 0, 1, 1_700_000_003_000_000_000}[r.IntN(4)]
	}
	threshold := func() signed.Threshold {
		return []signed.Threshold{{}, signed.Of(1, fake(r.IntN(4))), signed.Of(1, fake(0), fake(1), person(1).Public()), signed.Of(2, fake(r.IntN(4)), person(1).Public())}[r.IntN(4)]
	}
	var o Operation
	switch r.IntN(34) {
	case 0:
		o = &RegisterParty{Name: []Party{"p", "q"}[r.IntN(2)], Keys: threshold(), Recovery: threshold()}
	case 1:
		o = &RotateParty{Name: []Party{"p", "q"}[r.IntN(2)], Keys: threshold()}
	case 2:
		o = &RevokeKey{Party: []Party{"", "p"}[r.IntN(2)], Key: fake(2 + r.IntN(2)), Reason: "r"}
		if r.IntN(5) != 0 {
			o = &GetInfo{}
		}
	case 3, 4:
		o = &CreateCollection{Name: collection(), Rules: rules(), Schema: [][]byte{nil, nil, []byte(`{"type": ["number", "object"]}`), []byte(`{`)}[r.IntN(4)]}
	case 5:
		o = &AddSchema{As: party(), Collection: collection(), Schema: []byte([]string{`true`, `{"type": "string"}`}[r.IntN(2)]), Floor: uint32(r.IntN(4))}
	case 6:
		o = &SetCollection{As: party(), Collection: collection(), Rules: rules()}
	case 7, 26, 27, 28:
		o = &SetAuthority{As: party(), Collection: collection(), Authority: KeyParty(fake(r.IntN(4) * r.IntN(2))), Topics: [][]string{nil, {"t"}, {"*", "u"}, {"*"}}[r.IntN(4)], Expires: expires()}
	case 8, 9, 10:
		o = &CreateRecord{As: party(), Collection: collection(), ID: id(), Owner: party(), Schema: uint32(r.IntN(3)), Data: data(), Commitment: crypto.Digest{byte(r.IntN(2))}}
	case 11, 12:
		o = &UpdateRecord{As: party(), Collection: collection(), ID: id(), Version: uint64(r.IntN(8) / 5), Data: data()}
	case 13:
		o = &RevokeRecord{As: party(), Collection: collection(), ID: id(), Reason: "r"}
	case 14, 15:
		o = &OfferRecord{As: party(), Collection: collection(), ID: id(), To: party(), Expires: expires()}
	case 16, 17:
		o = &AcceptRecord{As: party(), Collection: collection(), ID: id(), Version: uint64(r.IntN(3))}
	case 18:
		o = &TransferRecord{As: party(), Collection: collection(), ID: id(), To: KeyParty(fake(r.IntN(4)))}
	case 19:
		o = &Delegate{As: party(), Collection: collection(), ID: []string{"", "1"}[r.IntN(2)], To: KeyParty(fake(r.IntN(4))), Rights: Rights(r.IntN(16)), Expires: expires()}
	case 20, 29, 30, 31:
		o = &Attest{As: party(), Collection: collection(), ID: id(), Topic: []string{"t", "u"}[r.IntN(2)], Statement: data(), Expires: expires()}
	case 21, 32, 33:
		o = &RevokeAttestation{As: party(), Collection: collection(), ID: id(), Number: uint64(1 + r.IntN(3))}
	case 22:
		o = &GetRecord{Collection: collection(), ID: id()}
	case 23:
		o = &ListVersions{Collection: collection(), ID: id(), Limit: uint32(r.IntN(3))}
	case 24:
		o = &ListAttestations{Collection: collection(), ID: id()}
	case 25:
		o = &ListOwned{Owner: KeyParty(fake(r.IntN(4)))}
	}
	b := Encode(o)
	switch r.IntN(16) {
	case 0:
		return b[:r.IntN(len(b))]
	case 1, 2:
		e := signed.Envelope{Deadline: 1_700_000_000_000_000_000 + statemachine.Time(r.IntN(4))*statemachine.Time(3*time.Second), Op: b}
		_ = e.Sign(Space([]crypto.Digest{chain, chain, chain, {9}}[r.IntN(4)]), person(1))
		return EncodeSigned(&e)
	}
	return b
}

func newTestMachine(t testing.TB) *store.Machine {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	l := DefaultLimits()
	l.MaxVersions, l.MaxAttestations, l.MaxPage, l.MaxStateBytes = 6, 3, 4, 200_000
	m, err := NewMachine(s, chain, Genesis{Limits: &l})
	require.NoError(t, err)
	return m
}

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{New: func() statemachine.StateMachine { return newTestMachine(t) }, Gen: randomOp})
}

// The state never contradicts itself, whatever is done.
func TestAudit(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	succeeded := map[Kind]int{}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		m := newTestMachine(t)
		now := statemachine.Time(1_700_000_000_000_000_000)
		for height := range uint64(60) {
			b := statemachine.Block{Height: height + 1, Time: now}
			for range r.IntN(30) {
				b.Ops = append(b.Ops, statemachine.Op{Client: fake(r.IntN(4) * r.IntN(2)), Data: randomOp(r)})
			}
			for i, res := range m.Apply(b) {
				if res.Code == statemachine.CodeOK {
					succeeded[KindOf(b.Ops[i].Data)]++
				}
			}
			now += statemachine.Time(r.IntN(1e8))
			v, err := m.Store().Last()
			require.NoError(t, err)
			require.NoError(t, Audit(v), "seed %d", seed)
		}
	}
	for k := range kindNames {
		if !k.Read() && k != KindSigned {
			require.Positive(t, succeeded[k], "%v never succeeds: the operations are of no use", k)
		}
	}
}

// modelRecord is what the model knows of a record.
type modelRecord struct {
	owner, offer int // -1: nobody
	version      uint64
	data         string
	revoked      bool
	history      []string
}

// TestAgainstModel runs what owners do with records against a plain map.
func TestAgainstModel(t *testing.T) {
	people := []who{ann, bob, cem}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, Genesis{})
		w.do(ann, &CreateCollection{Name: "c", Rules: OpenCreate})
		model := make(map[string]*modelRecord)
		id := func(t *rapid.T) string { return rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "id") }
		somebody := func(t *rapid.T) int { return rapid.IntRange(0, 2).Draw(t, "who") }
		// expect runs an operation of which the model says how it ends.
		expect := func(by int, want error, o Operation) bool {
			r := w.submit(people[by], Encode(o))
			if want == nil {
				require.NoError(rt, r.Err())
			} else {
				require.ErrorIs(rt, r.Err(), want)
			}
			return want == nil
		}
		note := func(m *modelRecord, action Action) {
			m.version++
			m.history = append(m.history, fmt.Sprint(action, m.owner))
		}
		// standing is why the owner cannot do it, nil if there is no reason.
		standing := func(m *modelRecord, by int) error {
			switch {
			case m == nil:
				return ErrNotFound
			case m.revoked:
				return ErrRevoked
			case by != m.owner:
				return ErrUnauthorized
			}
			return nil
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				id, by, data := id(t), somebody(t), rapid.StringN(0, 3, 9).Draw(t, "data")
				var want error
				if model[id] != nil {
					want = ErrExists
				}
				if expect(by, want, &CreateRecord{Collection: "c", ID: id, Data: []byte(data)}) {
					model[id] = &modelRecord{owner: by, offer: -1, data: data}
					note(model[id], Created)
				}
			},
			"update": func(t *rapid.T) {
				id, by, data := id(t), somebody(t), rapid.StringN(0, 3, 9).Draw(t, "data")
				version := rapid.Uint64Range(0, 3).Draw(t, "version")
				m := model[id]
				want := standing(m, by)
				if want == nil && version != 0 && version != m.version {
					want = ErrConflict
				}
				if expect(by, want, &UpdateRecord{Collection: "c", ID: id, Version: version, Data: []byte(data)}) {
					m.data = data
					note(m, Updated)
				}
			},
			"offer": func(t *rapid.T) {
				id, by, to := id(t), somebody(t), somebody(t)
				if expect(by, standing(model[id], by), &OfferRecord{Collection: "c", ID: id, To: people[to].party()}) {
					model[id].offer = to
				}
			},
			"accept": func(t *rapid.T) {
				id, by := id(t), somebody(t)
				m := model[id]
				var want error
				switch {
				case m == nil:
					want = ErrNotFound
				case m.revoked:
					want = ErrRevoked
				case m.offer != by:
					want = ErrUnauthorized
				}
				if expect(by, want, &AcceptRecord{Collection: "c", ID: id}) {
					m.owner, m.offer = by, -1
					note(m, Transferred)
				}
			},
			"revoke": func(t *rapid.T) {
				id, by := id(t), somebody(t)
				if rapid.IntRange(0, 3).Draw(t, "really") == 0 && expect(by, standing(model[id], by), &RevokeRecord{Collection: "c", ID: id}) {
					model[id].revoked, model[id].offer = true, -1
					note(model[id], Revoked)
				}
			},
			"": func(t *rapid.T) {
				var ids []string
				for _, rec := range w.read(&ListRecords{Collection: "c"}).Records {
					ids = append(ids, rec.ID)
					m := model[rec.ID]
					require.Equal(rt, people[m.owner].party(), rec.Owner)
					require.Equal(rt, m.version, rec.Version)
					require.Equal(rt, m.revoked, rec.Revoked)
					_, v := w.record("c", rec.ID)
					require.Equal(rt, m.data, string(v.Data))
					var history []string
					for _, v := range w.read(&ListVersions{Collection: "c", ID: rec.ID}).Versions {
						owner := slices.IndexFunc(people, func(p who) bool { return p.party() == v.Owner })
						history = append(history, fmt.Sprint(v.Action, owner))
					}
					require.Equal(rt, m.history, history)
				}
				require.Equal(rt, slices.Sorted(maps.Keys(model)), ids)
				owned := 0
				for _, p := range people {
					owned += len(w.read(&ListOwned{Owner: p.party()}).Records)
				}
				require.Equal(rt, len(model), owned)
			},
		})
	})
}

// FuzzApply: any bytes are an operation that ends with one result that decodes; what is
// refused changes nothing; and a read is the same beside the log.
func FuzzApply(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f.Add(randomOp(r))
	}
	f.Fuzz(func(t *testing.T, op []byte) {
		m := newTestMachine(t)
		block := statemachine.Block{Height: 1, Time: 1_700_000_000_000_000_000}
		for _, o := range []Operation{&CreateCollection{Name: "c"}, &CreateRecord{Collection: "c", ID: "1"}, &SetAuthority{Collection: "c", Authority: KeyParty(fake(0)), Topics: []string{"t"}}} {
			block.Ops = append(block.Ops, statemachine.Op{Client: fake(0), Data: Encode(o)})
		}
		m.Apply(block)
		before := m.Digest()
		block.Height, block.Ops = 2, []statemachine.Op{{Client: fake(0), Data: op}}
		res := m.Apply(block)
		require.Len(t, res, 1)
		require.NotEqual(t, statemachine.CodePanicked, res[0].Code)
		out, err := DecodeResult(res[0])
		require.NoError(t, err)
		if out.Err() != nil || out.Change == nil {
			require.Equal(t, before, m.Digest())
		}
		if o, err := Decode(op); err == nil {
			require.Equal(t, op, Encode(o))
			if b, err := m.Query(t.Context(), op); err == nil {
				q, err := DecodeAnswer(b)
				require.NoError(t, err)
				require.Equal(t, out, q)
			}
		}
	})
}

// FuzzDecodeResult: any bytes are a result or an error.
func FuzzDecodeResult(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	m := newTestMachine(f)
	for i := range 400 {
		res := m.Apply(statemachine.Block{Height: uint64(i) + 1, Time: 1_700_000_000_000_000_000, Ops: []statemachine.Op{{Client: fake(r.IntN(4)), Data: randomOp(r)}}})[0]
		f.Add(uint32(res.Code), res.Data)
	}
	f.Fuzz(func(t *testing.T, code uint32, data []byte) {
		res := statemachine.Result{Code: statemachine.ResultCode(code), Data: data}
		out, err := DecodeResult(res)
		if err == nil && code == 0 {
			require.Equal(t, data, out.encode(data[0]))
		}
	})
}

// FuzzDecodeState: what proofs carry is an entry of the state in its one encoding, or an
// error.
func FuzzDecodeState(f *testing.F) {
	w := newWorld(f, Genesis{})
	w.do(ann, &CreateCollection{Name: "c"})
	w.do(ann, &CreateRecord{Collection: "c", ID: "1", Data: []byte("x"), Commitment: crypto.Digest{1}})
	w.do(ann, &OfferRecord{Collection: "c", ID: "1", To: bob.party(), Expires: w.in(time.Hour)})
	v, err := w.m.Store().Last()
	require.NoError(f, err)
	for _, key := range [][]byte{RecordKey("c", "1"), VersionKey("c", "1", 1)} {
		b, ok := v.Get(key)
		require.True(f, ok)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if rec, err := DecodeRecord(b); err == nil {
			require.Equal(t, b, canon.Encode(rec.code))
		}
		if v, err := DecodeVersion(b); err == nil {
			require.Equal(t, b, canon.Encode(v.code))
		}
	})
}
