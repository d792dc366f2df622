package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// feedLog is the changes of the last blocks, as many as are kept: without a gap, and up to
// the last block. The store's mutex guards it.
type feedLog struct {
	oldest  feed.Position // before the first that is kept
	kept    []feedEntry   // ascending
	bytes   int64         // of what is kept
	pending []*fedBlock   // the last of kept: those that are not in the database yet
	dropped []feedEntry   // that are in the database still
}

// feedEntry is what is in memory of a block that is kept.
type feedEntry struct {
	height uint64
	chain  crypto.Digest // after it
	bytes  int64
	pieces uint32
}

// feedEntryBytes is about what a block takes beside its pieces.
const feedEntryBytes = 256

// append adds the block that was just committed. mu is held.
func (s *Store) feedAppend(b *fedBlock) {
	f := &s.feed
	if n := len(f.kept); n > 0 && f.kept[n-1].chain != b.from.Chain {
		s.feedForget() // never a gap: something was committed by other means
	}
	if len(f.kept) == 0 {
		f.oldest = b.from
	}
	f.kept = append(f.kept, b.entry)
	f.bytes += b.entry.bytes
	f.pending = append(f.pending, b)
	s.pend.bytes += int(b.entry.bytes)
	s.feedPrune()
}

// feedPrune lets go of the oldest blocks, beyond what is to be kept. mu is held.
func (s *Store) feedPrune() {
	f := &s.feed
	least := 1 // the last block stays, however large it is
	if s.cfg.FeedBytes == 0 {
		least = 0
	}
	for len(f.kept) > least && (f.bytes > s.cfg.FeedBytes || uint64(len(f.kept)) > s.cfg.FeedBlocks) {
		s.feedDrop()
	}
}

// feedDrop lets go of the oldest block.
func (s *Store) feedDrop() {
	f := &s.feed
	e := f.kept[0]
	f.kept = f.kept[1:]
	f.bytes -= e.bytes
	f.oldest = feed.Position{Height: e.height, Chain: e.chain}
	if len(f.pending) > 0 && f.pending[0].entry.height == e.height {
		f.pending = f.pending[1:] // whoever reads what was pending may have the block still
	} else {
		f.dropped = append(f.dropped, e)
	}
}

// feedForget lets go of everything: the state becomes another one. mu is held.
func (s *Store) feedForget() {
	for len(s.feed.kept) > 0 {
		s.feedDrop()
	}
}

// What the database has of a block: under its height where it stands on the chain, and
// its pieces one by one.

func linkKey(height uint64) []byte { return binary.BigEndian.AppendUint64([]byte{spaceLinks}, height) }

func pieceKey(height uint64, index uint32) []byte {
	b := binary.BigEndian.AppendUint64([]byte{spacePieces}, height)
	return binary.BigEndian.AppendUint32(b, index)
}

func (b *fedBlock) encode() []byte {
	out := b.link.Append(b.from.Append(nil))
	out = canon.AppendUint32(out, b.entry.pieces)
	return canon.AppendUint64(out, uint64(b.entry.bytes))
}

// decodeFed reads what encode wrote; the pieces are elsewhere.
func decodeFed(v []byte) (*fedBlock, error) {
	const head = feed.PositionBytes + feed.LinkBytes
	b := new(fedBlock)
	bad := fmt.Errorf("%w: link of the feed of %d bytes", ErrCorrupt, len(v))
	if len(v) != head+4+8 {
		return nil, bad
	}
	var err error
	if b.from, err = feed.DecodePosition(v[:feed.PositionBytes]); err != nil {
		return nil, bad
	}
	links, err := feed.DecodeLinks(v[feed.PositionBytes:head])
	if err != nil {
		return nil, bad
	}
	b.link = links[0]
	next := b.from.Next(&b.link)
	b.entry = feedEntry{
		height: b.link.Height, chain: next.Chain,
		pieces: binary.BigEndian.Uint32(v[head:]), bytes: int64(binary.BigEndian.Uint64(v[head+4:])),
	}
	return b, nil
}

// feedWrite adds what is pending to a batch, and takes out what was let go.
func (s *Store) feedWrite(b batch) {
	for _, p := range s.feed.pending {
		b.set(linkKey(p.entry.height), p.encode())
		for i, piece := range p.pieces {
			b.set(pieceKey(p.entry.height, uint32(i)), piece)
		}
	}
	for i := range s.feed.dropped {
		s.feed.dropped[i].delete(b)
	}
}

func (e *feedEntry) delete(b batch) {
	b.delete(linkKey(e.height))
	for i := range e.pieces {
		b.delete(pieceKey(e.height, i))
	}
}

// feedWritten says that the batch is in the database. mu is held.
func (s *Store) feedWritten() { s.feed.pending, s.feed.dropped = nil, nil }

// feedLoad reads from a database what it keeps. What is damaged is no loss of the state's:
// it is deleted, and the feed begins anew.
func (s *Store) feedLoad(db database) (feedLog, error) {
	f, err := storedFeed(db)
	if !errors.Is(err, ErrCorrupt) || errors.Is(err, errFiles) {
		return f, err
	}
	if s.cfg.Logger != nil {
		s.cfg.Logger.Warn("the changes of the last blocks are damaged and begin anew: clients that watch get the earlier ones from other replicas", "error", err)
	}
	b := db.newBatch()
	for _, space := range []byte{spaceLinks, spacePieces} {
		it, err := db.iterate([]byte{space}, []byte{space + 1}, false)
		if err != nil {
			return feedLog{}, err
		}
		for ; it.valid(); it.next() {
			b.delete(it.key())
		}
		if err := it.close(); err != nil {
			return feedLog{}, err
		}
	}
	return feedLog{}, b.write(true)
}

func storedFeed(db database) (f feedLog, err error) {
	it, err := db.iterate([]byte{spaceLinks}, []byte{spaceLinks + 1}, false)
	if err != nil {
		return f, err
	}
	defer func() {
		if cerr := it.close(); err == nil {
			err = cerr
		}
	}()
	for ; it.valid(); it.next() {
		b, err := decodeFed(it.value())
		if err != nil {
			return f, err
		}
		if n := len(f.kept); n == 0 {
			f.oldest = b.from
		} else if f.kept[n-1].chain != b.from.Chain {
			return f, fmt.Errorf("%w: the feed has a gap below height %d", ErrCorrupt, b.entry.height)
		}
		f.kept = append(f.kept, b.entry)
		f.bytes += b.entry.bytes
	}
	return f, nil
}

// at finds the first of the kept blocks that is not below a height.
func (f *feedLog) at(height uint64) int {
	return sort.Search(len(f.kept), func(i int) bool { return f.kept[i].height >= height })
}

// from finds the first of the kept blocks above a height.
func (f *feedLog) from(height uint64) int {
	return sort.Search(len(f.kept), func(i int) bool { return f.kept[i].height > height })
}
