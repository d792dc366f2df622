package signed

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

func signer(n byte) *ed25519.Signer {
	return ed25519.NewSigner(ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{n}))
}

var here = Space{crypto.Digest{1}, "test"}

func opener(t *testing.T) (*Opener, *store.Store) {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	return &Opener{here, ed25519.NewVerifier(16), time.Hour}, s
}

func everybody(crypto.PublicKey) bool { return true }

// counting counts the signatures that it checks.
type counting struct {
	crypto.RequestVerifier
	checked int
}

func (c *counting) VerifyBatch(items []crypto.Item) []bool {
	c.checked += len(items)
	return c.RequestVerifier.VerifyBatch(items)
}

// Only signatures that have a say are checked, and of those that are rubbish one.
func TestCheckWhoHasASay(t *testing.T) {
	o, s := opener(t)
	v := &counting{RequestVerifier: o.Verifier}
	o.Verifier = v
	e := Envelope{Deadline: 1000, Op: []byte("op")}
	for n := range byte(MaxKeys) {
		e.Add(Signature{Key: signer(n).Public()})
	}
	for _, n := range []byte{3, 5} {
		require.NoError(t, e.Sign(here, signer(n)))
	}
	is, err := o.Open(s.Block(), e.Encode(), 1000, crypto.PublicKey{9})
	require.NoError(t, err)
	require.Zero(t, v.checked)
	require.Len(t, is.Signers, MaxKeys+1)
	good := Of(0, signer(3).Public(), signer(5).Public(), crypto.PublicKey{9})
	require.NoError(t, is.Check(func(k crypto.PublicKey) bool { return good.Count([]crypto.PublicKey{k}) == 1 }))
	require.Equal(t, 2, v.checked)
	require.NoError(t, is.Check(func(crypto.PublicKey) bool { return false }))
	require.Equal(t, 2, v.checked)
	require.ErrorIs(t, is.Check(func(k crypto.PublicKey) bool { return good.Count([]crypto.PublicKey{k}) == 0 }), ErrSignature)
	require.Equal(t, 3, v.checked)
}

func TestOpen(t *testing.T) {
	o, s := opener(t)
	const now = statemachine.Time(1e18)
	e := Envelope{Deadline: now + 5, Op: []byte("op")}
	require.NoError(t, e.Sign(here, signer(1)))
	require.NoError(t, e.Sign(here, signer(2)))
	client := crypto.PublicKey{9}
	open := func(e Envelope, now statemachine.Time) error {
		in := s.Block().Begin()
		defer in.Discard()
		is, err := o.Open(in, e.Encode(), now, client)
		if err == nil {
			err = is.Check(everybody)
		}
		if err == nil {
			require.Equal(t, "op", string(is.Op))
			require.Equal(t, Of(0, client, signer(1).Public(), signer(2).Public()).Keys, is.Signers)
			in.Commit()
		}
		return err
	}
	// What is foreign.
	for name, other := range map[string]Space{"another chain": {crypto.Digest{2}, "test"}, "another application": {crypto.Digest{1}, "toast"}} {
		f := Envelope{Deadline: now + 5, Op: []byte("op")}
		require.NoError(t, f.Sign(other, signer(1)))
		require.ErrorIs(t, open(f, now), ErrSignature, name)
	}
	late := e
	late.Deadline++
	require.ErrorIs(t, open(late, now), ErrSignature, "another deadline")
	other := e
	other.Op = []byte("po")
	require.ErrorIs(t, open(other, now), ErrSignature, "another operation")
	request := Envelope{Deadline: now + 5, Op: []byte("op")}
	d := request.Digest(here)
	sig, _ := crypto.SignatureOf(signer(1).Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: here.Chain}, d[:]))
	request.Add(Signature{signer(1).Public(), sig})
	require.ErrorIs(t, open(request, now), ErrSignature, "another kind of signature")
	far := Envelope{Deadline: now + statemachine.Time(time.Hour) + 1}
	require.ErrorIs(t, open(far, now), ErrDeadline)
	require.ErrorIs(t, open(e, now+6), ErrExpired)
	_, err := o.Open(s.Block(), []byte("nothing"), now, client)
	require.ErrorIs(t, err, ErrMalformed)

	// Once, also with other signatures; what was refused does not count.
	in := s.Block().Begin()
	_, err = o.Open(in, e.Encode(), now, client)
	require.NoError(t, err)
	in.Discard()
	require.NoError(t, open(e, now))
	require.ErrorIs(t, open(e, now+5), ErrReplayed)
	e.Signatures = e.Signatures[:1]
	require.ErrorIs(t, open(e, now), ErrReplayed)
}

// Used envelopes are forgotten when their deadlines have passed, and not before.
func TestUsedAreForgotten(t *testing.T) {
	o, s := opener(t)
	count := func() (n int) {
		for range s.Block().Range(nil, nil) {
			n++
		}
		return n
	}
	for i := range statemachine.Time(100) {
		_, err := o.Open(s.Block(), (&Envelope{Deadline: 1000 + i}).Encode(), 1000, crypto.PublicKey{})
		require.NoError(t, err)
	}
	require.Equal(t, 100, count())
	for i := range statemachine.Time(33) {
		_, err := o.Open(s.Block(), (&Envelope{Deadline: 3000 + i}).Encode(), 2000, crypto.PublicKey{})
		require.NoError(t, err)
	}
	require.Equal(t, 33, count())
}

func TestThreshold(t *testing.T) {
	a, b, c := crypto.PublicKey{1}, crypto.PublicKey{2}, crypto.PublicKey{3}
	two := Of(2, c, a, b, a)
	require.NoError(t, two.Validate())
	require.Equal(t, []crypto.PublicKey{a, b, c}, two.Keys)
	require.True(t, two.Met([]crypto.PublicKey{a, c}))
	require.False(t, two.Met([]crypto.PublicKey{b}))
	require.False(t, two.Met([]crypto.PublicKey{b, {9}}))
	var nobody Threshold
	require.True(t, nobody.IsZero())
	require.False(t, nobody.Met([]crypto.PublicKey{a}))
	for _, bad := range []Threshold{{}, {0, two.Keys}, {4, two.Keys}, {1, []crypto.PublicKey{b, a}}, {1, []crypto.PublicKey{a, a}}, {1, make([]crypto.PublicKey, MaxKeys+1)}} {
		require.Error(t, bad.Validate())
	}
	var back Threshold
	require.NoError(t, canon.Decode(canon.Encode(two.Code), back.Code))
	require.Equal(t, two, back)
	require.Error(t, canon.Decode(canon.Encode((&Threshold{1, []crypto.PublicKey{b, a}}).Code), back.Code))
}

func FuzzDecode(f *testing.F) {
	e := Envelope{Deadline: 7, Op: []byte("op")}
	f.Add(e.Encode())
	if err := e.Sign(here, signer(1)); err != nil {
		f.Fatal(err)
	}
	f.Add(e.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err == nil {
			require.Equal(t, b, e.Encode())
		}
	})
}
