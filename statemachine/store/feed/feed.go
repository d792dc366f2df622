// Package feed is the chain of changes that a store (package statemachine/store) keeps
// under its own key, as part of the state: what a list of changes must hash to, so that
// whoever knows one place on the chain and a certified later one can tell whether a list
// is all that changed in between, in order, and nothing else. It opens no connection and
// trusts nobody.
//
// # The chain
//
// A block changes a key if the key has another value after it than before it, or is there
// after it and was not before, or the other way round. A key that is set to the value
// that it has, or set and deleted within the block, did not change; one that is set
// several times changed once, to its last value. The changes of a block, in ascending
// order of their keys, are encoded into pieces (see [Pieces]), each of which holds
// the digest of the next; so the digest of the first covers them all, and each piece can
// be checked as it comes. A [Link] is a block that changed something: its height, its
// time, and the digest of its first piece. The chain starts at [Beginning], and each link
// continues it:
//
//	next = H("parley/store/feed/chain", chain, height, time, changes)
//
// Blocks that changed nothing have no link. The state maps [Key] to the [Position] after
// the last link, so the digest of the state that a checkpoint certifies covers the whole
// history of changes.
package feed

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Reserved begins the keys of the store's own, which applications can neither read nor
// write.
const Reserved = "\xffparley/"

// Key is what the state maps to the [Position] after the last change. As long as nothing
// has ever changed it is absent.
const Key = Reserved + "store/feed"

const (
	domainBeginning crypto.Domain = "parley/store/feed/beginning"
	domainChain     crypto.Domain = "parley/store/feed/chain"
	domainPiece     crypto.Domain = "parley/store/feed/piece"
)

// ErrMalformed is wrapped by the errors for bytes that are no encoding.
var ErrMalformed = canon.ErrMalformed

// Position is a place on the chain: between two links.
type Position struct {
	// Height is that of the last link before it. (A higher one, below that of the next link,
	// names the same place.)
	Height uint64
	// Chain is the digest of everything before it.
	Chain crypto.Digest
}

// Beginning is the position before the first change.
func Beginning() Position { return Position{Chain: beginning} }

var beginning = crypto.Hash(domainBeginning)

// IsBeginning tells whether nothing is before the position.
func (p Position) IsBeginning() bool { return p.Chain == beginning }

// Link is a block that changed something.
type Link struct {
	Height uint64
	// Time is the block's: nanoseconds since 1970. It is 0 for the state before the first
	// block.
	Time    uint64
	Changes crypto.Digest // of the first piece
}

// Next is the position after a link.
func (p Position) Next(l *Link) Position {
	var b [2 * 8]byte
	n := canon.AppendUint64(b[:0], l.Height)
	n = canon.AppendUint64(n, l.Time)
	return Position{l.Height, crypto.Hash(domainChain, p.Chain[:], n, l.Changes[:])}
}

// Follows tells whether a link of that height can come after the position.
func (p Position) Follows(height uint64) bool {
	return height > p.Height || p.IsBeginning() && height == p.Height
}

// PositionBytes and LinkBytes are the lengths of the encodings.
const (
	PositionBytes = 8 + crypto.DigestSize
	LinkBytes     = 8 + 8 + crypto.DigestSize
)

// MaxLinks is how many links a replica returns at once: exactly as many, if there are more.
const MaxLinks = 8192

// Append appends the encoding: height, chain.
func (p Position) Append(b []byte) []byte {
	return append(canon.AppendUint64(b, p.Height), p.Chain[:]...)
}

// DecodePosition reads what [Position.Append] wrote.
func DecodePosition(b []byte) (p Position, err error) {
	r := canon.NewReader(b)
	p.read(r)
	if err := r.Close(); err != nil {
		return Position{}, fmt.Errorf("position of a feed: %w", err)
	}
	return p, nil
}

func (p *Position) read(r *canon.Reader) {
	p.Height = r.Uint64()
	r.Copy(p.Chain[:])
}

// Append appends the encoding: height, time, changes.
func (l *Link) Append(b []byte) []byte {
	b = canon.AppendUint64(b, l.Height)
	b = canon.AppendUint64(b, l.Time)
	return append(b, l.Changes[:]...)
}

func (l *Link) read(r *canon.Reader) {
	l.Height, l.Time = r.Uint64(), r.Uint64()
	r.Copy(l.Changes[:])
}

// AppendLinks appends the encodings of links, one after another.
func AppendLinks(b []byte, links []Link) []byte {
	for i := range links {
		b = links[i].Append(b)
	}
	return b
}

// DecodeLinks reads what [AppendLinks] wrote.
func DecodeLinks(b []byte) ([]Link, error) {
	if len(b)%LinkBytes != 0 {
		return nil, fmt.Errorf("links of a feed: %w: %d bytes are no multiple of %d", ErrMalformed, len(b), LinkBytes)
	}
	links := make([]Link, len(b)/LinkBytes)
	r := canon.NewReader(b)
	for i := range links {
		links[i].read(r)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("links of a feed: %w", err)
	}
	return links, nil
}
