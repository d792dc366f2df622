package feed

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

func pieces(changes ...Change) ([][]byte, crypto.Digest) {
	var p Pieces
	for i := range changes {
		p.Add(&changes[i])
	}
	return p.Finish()
}

func TestPieces(t *testing.T) {
	var want []Change
	for i := range 10 {
		c := Change{Key: fmt.Append(nil, "key", i), Value: bytes.Repeat([]byte{byte(i)}, PieceBytes/3)}
		if i == 4 {
			c.Value, c.Deleted = nil, true
		}
		want = append(want, c)
	}
	ps, digest := pieces(want...)
	require.Len(t, ps, 3)
	var got []Change
	for i, p := range ps {
		_, _, err := OpenPiece(p, crypto.Digest{1})
		require.ErrorIs(t, err, ErrOther)
		cs, next, err := OpenPiece(p, digest)
		require.NoError(t, err)
		require.Equal(t, i == len(ps)-1, next.IsZero())
		got, digest = append(got, cs...), next
	}
	require.Equal(t, want, got)
}

// Whatever is other than it was leads elsewhere.
func TestEveryBitOfALinkMatters(t *testing.T) {
	l := Link{Height: 7, Time: 9, Changes: crypto.Digest{3}}
	from := Position{5, crypto.Digest{4}}
	good := from.Next(&l)
	require.Equal(t, uint64(7), good.Height)
	enc := AppendLinks(nil, []Link{l})
	for bit := range 8 * len(enc) {
		enc[bit/8] ^= 1 << (bit % 8)
		ls, err := DecodeLinks(enc)
		require.NoError(t, err)
		require.NotEqual(t, good.Chain, from.Next(&ls[0]).Chain)
		enc[bit/8] ^= 1 << (bit % 8)
	}
	for bit := range 8 * crypto.DigestSize {
		other := from
		other.Chain[bit/8] ^= 1 << (bit % 8)
		require.NotEqual(t, good.Chain, other.Next(&l).Chain)
	}
}

func TestFollow(t *testing.T) {
	at := Beginning()
	ls := []Link{{Height: 0}, {Height: 3}, {Height: 4}}
	end, err := Follow(at, ls, 4)
	require.NoError(t, err)
	require.Equal(t, uint64(4), end.Height)
	_, err = Follow(at, ls, 3)
	require.ErrorIs(t, err, ErrOrder)
	_, err = Follow(at, []Link{ls[1], ls[0]}, 4)
	require.ErrorIs(t, err, ErrOrder)
	_, err = Follow(at, []Link{ls[1], ls[1]}, 4)
	require.ErrorIs(t, err, ErrOrder)
	_, err = Follow(at, []Link{ls[0], ls[0]}, 4)
	require.ErrorIs(t, err, ErrOrder)
}

// The digests are part of the protocol: whoever verifies in another language computes
// these.
func TestVectors(t *testing.T) {
	ps, changes := pieces(Change{Key: []byte("a"), Value: []byte("1")}, Change{Key: []byte("b"), Deleted: true})
	require.Equal(t, "0000000000000000000000000000000000000000000000000000000000000000"+"01"+"00000001"+"61"+"00000001"+"31"+"02"+"00000001"+"62", fmt.Sprintf("%x", ps[0]))
	p := Beginning().Next(&Link{Height: 1, Time: 2, Changes: changes})
	require.Equal(t, "8b941236261665b772f646e25702f88523b7cff14201f108dfe6f8b3440b766c", Beginning().Chain.Hex())
	require.Equal(t, "6fc26517b223a40cbd4dbf7768706eb9542f83d064d01c1833bbac1307b413ee", changes.Hex())
	require.Equal(t, "5fbfbadecc275e38960bd752bbb90bf0409fee302edbb9e803da0421f7472e68", p.Chain.Hex())
}

// FuzzDecode: everything that decodes has one encoding.
func FuzzDecode(f *testing.F) {
	ps, changes := pieces(Change{Key: []byte("a"), Value: []byte("1")}, Change{Key: []byte("b"), Deleted: true})
	f.Add(ps[0])
	f.Add(AppendLinks(nil, []Link{{1, 2, changes}, {3, 4, changes}}))
	f.Add(Beginning().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodePosition(b); err == nil {
			require.Equal(t, b, p.Append(nil))
		} else {
			require.ErrorIs(t, err, ErrMalformed)
		}
		if ls, err := DecodeLinks(b); err == nil {
			require.True(t, bytes.Equal(b, AppendLinks(nil, ls)))
		}
		cs, next, err := decodePiece(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		if len(b) < PieceBytes {
			again, _ := pieces(cs...)
			require.Len(t, again, 1)
			copy(again[0], next[:])
			require.Equal(t, b, again[0])
		}
	})
}
