package kv

// slab gives out memory for small results, so that most operations allocate none. What
// is given out is never given out again; it lives as long as any result of its piece.
type slab struct {
	piece []byte
	used  int
}

const (
	slabPiece   = 16 << 10
	slabLeast   = 256  // room below which the rest of a piece is given up
	slabLargest = 1024 // a longer result would keep a whole piece alive for too long
)

// next returns room to append a result to.
func (s *slab) next() []byte {
	if len(s.piece)-s.used < slabLeast {
		s.piece, s.used = make([]byte, slabPiece), 0
	}
	return s.piece[s.used:s.used]
}

// take keeps what was appended to next's answer. A result that outgrew the piece has
// memory of its own by then.
func (s *slab) take(result []byte) []byte {
	if cap(result) == len(s.piece)-s.used && len(result) > 0 && &result[0] == &s.piece[s.used] {
		if len(result) > slabLargest {
			result = clone(result)
		} else {
			s.used += len(result)
		}
	}
	return result[:len(result):len(result)]
}
