package feed

import (
	"errors"
	"fmt"
)

// Errors for lists that are not what was certified; test with errors.Is.
var (
	// ErrOther: it is not what the chain says.
	ErrOther = errors.New("not what the chain of changes says")
	// ErrOrder: a link's height is not above that of the one before.
	ErrOrder = errors.New("links out of order")
)

// Follow returns the position after links that come after from, none of them above the
// height most.
func Follow(from Position, links []Link, most uint64) (Position, error) {
	for i := range links {
		l := &links[i]
		if !from.Follows(l.Height) || l.Height > most {
			return from, fmt.Errorf("%w: height %d after %d, at most %d", ErrOrder, l.Height, from.Height, most)
		}
		from = from.Next(l)
	}
	return from, nil
}
