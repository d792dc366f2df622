package frame

import (
	"bytes"
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/transport"
)

// growth is how much room is made for each byte that was received: most messages are
// a few parts long, then the first part makes room for all, and each later step copies
// what there is.
const growth = 4

// Assembler puts the parts of messages together, at most one message under way
// in each priority. Memory follows what was received, never what was announced:
// the buffer of a message under way is at most growth times what was received of
// it, and never longer than the limit given to [Parse]; while it grows, the old
// one exists beside it. The zero value is ready.
type Assembler struct {
	partial [transport.Priorities]struct {
		total int
		buf   []byte
	}
}

// Add takes an entry and returns the message that it is or completes, or nil.
// The message does not alias the frame, so that a small one that is kept for
// long does not keep a large frame.
func (a *Assembler) Add(e Entry) ([]byte, error) {
	p := &a.partial[e.Priority]
	if !e.Part {
		if p.buf != nil {
			return nil, fmt.Errorf("%w: a whole %s message amid the parts of another", canon.ErrMalformed, e.Priority)
		}
		return bytes.Clone(e.Bytes), nil
	}
	if p.buf == nil {
		p.total = e.Total
	}
	if e.Total != p.total || e.Offset != len(p.buf) {
		return nil, fmt.Errorf("%w: part at %d of %d, want the one at %d of %d",
			canon.ErrMalformed, e.Offset, e.Total, len(p.buf), p.total)
	}
	if need := len(p.buf) + len(e.Bytes); need > cap(p.buf) {
		grown := make([]byte, len(p.buf), min(p.total, growth*need))
		copy(grown, p.buf)
		p.buf = grown
	}
	p.buf = append(p.buf, e.Bytes...)
	if len(p.buf) < p.total {
		return nil, nil
	}
	message := p.buf
	p.buf = nil
	return message, nil
}

// Pending returns the bytes that are allocated for messages under way.
func (a *Assembler) Pending() int {
	n := 0
	for i := range a.partial {
		n += cap(a.partial[i].buf)
	}
	return n
}
