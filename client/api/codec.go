package api

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of the elements in one message.
const (
	MaxRequests = 1024
	MaxAttach   = 1024
	MaxDetach   = 1024
	// MaxEntries bounds replies, refusals and attachments' answers, each: a replica packs
	// about 1 MiB, of entries that take some 100 bytes.
	MaxEntries = 16384
	// MaxPieces is more than fit into a megabyte: a piece that is not a block's last has
	// 256 KiB, and one that is has a change and a digest.
	MaxPieces = 32768
	// MaxPeers is more than the members of the largest cluster.
	MaxPeers = 1024
)

// Codec returns protobuf's codec, for both ends, which refuses a message with too many
// elements before it makes any of them: an empty one takes two bytes on the wire and a
// hundred in memory, so that the bound of a message's size is none of what it costs.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

type codec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	limits := limitsOf(v)
	if limits == nil {
		return c.CodecV2.Unmarshal(data, v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	if err := count(whole.ReadOnlyData(), limits); err != nil {
		return fmt.Errorf("%T: %w", v, err)
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{whole}, v)
}

// limit is how many elements a field may have. Those of a packed field are varints,
// which may stand in one value or in many.
type limit struct {
	field  protowire.Number
	packed bool
	most   int
}

func limitsOf(v any) []limit {
	switch v.(type) {
	case *ClientMessage:
		return []limit{{1, false, MaxRequests}, {2, false, MaxAttach}, {3, true, MaxDetach}}
	case *ReplicaMessage:
		return []limit{{1, false, MaxEntries}, {2, false, MaxEntries}, {5, false, MaxEntries}}
	case *WatchResponse:
		return []limit{{5, false, MaxPieces}}
	case *ChangesResponse:
		return []limit{{2, false, MaxPieces}}
	case *StatusResponse:
		return []limit{{21, false, MaxPeers}}
	}
	return nil
}

// count goes over the fields of a message, and not into them.
func count(b []byte, limits []limit) error {
	counts := make([]int, len(limits))
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return protowire.ParseError(n)
		}
		for i, l := range limits {
			if l.field != field {
				continue
			}
			if l.packed && kind == protowire.BytesType {
				packed, _ := protowire.ConsumeBytes(b)
				counts[i] += varints(packed)
			} else {
				counts[i]++
			}
			if counts[i] > l.most {
				return fmt.Errorf("field %d has more than %d elements", field, l.most)
			}
		}
		b = b[n:]
	}
	return nil
}

// varints counts the last bytes of them.
func varints(b []byte) (n int) {
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	return n
}
