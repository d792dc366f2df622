package store

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store/feed"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

const (
	feedLinks  = 1
	feedPieces = 2
)

// LinksQuery asks a [Machine] for the blocks that changed something: see [Store.Links].
type LinksQuery struct {
	After feed.Position
	Until uint64
	Prove bool // for which Until is the height of a checkpoint
}

// Encode returns the query.
func (q *LinksQuery) Encode() []byte {
	b := append(append([]byte(nil), feedMagic...), feedLinks)
	b = canon.AppendUint64(q.After.Append(b), q.Until)
	return canon.AppendBool(b, q.Prove)
}

// PiecesQuery asks a [Machine] for what they changed: see [Store.Pieces].
type PiecesQuery struct {
	Height uint64
	Index  uint32 // the first piece that is wanted
	Until  uint64
}

// Encode returns the query.
func (q *PiecesQuery) Encode() []byte {
	b := append(append([]byte(nil), feedMagic...), feedPieces)
	b = canon.AppendUint64(b, q.Height)
	b = canon.AppendUint32(b, q.Index)
	return canon.AppendUint64(b, q.Until)
}

// FeedState says what the answer to a query about the feed is.
type FeedState uint8

// The states of an answer.
const (
	FeedFound     FeedState = 1
	FeedCompacted FeedState = 2 // as [ErrCompacted]
	FeedUnknown   FeedState = 3 // as [ErrPosition]
)

// FeedAnswer is the answer to a [LinksQuery] or a [PiecesQuery].
type FeedAnswer struct {
	State  FeedState
	Oldest feed.Position // that can be read from, where it is compacted
	More   bool          // links, as [Links.More]
	Links  []feed.Link
	Proof  *proof.Proof // as [Links.Proof]
	Pieces [][]byte
}

// feed answers a query about the feed; q is what follows the magic.
func (m *Machine) feed(q []byte) ([]byte, error) {
	links, pieces, err := decodeFeedQuery(q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	a := FeedAnswer{State: FeedFound}
	if links != nil {
		var l Links
		l, err = m.store.Links(links.After, links.Until, links.Prove)
		a.Links, a.More, a.Proof = l.Links, l.More, l.Proof
	} else {
		a.Pieces, err = m.store.Pieces(pieces.Height, pieces.Index, pieces.Until)
	}
	var compacted *CompactedError
	switch {
	case errors.As(err, &compacted):
		a = FeedAnswer{State: FeedCompacted, Oldest: compacted.Oldest, Proof: a.Proof}
	case errors.Is(err, ErrPosition):
		a = FeedAnswer{State: FeedUnknown, Proof: a.Proof}
	case err != nil:
		return nil, err
	}
	return a.Encode(), nil
}

func decodeFeedQuery(q []byte) (links *LinksQuery, pieces *PiecesQuery, err error) {
	r := canon.NewReader(q)
	switch kind := r.Uint8(); kind {
	case feedLinks:
		links = new(LinksQuery)
		links.After.Height = r.Uint64()
		r.Copy(links.After.Chain[:])
		links.Until, links.Prove = r.Uint64(), r.Bool()
	case feedPieces:
		pieces = &PiecesQuery{r.Uint64(), r.Uint32(), r.Uint64()}
	default:
		r.Fail("query %d about the feed", kind)
	}
	return links, pieces, r.Close()
}

// maxAnswerPieces is more than one answer can have: all but the last change are short, but
// each is a change of at least one byte.
const maxAnswerPieces = maxPieceBytes/(32+1+4+1) + 1

// Encode returns the encoding: state, oldest, more, links, proof, and the pieces.
func (a *FeedAnswer) Encode() []byte {
	b := a.Oldest.Append([]byte{byte(a.State)})
	b = canon.AppendBool(b, a.More)
	b = canon.AppendUint32(b, uint32(len(a.Links)*feed.LinkBytes))
	b = feed.AppendLinks(b, a.Links)
	var p []byte
	if a.Proof != nil {
		p = a.Proof.Encode()
	}
	b = canon.AppendBytes(b, p)
	b = canon.AppendUint32(b, uint32(len(a.Pieces)))
	for _, piece := range a.Pieces {
		b = canon.AppendBytes(b, piece)
	}
	return b
}

// DecodeFeedAnswer reads what [FeedAnswer.Encode] wrote; it may alias b.
func DecodeFeedAnswer(b []byte) (*FeedAnswer, error) {
	r := canon.NewReader(b)
	a := &FeedAnswer{State: FeedState(r.Uint8())}
	if r.Err() == nil && (a.State < FeedFound || a.State > FeedUnknown) {
		r.Fail("state %d", a.State)
	}
	a.Oldest.Height = r.Uint64()
	r.Copy(a.Oldest.Chain[:])
	a.More = r.Bool()
	links := r.Bytes(MaxLinks * feed.LinkBytes)
	path := r.Bytes(1<<31 - 1)
	for n := r.Count(maxAnswerPieces, 4); n > 0; n-- {
		a.Pieces = append(a.Pieces, r.Bytes(feed.MaxPieceBytes))
	}
	err := r.Close()
	if err == nil && len(links) > 0 {
		a.Links, err = feed.DecodeLinks(links)
	}
	if err == nil && len(path) > 0 {
		a.Proof, err = proof.Decode(path)
	}
	if err != nil {
		return nil, fmt.Errorf("answer of a feed: %w", err)
	}
	return a, nil
}
