package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// Cursor is a place in the history of all changes: which were before it, a hash says that
// the cluster certifies. It is good with every replica, and for ever, as long as they keep
// what came after it. The zero cursor stands for the place that is the newest when a watch
// begins.
//
// The cursors that watchers of one cluster gave are equal (==) if they are the same place.
// To be stored a cursor becomes text, by [Cursor.String] or as a field that encoding/json
// or the like encodes, and [ParseCursor] makes a cursor of the text: nobody else should
// take it apart.
type Cursor struct {
	at feed.Position
	// taken says that the cursor is in the middle of the next block that changed something,
	// after so many of its changes.
	taken uint64
}

// FromBeginning is the cursor before the first change: of the first block, or of what the
// application's state began with.
func FromBeginning() Cursor { return Cursor{at: feed.Beginning()} }

// Height is that of the last block that changed something before the cursor, all of which
// is before it; 0 of the zero cursor and at the beginning.
func (c Cursor) Height() pbft.Height { return pbft.Height(c.at.Height) }

// ErrCursor: the text is no cursor, or the cursor is no place in this cluster's history.
var ErrCursor = errors.New("not a cursor")

const (
	cursorNow       = "now"
	cursorBeginning = "beginning"
)

// String returns the text of the cursor, which [ParseCursor] reads: "now" of the zero one,
// "beginning", or the height, "+" and the changes that were taken of the next block if there
// are any, "-" and the digest of the chain.
func (c Cursor) String() string {
	switch c {
	case Cursor{}:
		return cursorNow
	case FromBeginning():
		return cursorBeginning
	}
	taken := ""
	if c.taken > 0 {
		taken = "+" + strconv.FormatUint(c.taken, 10)
	}
	return strconv.FormatUint(c.at.Height, 10) + taken + "-" + c.at.Chain.Hex()
}

// ParseCursor reads what [Cursor.String] wrote. The error wraps [ErrCursor].
func ParseCursor(text string) (c Cursor, err error) {
	switch text {
	case cursorNow:
		return c, nil
	case cursorBeginning:
		return FromBeginning(), nil
	}
	place, chain, ok := strings.Cut(text, "-")
	height, taken, inside := strings.Cut(place, "+")
	if c.at.Height, err = strconv.ParseUint(height, 10, 64); err == nil && inside {
		c.taken, err = strconv.ParseUint(taken, 10, 64)
	}
	if err == nil {
		err = c.at.Chain.UnmarshalText([]byte(chain))
	}
	// There is one text for each: what is written otherwise is a mistake. The zero chain is no
	// place in any history; a replica would take it for a question about none.
	if !ok || err != nil || c.at.Chain.IsZero() || c.String() != text {
		return Cursor{}, fmt.Errorf("%w: %q: want \"now\", \"beginning\", or a height, perhaps + and a number, - and %d hexadecimal digits",
			ErrCursor, text, 2*crypto.DigestSize)
	}
	return c, nil
}

// MarshalText returns [Cursor.String].
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is [ParseCursor].
func (c *Cursor) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCursor(string(text))
	return err
}
