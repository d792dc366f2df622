package proof

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// A long value is hashed in pieces, so that whoever gets it from several replicas can check each
// piece as it comes, and knows whose was wrong.

// PieceBytes is the length of a piece, but for the last one; a value that is no longer has
// none.
const PieceBytes = 1 << 20

const (
	domainLong  = crypto.Domain("parley/store-long-value")
	domainPiece = crypto.Domain("parley/store-piece")
)

// Pieces is how many pieces a value of so many bytes has; 0 if it is not long.
func Pieces(size int) int {
	if size <= PieceBytes {
		return 0
	}
	return (size + PieceBytes - 1) / PieceBytes
}

// Piece returns a piece of a long value. It shares memory with that.
func Piece(value []byte, i int) []byte {
	at := i * PieceBytes
	return value[at:min(at+PieceBytes, len(value))]
}

// PieceDigest is the digest of a piece.
func PieceDigest(piece []byte) crypto.Digest { return hash(domainPiece, piece) }

// PieceDigests are those of all pieces of a long value, in order.
func PieceDigests(value []byte) []crypto.Digest {
	all := make([]crypto.Digest, Pieces(len(value)))
	for i := range all {
		all[i] = PieceDigest(Piece(value, i))
	}
	return all
}

// LongDigest is the [ValueDigest] of a long value of so many bytes, whose pieces have these
// digests.
func LongDigest(size int, pieces []crypto.Digest) crypto.Digest {
	b := canon.AppendUint64(make([]byte, 0, 8+len(pieces)*crypto.DigestSize), uint64(size))
	for i := range pieces {
		b = append(b, pieces[i][:]...)
	}
	return hash(domainLong, b)
}
