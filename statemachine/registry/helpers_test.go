package registry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

var chain = crypto.Digest{1, 2, 3}

const start = statemachine.Time(1_700_000_000_000_000_000)

// who is somebody with a key.
type who struct{ *ed25519.Signer }

func person(n byte) who {
	return who{ed25519.NewSigner(ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{n}))}
}

func (w who) party() Party { return KeyParty(w.Public()) }

func (w who) alone() signed.Threshold { return signed.Of(1, w.Public()) }

func keysOf(people ...who) (keys []crypto.PublicKey) {
	for _, w := range people {
		keys = append(keys, w.Public())
	}
	return keys
}

var (
	ann, bob, cem, dan, eve = person(1), person(2), person(3), person(4), person(5)
)

// world is a registry whose clock the test moves.
type world struct {
	t      testing.TB
	m      *store.Machine
	height uint64
	now    statemachine.Time
}

func newWorld(t testing.TB, g Genesis) *world {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	m, err := NewMachine(s, chain, g)
	require.NoError(t, err)
	return &world{t: t, m: m, now: start}
}

func (w *world) pass(d time.Duration) { w.now += statemachine.Time(d) }

func (w *world) in(d time.Duration) statemachine.Time { return w.now + statemachine.Time(d) }

// submit runs bytes in a block of their own. A rejection must change nothing, and must
// be the same in words on every replica, so they must not be cut.
func (w *world) submit(by who, data []byte) *Result {
	w.t.Helper()
	before := w.m.Digest()
	w.height++
	res := w.m.Apply(statemachine.Block{Height: w.height, Time: w.now, Ops: []statemachine.Op{{Client: by.Public(), Data: data}}})
	require.Len(w.t, res, 1)
	require.NotEqual(w.t, statemachine.CodePanicked, res[0].Code)
	r, err := DecodeResult(res[0])
	require.NoError(w.t, err)
	if r.Code != statemachine.CodeOK {
		require.Equal(w.t, before, w.m.Digest(), "a rejection changed the state: %v", r.Err())
		require.NotEmpty(w.t, r.Detail)
		require.Less(w.t, len(r.Detail), maxDetail)
	}
	return r
}

func (w *world) do(by who, o Operation) *Change {
	w.t.Helper()
	r := w.submit(by, Encode(o))
	require.NoError(w.t, r.Err(), "%T", o)
	require.Equal(w.t, Stamp{w.height, w.now}, r.Change.At)
	return r.Change
}

func (w *world) refused(want error, by who, o Operation) string {
	w.t.Helper()
	r := w.submit(by, Encode(o))
	require.ErrorIs(w.t, r.Err(), want, "%T", o)
	return r.Detail
}

// sign makes a signed operation that is good for a minute.
func (w *world) sign(o Operation, by ...who) []byte {
	e := signed.Envelope{Deadline: w.in(time.Minute), Op: Encode(o)}
	for _, s := range by {
		require.NoError(w.t, e.Sign(Space(chain), s))
	}
	return EncodeSigned(&e)
}

func (w *world) doSigned(by who, o Operation, signers ...who) *Change {
	w.t.Helper()
	r := w.submit(by, w.sign(o, signers...))
	require.NoError(w.t, r.Err(), "%T", o)
	return r.Change
}

func (w *world) refusedSigned(want error, by who, o Operation, signers ...who) string {
	w.t.Helper()
	r := w.submit(by, w.sign(o, signers...))
	require.ErrorIs(w.t, r.Err(), want, "%T", o)
	return r.Detail
}

// read asks through the log and beside it, which must be the same.
func (w *world) read(o Operation) *Result {
	w.t.Helper()
	r := w.submit(eve, Encode(o))
	b, err := w.m.Query(w.t.Context(), Encode(o))
	require.NoError(w.t, err)
	q, err := DecodeAnswer(b)
	require.NoError(w.t, err)
	require.Equal(w.t, r, q)
	return r
}

func (w *world) record(collection, id string) (*Record, *Version) {
	w.t.Helper()
	r := w.read(&GetRecord{collection, id})
	require.NoError(w.t, r.Err())
	return r.Record, r.Version
}

// twoOf registers a party of two of three keys, with a recovery.
func (w *world) twoOf(name Party, a, b, c who, recovery signed.Threshold) {
	w.t.Helper()
	w.doSigned(a, &RegisterParty{Name: name, Keys: signed.Of(2, keysOf(a, b, c)...), Recovery: recovery}, b)
}
