package canon

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type sample struct {
	A    uint8
	B    bool
	C    uint32
	D    uint64
	E    [3]byte
	F    []byte
	G    string
	List []inner
}

type inner struct {
	Name string
	N    uint64
}

func (s *sample) code(c *Codec) {
	c.Uint8(&s.A)
	c.Bool(&s.B)
	c.Uint32(&s.C)
	c.Uint64(&s.D)
	c.Fixed(s.E[:])
	c.Bytes(&s.F, 8)
	c.String(&s.G, 8)
	List(c, &s.List, 3, 12, func(c *Codec, i *inner) {
		c.String(&i.Name, 4)
		c.Uint64(&i.N)
	})
	if c.Reading() && s.G == "refused" {
		c.Fail("it says %q", s.G)
	}
}

// What is written is read again, and every other encoding is refused.
func TestCodecBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.Custom(func(t *rapid.T) sample {
			s := sample{
				A: rapid.Uint8().Draw(t, "a"), B: rapid.Bool().Draw(t, "b"), C: rapid.Uint32().Draw(t, "c"), D: rapid.Uint64().Draw(t, "d"),
				F: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "f"), G: rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 8, 8).Draw(t, "g"),
			}
			for range rapid.IntRange(0, 3).Draw(t, "n") {
				s.List = append(s.List, inner{rapid.StringOfN(rapid.RuneFrom([]rune("xy")), 0, 4, 4).Draw(t, "name"), rapid.Uint64().Draw(t, "n")})
			}
			return s
		}).Draw(t, "sample")
		b := Encode(in.code)
		var out sample
		require.NoError(t, Decode(b, out.code))
		if len(in.F) == 0 {
			in.F, out.F = nil, nil
		}
		require.Equal(t, in, out)
		require.Equal(t, append([]byte("x"), b...), Append([]byte("x"), in.code))
		for n := range b {
			require.ErrorIs(t, Decode(b[:n], new(sample).code), ErrMalformed)
		}
		require.ErrorIs(t, Decode(append(b, 0), new(sample).code), ErrMalformed)
	})
	for _, bad := range []sample{{F: make([]byte, 9)}, {G: "123456789"}, {List: make([]inner, 4)}, {G: "refused"}} {
		require.ErrorIs(t, Decode(Encode(bad.code), new(sample).code), ErrMalformed)
	}
}
