package peergrpc

import (
	"fmt"

	"google.golang.org/grpc/mem"

	"github.com/parley-bft/parley/transport/internal/frame"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

// framePool holds buffers for frames, in sizes from 4 KiB to 512 KiB.
var framePool = newFramePool()

func newFramePool() mem.BufferPool {
	pool, err := mem.NewBinaryTieredBufferPool(12, 14, 15, 16, 17, 18, 19)
	if err != nil {
		panic(err) // the sizes are constants
	}
	return pool
}

// codec passes frames through gRPC as they are.
type codec struct{}

// Name is the content subtype, fixed by both sides.
func (codec) Name() string { return "parley-frame" }

// Marshal gives up the buffers of an outgoing frame.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	out, ok := v.(*outgoing)
	if !ok {
		return nil, fmt.Errorf("peer link: %T is not a frame", v)
	}
	b := out.buffers
	out.buffers = nil
	return b, nil
}

// Unmarshal keeps the received buffer until incoming.free.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return fmt.Errorf("peer link: %T is not a frame", v)
	}
	in.free()
	in.buffer = data.MaterializeToBuffer(framePool)
	return nil
}

// incoming is a frame as received. Its bytes are valid until free.
type incoming struct{ buffer mem.Buffer }

func (in *incoming) bytes() []byte {
	if in.buffer == nil {
		return nil
	}
	return in.buffer.ReadOnlyData()
}

func (in *incoming) kind() frame.Kind {
	if b := in.bytes(); len(b) > 0 {
		return frame.Kind(b[0])
	}
	return 0
}

func (in *incoming) free() {
	if in.buffer != nil {
		in.buffer.Free()
		in.buffer = nil
	}
}

// outgoing is a frame to be sent once.
type outgoing struct{ buffers mem.BufferSlice }

// small makes a frame of bytes that nobody else holds.
func small(b []byte) *outgoing { return &outgoing{mem.BufferSlice{mem.SliceBuffer(b)}} }

// shareAbove is the length in bytes from which a message is handed to gRPC as it
// is; shorter ones are copied into the frame, which costs less than a buffer each.
const shareAbove = 4 << 10

// pack makes a data frame of pieces. Long ones are not copied: messages never
// change once they are sent.
func pack(pieces []outbound.Piece) *outgoing {
	need, shared := 1, 0
	for _, p := range pieces {
		need += outbound.PieceOverhead
		if p.Size() > shareAbove {
			shared++
		} else {
			need += p.Size()
		}
	}
	store := new([]byte)
	if mem.IsBelowBufferPoolingThreshold(need) {
		*store = make([]byte, 0, need)
	} else {
		store = framePool.Get(need)
	}
	b := append((*store)[:0], byte(frame.Data))
	var cutArray [8]int
	cuts := cutArray[:0] // where the shared pieces go between the copied bytes
	for _, p := range pieces {
		b = frame.AppendHeader(b, frame.Entry{
			Priority: p.Priority, Part: !p.Whole(), Total: len(p.Message), Offset: p.Offset, Bytes: p.Message[p.Offset:p.End],
		})
		if p.Size() > shareAbove {
			cuts = append(cuts, len(b))
		} else {
			b = append(b, p.Message[p.Offset:p.End]...)
		}
	}
	*store = b
	root := mem.NewBuffer(store, framePool)
	if shared == 0 {
		return &outgoing{mem.BufferSlice{root}}
	}
	buffers := make(mem.BufferSlice, 0, 2*shared+1)
	from := 0
	for _, p := range pieces {
		if p.Size() <= shareAbove {
			continue
		}
		buffers = append(buffers, root.Slice(from, cuts[0]), mem.SliceBuffer(p.Message[p.Offset:p.End]))
		from, cuts = cuts[0], cuts[1:]
	}
	if from < len(b) {
		buffers = append(buffers, root.Slice(from, len(b)))
	}
	root.Free()
	return &outgoing{buffers}
}
