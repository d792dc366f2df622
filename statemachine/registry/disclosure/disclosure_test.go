package disclosure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store"
)

// salts are predictable, for tests.
func salts() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{1}) }

func document(t require.TestingT, n int) *Document {
	values := make(map[string]string)
	for i := range n {
		values[fmt.Sprintf("field%03d", i)] = fmt.Sprint("value ", i)
	}
	d, err := New(values, salts())
	require.NoError(t, err)
	return d
}

// Any fields of any document verify, and nothing else does.
func TestDisclose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "fields")
		d := document(t, n)
		var names []string
		var want []Field
		for _, f := range d.Fields {
			if rapid.Bool().Draw(t, "shown") {
				names = append(names, f.Name)
				want = append(want, f)
			}
		}
		shown, err := d.Disclose(rapid.Permutation(names).Draw(t, "names")...)
		require.NoError(t, err)
		got, err := shown.Verify(d.Commitment())
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = shown.Verify(crypto.Digest{1})
		require.ErrorIs(t, err, ErrInvalid)

		b := shown.Encode()
		for _, f := range d.Fields {
			if !slices.Contains(names, f.Name) {
				require.NotContains(t, string(b), f.Value+"\x00", "what is not shown is not in it")
				require.False(t, bytes.Contains(b, f.Salt[:]))
			}
		}
		for bit := rapid.IntRange(0, 30).Draw(t, "first bit"); bit < 8*len(b); bit += 31 {
			bad := slices.Clone(b)
			bad[bit/8] ^= 1 << (bit % 8)
			if q, err := Decode(bad); err == nil {
				_, err := q.Verify(d.Commitment())
				require.ErrorIs(t, err, ErrInvalid, "bit %d", bit)
			}
		}
		// Through JSON, as files have it.
		text, err := json.Marshal(shown)
		require.NoError(t, err)
		back := new(Disclosure)
		require.NoError(t, json.Unmarshal(text, back))
		require.Equal(t, b, back.Encode())
	})
}

// Every bit of a disclosure matters, however much of the document it shows.
func TestEveryBitOfADisclosureMatters(t *testing.T) {
	d := document(t, 5)
	for n := range d.Fields {
		var names []string
		for _, f := range d.Fields[:n+1] {
			names = append(names, f.Name)
		}
		shown, err := d.Disclose(names...)
		require.NoError(t, err)
		good := shown.Encode()
		for bit := range 8 * len(good) {
			bad := slices.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			if q, err := Decode(bad); err == nil {
				_, err := q.Verify(d.Commitment())
				require.ErrorIs(t, err, ErrInvalid, "bit %d of that which shows %d", bit, n+1)
			}
		}
	}
}

func TestDocuments(t *testing.T) {
	d := document(t, 3)
	text, err := json.Marshal(d)
	require.NoError(t, err)
	back, err := Parse(text)
	require.NoError(t, err)
	require.Equal(t, d, back)
	require.Equal(t, d.Commitment(), back.Commitment())
	_, err = d.Disclose("field000", "nothing")
	require.ErrorIs(t, err, ErrNoField)

	other, err := New(map[string]string{"field000": "value 0", "field001": "value 1", "field002": "value 2"}, rand.NewChaCha8([32]byte{2}))
	require.NoError(t, err)
	require.NotEqual(t, d.Commitment(), other.Commitment(), "equal values under other salts")

	for name, bad := range map[string]map[string]string{"no fields": {}, "no name": {"": "x"}, "long": {"a": strings.Repeat("a", MaxValueBytes+1)}, "no text": {"a": "\xff"}} {
		_, err := New(bad, salts())
		require.ErrorIs(t, err, ErrDocument, name)
	}
	for _, bad := range []string{`{"fields": [{"name": "b"}, {"name": "a"}]}`, `{"fields": [], "x": 1}`, `{"fields": [{"name": "a", "salt": "00"}]}`, ``} {
		_, err := Parse([]byte(bad))
		require.ErrorIs(t, err, ErrDocument)
	}
}

func TestPresentation(t *testing.T) {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	d := document(t, 5)
	c := d.Commitment()
	s.Block().Set(CommitmentKey("app/", "people", "ada", 3), c[:])
	s.Block().Set([]byte("other"), []byte("x"))
	require.NoError(t, s.Commit(1))
	state, err := s.Digest()
	require.NoError(t, err)
	view, err := s.Last()
	require.NoError(t, err)
	prove := func(id string, version uint64) *Presentation {
		q, err := view.Prove(CommitmentKey("app/", "people", id, version))
		require.NoError(t, err)
		shown, err := d.Disclose("field002")
		require.NoError(t, err)
		p, err := DecodePresentation((&Presentation{"people", id, version, q, shown}).Encode())
		require.NoError(t, err)
		return p
	}
	p := prove("ada", 3)
	fields, err := p.Verify(state, "app/")
	require.NoError(t, err)
	require.Equal(t, "value 2", fields[0].Value)
	for name, err := range map[string]error{
		"another state":   func() error { _, err := p.Verify(crypto.Digest{1}, "app/"); return err }(),
		"another place":   func() error { _, err := p.Verify(state, ""); return err }(),
		"another record":  func() error { q := *p; q.ID = "bob"; _, err := q.Verify(state, "app/"); return err }(),
		"another version": func() error { q := *p; q.Version = 4; _, err := q.Verify(state, "app/"); return err }(),
		"not there":       func() error { _, err := prove("bob", 3).Verify(state, "app/"); return err }(),
		"no proof":        func() error { q := *p; q.Proof = nil; _, err := q.Verify(state, "app/"); return err }(),
	} {
		require.ErrorIs(t, err, ErrInvalid, name)
	}
}

func FuzzDecode(f *testing.F) {
	d := document(f, 6)
	shown, err := d.Disclose("field001", "field004")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shown.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodePresentation(b); err == nil {
			require.Equal(t, b, p.Encode())
		}
		q, err := Decode(b)
		if err != nil {
			return
		}
		require.Equal(t, b, q.Encode())
		fields, err := q.Verify(d.Commitment())
		if err == nil {
			for _, f := range fields {
				have, ok := d.Field(f.Name)
				require.True(t, ok)
				require.Equal(t, have, f)
			}
		}
	})
}
