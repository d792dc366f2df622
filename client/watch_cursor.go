package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// Cursor is a place in the history of all changes: which were before it, a hash says that
// the cluster certifies. It is good with every replica, and for ever, as long as they keep
// what came after it. The zero cursor stands for the place that is the newest when a watch
// begins.
type Cursor struct {
	feed.Position
	// Taken says that the cursor is in the middle of the next block that changed something,
	// after so many of its changes.
	Taken uint64
}

// FromBeginning is the cursor before the first change: of the first block, or of what the
// application's state began with.
func FromBeginning() Cursor { return Cursor{Position: feed.Beginning()} }

// ErrCursor: the text is no cursor, or the cursor is no place in this cluster's history.
var ErrCursor = errors.New("not a cursor")

const (
	cursorNow       = "now"
	cursorBeginning = "beginning"
)

// String returns the text of the cursor, which [ParseCursor] reads: "now" of the zero one,
// "beginning", or the height, "+" and Taken if it is not 0, "-" and the digest of the chain.
func (c Cursor) String() string {
	switch c {
	case Cursor{}:
		return cursorNow
	case FromBeginning():
		return cursorBeginning
	}
	taken := ""
	if c.Taken > 0 {
		taken = "+" + strconv.FormatUint(c.Taken, 10)
	}
	return strconv.FormatUint(c.Height, 10) + taken + "-" + c.Chain.Hex()
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
	if c.Height, err = strconv.ParseUint(height, 10, 64); err == nil && inside {
		c.Taken, err = strconv.ParseUint(taken, 10, 64)
	}
	if err == nil {
		err = c.Chain.UnmarshalText([]byte(chain))
	}
	if err == nil {
		err = c.check()
	}
	// There is one text for each: what is written otherwise is a mistake.
	if !ok || err != nil || c.String() != text {
		return Cursor{}, fmt.Errorf("%w: %q: want \"now\", \"beginning\", or a height, perhaps + and a number, - and %d hexadecimal digits",
			ErrCursor, text, 2*crypto.DigestSize)
	}
	return c, nil
}

// check refuses what is no place in any history: the zero chain, with which a replica would
// be asked for no changes.
func (c Cursor) check() error {
	if c != (Cursor{}) && c.Chain.IsZero() {
		return fmt.Errorf("%w: a chain of zeros at height %d, taken %d: begin at what an event gave, \"now\" or \"beginning\"", ErrCursor, c.Height, c.Taken)
	}
	return nil
}

// MarshalText returns [Cursor.String].
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is [ParseCursor].
func (c *Cursor) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCursor(string(text))
	return err
}
