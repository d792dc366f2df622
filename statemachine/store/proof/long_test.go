package proof

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// The digest of a long value is made of its pieces, that of another one is not, and no two
// values have the same.
func TestValueDigest(t *testing.T) {
	seen := map[crypto.Digest]int{}
	for _, size := range []int{0, 1, PieceBytes - 1, PieceBytes, PieceBytes + 1, 2 * PieceBytes, 2*PieceBytes + 5} {
		value := bytes.Repeat([]byte{7}, size)
		d := ValueDigest(value)
		require.NotContains(t, seen, d, size)
		seen[d] = size
		if size <= PieceBytes {
			require.Zero(t, Pieces(size))
			require.Equal(t, crypto.Hash("parley/store-value", value), d)
			continue
		}
		pieces := PieceDigests(value)
		require.Len(t, pieces, Pieces(size))
		require.Equal(t, d, LongDigest(size, pieces))
		require.NotEqual(t, d, LongDigest(size-1, pieces))
		var joined []byte
		for i := range pieces {
			joined = append(joined, Piece(value, i)...)
			require.Equal(t, crypto.Hash("parley/store-piece", Piece(value, i)), pieces[i])
		}
		require.Equal(t, value, joined)
		for _, at := range []int{0, PieceBytes, size - 1} {
			value[at] ^= 1
			require.NotEqual(t, d, ValueDigest(value))
			value[at] ^= 1
		}
	}
}
