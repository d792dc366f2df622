package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/client/api"
)

func unmarshal(b []byte, m proto.Message) error {
	return api.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
}

func TestCodecCountsElements(t *testing.T) {
	for name, test := range map[string]struct {
		most int
		make func(n int) proto.Message
		got  proto.Message
	}{
		"requests": {api.MaxRequests, func(n int) proto.Message { return &api.ClientMessage{Requests: make([][]byte, n)} }, new(api.ClientMessage)},
		"attach":   {api.MaxAttach, func(n int) proto.Message { return &api.ClientMessage{Attach: many[api.Attachment](n)} }, new(api.ClientMessage)},
		"detach":   {api.MaxDetach, func(n int) proto.Message { return &api.ClientMessage{Detach: large(n)} }, new(api.ClientMessage)},
		"replies":  {api.MaxEntries, func(n int) proto.Message { return &api.ReplicaMessage{Replies: many[api.Reply](n)} }, new(api.ReplicaMessage)},
		"refusals": {api.MaxEntries, func(n int) proto.Message { return &api.ReplicaMessage{Refusals: many[api.Refusal](n)} }, new(api.ReplicaMessage)},
		"attached": {api.MaxEntries, func(n int) proto.Message { return &api.ReplicaMessage{Attached: many[api.Attached](n)} }, new(api.ReplicaMessage)},
		"peers":    {api.MaxPeers, func(n int) proto.Message { return &api.StatusResponse{Peers: many[api.Peer](n)} }, new(api.StatusResponse)},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := proto.Marshal(test.make(test.most))
			require.NoError(t, err)
			require.NoError(t, unmarshal(b, test.got))
			require.True(t, proto.Equal(test.make(test.most), test.got))
			b, err = proto.Marshal(test.make(test.most + 1))
			require.NoError(t, err)
			require.ErrorContains(t, unmarshal(b, test.got), "elements")
		})
	}
}

// The elements of a packed field may come one by one as well, and in several parts.
func TestCodecCountsUnpacked(t *testing.T) {
	var one, parts []byte
	for range api.MaxDetach + 1 {
		one = protowire.AppendVarint(protowire.AppendTag(one, 3, protowire.VarintType), 7)
		parts = protowire.AppendBytes(protowire.AppendTag(parts, 3, protowire.BytesType), []byte{7})
	}
	require.ErrorContains(t, unmarshal(one, new(api.ClientMessage)), "elements")
	require.ErrorContains(t, unmarshal(parts, new(api.ClientMessage)), "elements")
	require.NoError(t, unmarshal(one[2:], new(api.ClientMessage)))
	require.Error(t, unmarshal([]byte{3 << 3}, new(api.ClientMessage)), "no value")
}

// A message at the bound of the server, all of it empty elements, costs next to nothing.
func TestCodecRefusesBeforeItAllocates(t *testing.T) {
	b := make([]byte, 0, 4<<20)
	for len(b) < cap(b) {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), nil)
	}
	require.Less(t, testing.AllocsPerRun(1, func() { require.Error(t, unmarshal(b, new(api.ClientMessage))) }), 1000.0)
}

func many[T any](n int) []*T {
	all := make([]*T, n)
	for i := range all {
		all[i] = new(T)
	}
	return all
}

func large(n int) []uint32 {
	all := make([]uint32, n)
	for i := range all {
		all[i] = 1 << 31
	}
	return all
}
