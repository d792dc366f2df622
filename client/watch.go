package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// WatchOptions say what is to be watched, and from where.
type WatchOptions struct {
	// From is the place after which the changes are wanted: what an event or
	// [Watcher.Cursor] gave. The zero cursor begins at the newest certified checkpoint,
	// [FromBeginning] with everything that ever changed, as far as a replica keeps it.
	From Cursor
	// Prefix is what the keys begin with that are wanted. All changes are received and
	// checked, because only together they can be; the others are passed over.
	Prefix []byte
	// MaxAge is how long a replica may show nothing new before another one is asked, and
	// how long it may lack what another one has shown before it is reported as
	// [FaultStale]: 10 s. Both are measured from when this watcher saw something first, so a
	// clock that is wrong accuses nobody. A state that is older than MaxAge by its block's time
	// and this machine's clock is only a reason to ask others at once. A cluster that executes
	// nothing makes no checkpoints; then all are asked in turn.
	MaxAge time.Duration
	// Progress asks for events of kind [Progress] too.
	Progress bool
	// Fault, if not nil, hears what is wrong with a replica, when it is found, by the
	// goroutine that called Next. It is reported, and another replica is asked: the events
	// are good nevertheless.
	Fault func(WatchFault)
}

// EventKind says what an event is.
type EventKind uint8

// The kinds of events.
const (
	// Set: the key has a new value.
	Set EventKind = 1
	// Deleted: the key is not there any more.
	Deleted EventKind = 2
	// Progress: nothing that is wanted happened since the last event, up to the checkpoint
	// at that height. Storing the cursor saves it from being compacted.
	Progress EventKind = 3
)

// String returns the kind's name.
func (k EventKind) String() string {
	switch k {
	case Set:
		return "set"
	case Deleted:
		return "deleted"
	case Progress:
		return "progress"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Event is one change, as the replicated state made it: certified by a quorum. What a
// block did to a key is one event, whichever of its operations did it; the events of a
// block come in the order of their keys.
type Event struct {
	Kind   EventKind
	Height pbft.Height
	// Time is the block's. That of what the state began with is 1970.
	Time time.Time
	// Key is as the store has it. Key and Value are the caller's.
	Key, Value []byte
	// Cursor is the place after this event; there is one for each place. Who stores it in one step with what he made of
	// the event, and begins there again, loses nothing and sees nothing twice.
	Cursor Cursor
}

// Watcher yields changes. Its methods belong to one goroutine. It needs no end: between
// two calls of Next nothing runs.
type Watcher struct {
	client *Client
	opts   WatchOptions
	asks   watchAsks
	wrong  error // with the options

	// cursor is the place after what Next returned, or passed over.
	cursor Cursor
	// links are blocks after cursor.at, certified up to a checkpoint. The first is
	// the one whose changes come next.
	links []feed.Link
	until checkpoint
	// piece and expect are the next piece of that block.
	piece  uint32
	expect crypto.Digest
	// pieces were received, one after another, and are not checked; from is who sent them.
	pieces [][]byte
	from   int
	// changes are those of a checked piece that were not returned; last says that it is the
	// block's last piece.
	changes []feed.Change
	last    bool
	skip    uint64 // so many changes were taken before the watcher was made
	told    uint64 // the height of the last event
}

// checkpoint is what a proof is under.
type checkpoint struct {
	height uint64
	time   time.Time // the block's
	seen   time.Time // when this watcher first saw it, by its own clock
}

// Errors of [Watcher.Next] beside those of the client; test with errors.Is.
var (
	// ErrCompacted: no replica knows any more what changed after the cursor. The error is a
	// *[CompactedError].
	ErrCompacted = errors.New("the changes after the cursor are compacted")
	// ErrNoWatch: more weight than may be faulty says that the application has no feed, or
	// that its policy does not let this client watch.
	ErrNoWatch = errors.New("no watch is to be had")
)

// CompactedError says where a watch can begin, at the earliest. It is [ErrCompacted].
// Between the cursor and there it misses changes: what the state became meanwhile is to be
// read.
type CompactedError struct {
	// Oldest is the lowest place that more replicas name, exactly so, than may be faulty. If
	// there is none, as when they let go of changes all the time, it is the place of the
	// newest certified checkpoint that one has shown.
	Oldest Cursor
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v: a watch can begin after height %d", ErrCompacted, e.Oldest.Height())
}

// Unwrap returns ErrCompacted.
func (e *CompactedError) Unwrap() error { return ErrCompacted }

// Watch returns a watcher of the changes of the application's state, for applications on
// statemachine/store. See "Watching" in the package's notes.
func (c *Client) Watch(opts WatchOptions) *Watcher {
	orDefault(&opts.MaxAge, 10*time.Second)
	opts.Prefix = bytes.Clone(opts.Prefix)
	w := &Watcher{client: c, opts: opts, cursor: opts.From}
	if opts.MaxAge < 0 {
		w.wrong = fmt.Errorf("watch: MaxAge is %v: set a positive duration, or 0 for 10s", opts.MaxAge)
	}
	w.asks = newWatchAsks(w)
	w.rewind()
	return w
}

// Cursor is the place up to which everything was returned by Next, or is not wanted.
func (w *Watcher) Cursor() Cursor { return w.cursor }

// All yields what Next returns, and ends after the first error: of ctx, if it ended.
func (w *Watcher) All(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			e, err := w.Next(ctx)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Next returns the next event; it waits for it as long as ctx permits. After an error it
// may be called again, and goes on where it was.
//
// Errors: a *[CompactedError]; [ErrNoWatch]; [ErrCursor], if a quorum says that the cursor
// is none of its history's, or none at all; one that says what is wrong with the options,
// every time; [ErrUnavailable] with the context's error; [ErrClosed].
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	if w.wrong != nil {
		return Event{}, w.wrong
	}
	for {
		if len(w.changes) > 0 {
			if e, wanted := w.take(); wanted {
				return e, nil
			}
			continue
		}
		var err error
		switch {
		case len(w.links) > 0:
			err = w.open(ctx)
		case w.opts.Progress && w.told < w.until.height && w.cursor.taken == 0:
			w.told = w.until.height
			return Event{Kind: Progress, Height: pbft.Height(w.until.height), Time: w.until.time, Cursor: w.cursor}, nil
		default:
			err = w.follow(ctx)
		}
		if err != nil {
			return Event{}, err
		}
	}
}

// take takes the next change, and tells whether it is wanted.
func (w *Watcher) take() (e Event, wanted bool) {
	c := &w.changes[0]
	w.changes = w.changes[1:]
	l := w.links[0]
	if w.skip > 0 {
		w.skip--
	} else {
		w.cursor.taken++
		wanted = bytes.HasPrefix(c.Key, w.opts.Prefix)
	}
	if len(w.changes) == 0 && w.last {
		w.cursor = Cursor{at: w.cursor.at.Next(&l)}
		w.links = w.links[1:]
		w.begin()
	}
	if !wanted {
		return e, false
	}
	// Copies, because who keeps one would keep the whole piece.
	e = Event{Kind: Set, Height: pbft.Height(l.Height), Time: time.Unix(0, int64(l.Time)), Key: bytes.Clone(c.Key), Value: bytes.Clone(c.Value), Cursor: w.cursor}
	if c.Deleted {
		e.Kind = Deleted
	}
	w.told = l.Height
	return e, true
}

// begin begins with the first of the links, if there is one.
func (w *Watcher) begin() {
	w.piece, w.last = 0, false
	if len(w.links) > 0 {
		w.expect = w.links[0].Changes
	} else {
		w.pieces = nil
	}
}

// rewind forgets what was received after the cursor.
func (w *Watcher) rewind() {
	w.links, w.pieces, w.changes = nil, nil, nil
	w.until = checkpoint{} // not everything up to there was returned
	w.skip = w.cursor.taken
}

// open gets the next piece of the first of the links, and checks it.
func (w *Watcher) open(ctx context.Context) error {
	if len(w.pieces) == 0 {
		if err := w.receive(ctx); err != nil || len(w.pieces) == 0 {
			return err
		}
	}
	changes, next, err := feed.OpenPiece(w.pieces[0], w.expect)
	if err != nil {
		w.pieces = nil
		w.asks.forged(w.from, fmt.Errorf("what block %d changed: %w", w.links[0].Height, err))
		return nil
	}
	w.pieces = w.pieces[1:]
	w.changes, w.expect, w.last = changes, next, next.IsZero()
	w.piece++
	if w.last && w.skip > uint64(len(changes)) {
		height := w.links[0].Height
		w.rewind()
		return fmt.Errorf("%w: block %d has no %d changes", ErrCursor, height, w.cursor.taken)
	}
	return nil
}
