package statemachine

import (
	"encoding/binary"

	"github.com/parley-bft/parley/crypto/canon"
)

// resultHeader is what the encoding of a result has beside its data.
const resultHeader = 4 + 4

// ResultsSize is the length of what [AppendResults] appends.
func ResultsSize(results []Result) int {
	n := len(results) * resultHeader
	for i := range results {
		n += len(results[i].Data)
	}
	return n
}

// AppendResults appends the encoding of a request's results, as clients get it: for
// each the code, the length of the data, both with four bytes, and the data.
func AppendResults(b []byte, results []Result) []byte {
	for i := range results {
		b = canon.AppendUint32(b, uint32(results[i].Code))
		b = canon.AppendBytes(b, results[i].Data)
	}
	return b
}

// nextResult cuts the first result off b.
func nextResult(b []byte) (r Result, rest []byte, ok bool) {
	if len(b) < resultHeader {
		return r, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b[4:]))
	if n > uint64(len(b)-resultHeader) {
		return r, nil, false
	}
	end := resultHeader + int(n)
	r.Code = ResultCode(binary.BigEndian.Uint32(b))
	if n > 0 {
		r.Data = b[resultHeader:end:end]
	}
	return r, b[end:], true
}

// AreResults tells whether b is the encoding of n results. It allocates nothing.
func AreResults(b []byte, n int) bool {
	for ; n > 0; n-- {
		var ok bool
		if _, b, ok = nextResult(b); !ok {
			return false
		}
	}
	return len(b) == 0
}

// DecodeResults reads what [AppendResults] wrote of n results. Their data aliases b.
func DecodeResults(b []byte, n int) ([]Result, bool) {
	if !AreResults(b, n) {
		return nil, false
	}
	results := make([]Result, n)
	for i := range results {
		results[i], b, _ = nextResult(b)
	}
	return results, true
}
