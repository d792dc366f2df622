package store

import (
	"errors"

	"github.com/parley-bft/parley/crypto"
)

// A handler's query is given a part of a state, if something stands around the handler
// that has the rest. What follows is about the whole state that it is of.

// ErrNotView: a reader is not that of a query but a transaction, say.
var ErrNotView = errors.New("the state is that of no height")

// viewOf returns the view that r reads a part of, and the part.
func viewOf(r Reader) (v *View, part string, err error) {
	for {
		switch in := r.(type) {
		case *View:
			return in, part, nil
		case *prefixReader:
			r, part = in.r, in.prefix+part
		default:
			return nil, "", ErrNotView
		}
	}
}

// HeightOf returns the height of the state that r reads, or [ErrNotView].
func HeightOf(r Reader) (uint64, error) {
	v, _, err := viewOf(r)
	if err != nil {
		return 0, err
	}
	return v.Height(), nil
}

// DigestOf returns the digest of the whole state that r reads a part of: see
// [View.Digest]. The error may also be [ErrNotView].
func DigestOf(r Reader) (crypto.Digest, error) {
	v, _, err := viewOf(r)
	if err != nil {
		return crypto.Digest{}, err
	}
	return v.Digest()
}

// AtHeight returns the same part of the state at another height: see [Store.At]. The
// error may also be [ErrNotView].
func AtHeight(r Reader, height uint64) (Reader, error) {
	v, part, err := viewOf(r)
	if err != nil {
		return nil, err
	}
	then, err := v.s.At(height)
	switch {
	case err != nil:
		return nil, err
	case part == "":
		return then, nil
	}
	return PrefixReader(then, part), nil
}
