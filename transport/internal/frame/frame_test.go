package frame_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/frame"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

const limit = 1 << 20

func appendEntry(b []byte, e frame.Entry) []byte {
	return append(frame.AppendHeader(b, e), e.Bytes...)
}

func whole(p transport.Priority, s string) frame.Entry {
	return frame.Entry{Priority: p, Total: len(s), Bytes: []byte(s)}
}

func part(p transport.Priority, total, offset int, s string) frame.Entry {
	return frame.Entry{Priority: p, Part: true, Total: total, Offset: offset, Bytes: []byte(s)}
}

func dataFrame(entries ...frame.Entry) []byte {
	b := []byte{byte(frame.Data)}
	for _, e := range entries {
		b = appendEntry(b, e)
	}
	return b
}

func TestParseReturnsWhatWasAppended(t *testing.T) {
	entries := []frame.Entry{
		whole(transport.Control, "vote"),
		whole(transport.Bulk, "block"),
		part(transport.Bulk, 10, 0, "0123456"),
		part(transport.Control, 20, 7, "abc"),
	}
	got, err := frame.Parse(nil, dataFrame(entries...), limit)
	require.NoError(t, err)
	require.Equal(t, entries, got)
	for _, e := range entries {
		require.Len(t, frame.AppendHeader(nil, e), frame.HeaderSize(e.Part))
	}
}

func TestParseRefuses(t *testing.T) {
	good := dataFrame(whole(transport.Control, "vote"))
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"kind only":             {byte(frame.Data)},
		"another kind":          append([]byte{byte(frame.Ping)}, good[1:]...),
		"unknown tag":           {byte(frame.Data), 4, 0, 0, 0, 1, 'x'},
		"cut header":            good[:4],
		"cut message":           good[:len(good)-1],
		"empty message":         dataFrame(whole(transport.Control, "")),
		"empty part":            dataFrame(part(transport.Bulk, 5, 0, "")),
		"part is the whole":     dataFrame(part(transport.Bulk, 3, 0, "abc")),
		"part beyond its whole": dataFrame(part(transport.Bulk, 5, 3, "abc")),
		"offset that overflows": {byte(frame.Data), 3, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 'x'},
		"message above limit":   dataFrame(whole(transport.Bulk, string(make([]byte, limit+1)))),
		"whole above limit":     dataFrame(part(transport.Bulk, limit+1, 0, "abc")),
		"frame above limit":     dataFrame(whole(transport.Bulk, string(make([]byte, frame.MaxSize)))),
		"length beyond frame":   {byte(frame.Data), 0, 0x7f, 0xff, 0xff, 0xff},
		"second entry is cut":   append(bytes.Clone(good), 0, 0, 0, 0, 2, 'x'),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := frame.Parse(nil, b, limit)
			require.ErrorIs(t, err, canon.ErrMalformed)
		})
	}
}

func TestAssemblerRefuses(t *testing.T) {
	for name, entries := range map[string][]frame.Entry{
		"starts in the middle": {part(transport.Bulk, 9, 3, "abc")},
		"gap":                  {part(transport.Bulk, 9, 0, "abc"), part(transport.Bulk, 9, 4, "e")},
		"repeated part":        {part(transport.Bulk, 9, 0, "abc"), part(transport.Bulk, 9, 0, "abc")},
		"another total":        {part(transport.Bulk, 9, 0, "abc"), part(transport.Bulk, 10, 3, "def")},
		"whole amid parts":     {part(transport.Bulk, 9, 0, "abc"), whole(transport.Bulk, "other")},
	} {
		t.Run(name, func(t *testing.T) {
			var a frame.Assembler
			var err error
			for i, e := range entries {
				require.NoError(t, err, "entry %d came after the error", i)
				_, err = a.Add(e)
			}
			require.ErrorIs(t, err, canon.ErrMalformed)
		})
	}
}

func TestVotesPassBetweenPartsOfABlock(t *testing.T) {
	var a frame.Assembler
	for _, step := range []struct {
		entry frame.Entry
		want  string
	}{
		{part(transport.Bulk, 6, 0, "ab"), ""},
		{whole(transport.Control, "vote"), "vote"},
		{part(transport.Control, 3, 0, "n"), ""},
		{part(transport.Bulk, 6, 2, "cd"), ""},
		{part(transport.Control, 3, 1, "ew"), "new"},
		{part(transport.Bulk, 6, 4, "ef"), "abcdef"},
	} {
		got, err := a.Add(step.entry)
		require.NoError(t, err)
		require.Equal(t, step.want, string(got))
	}
	require.Zero(t, a.Pending())
}

func TestMemoryFollowsWhatWasReceivedNotWhatWasAnnounced(t *testing.T) {
	var a frame.Assembler
	const total = 1 << 30
	_, err := a.Add(frame.Entry{Priority: transport.Bulk, Part: true, Total: total, Bytes: []byte("x")})
	require.NoError(t, err)
	require.LessOrEqual(t, a.Pending(), 64)
	piece := make([]byte, 1000)
	for got := 1; got < 1<<20; got += len(piece) {
		_, err := a.Add(frame.Entry{Priority: transport.Bulk, Part: true, Total: total, Offset: got, Bytes: piece})
		require.NoError(t, err)
		require.LessOrEqual(t, a.Pending(), 4*(got+len(piece)))
	}
}

func TestMessageDoesNotKeepItsFrame(t *testing.T) {
	b := dataFrame(whole(transport.Control, "vote"))
	entries, err := frame.Parse(nil, b, limit)
	require.NoError(t, err)
	var a frame.Assembler
	message, err := a.Add(entries[0])
	require.NoError(t, err)
	clear(b)
	require.Equal(t, "vote", string(message))
	require.LessOrEqual(t, cap(message), 8)
}

// What goes through a queue, frames and an assembler comes out whole and in the
// order of its priority, whatever the sizes.
func TestQueueToAssembler(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := outbound.New(outbound.Limits{Messages: 1000, Bytes: 10 << 20}, outbound.Limits{Messages: 1000, Bytes: 10 << 20})
		size := rapid.IntRange(outbound.MinFrame, 40<<10).Draw(t, "frame size")
		var want, got [transport.Priorities][][]byte
		var a frame.Assembler
		take := func(max int) {
			for range max {
				pieces := q.Take(nil, size)
				if len(pieces) == 0 {
					return
				}
				b := []byte{byte(frame.Data)}
				for _, p := range pieces {
					b = appendEntry(b, frame.Entry{Priority: p.Priority, Part: !p.Whole(), Total: len(p.Message), Offset: p.Offset, Bytes: p.Message[p.Offset:p.End]})
				}
				if len(b) > 1+size+size/4 {
					t.Fatalf("frame of %d bytes, size %d", len(b), size)
				}
				entries, err := frame.Parse(nil, b, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					m, err := a.Add(e)
					if err != nil {
						t.Fatal(err)
					}
					if m != nil {
						got[e.Priority] = append(got[e.Priority], m)
					}
				}
			}
		}
		for i := range rapid.IntRange(1, 40).Draw(t, "messages") {
			p := transport.Priority(rapid.IntRange(0, 1).Draw(t, "priority"))
			n := rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(size-30, size+30), rapid.IntRange(1, 4*size)).Draw(t, "length")
			m := bytes.Repeat([]byte{byte(i)}, n)
			want[p] = append(want[p], m)
			q.Push(p, m)
			take(rapid.IntRange(0, 2).Draw(t, "frames"))
		}
		take(1 << 20)
		for p := range want {
			if len(want[p]) != len(got[p]) {
				t.Fatalf("%v: %d messages of %d came out", transport.Priority(p), len(got[p]), len(want[p]))
			}
			for i := range want[p] {
				if !bytes.Equal(want[p][i], got[p][i]) {
					t.Fatalf("%v: message %d differs", transport.Priority(p), i)
				}
			}
		}
		if a.Pending() != 0 {
			t.Fatal("something is left")
		}
	})
}

func greeting() frame.Greeting {
	return frame.Greeting{
		Version: frame.Version, Cluster: crypto.Digest{1}, Epoch: 7, Config: crypto.Digest{2},
		Sender: 3, Instance: 99, Build: "v1.2.3",
	}
}

func TestGreetingRoundTrip(t *testing.T) {
	g := greeting()
	b := g.Append(nil, frame.Hello)
	require.LessOrEqual(t, len(b), frame.MaxSmall)
	got, err := frame.ParseGreeting(b)
	require.NoError(t, err)
	require.Equal(t, g, got)
	for n := 3; n < len(b); n++ {
		_, err := frame.ParseGreeting(b[:n])
		require.ErrorIs(t, err, canon.ErrMalformed, "cut to %d bytes", n)
	}
	_, err = frame.ParseGreeting(append(b, 0))
	require.ErrorIs(t, err, canon.ErrMalformed)

	g.Build = "line\nbreak"
	_, err = frame.ParseGreeting(g.Append(nil, frame.Hello))
	require.ErrorIs(t, err, canon.ErrMalformed, "a build string goes into logs")
}

func TestGreetingOfAnotherVersionIsReadAsFarAsItsVersion(t *testing.T) {
	got, err := frame.ParseGreeting([]byte{byte(frame.Hello), 0, 9, 1, 2, 3})
	require.NoError(t, err)
	require.Equal(t, frame.Greeting{Version: 9}, got)
	require.Equal(t, "link protocol version", frame.Compare(greeting(), got, 3).Field)
}

func TestCompare(t *testing.T) {
	change := func(f func(*frame.Greeting)) frame.Greeting {
		g := greeting()
		f(&g)
		return g
	}
	for name, tc := range map[string]struct {
		theirs frame.Greeting
		key    crypto.ReplicaID
		field  string
	}{
		"equal":                   {greeting(), 3, ""},
		"another build":           {change(func(g *frame.Greeting) { g.Build = "v2" }), 3, ""},
		"another instance":        {change(func(g *frame.Greeting) { g.Instance = 1 }), 3, ""},
		"another epoch":           {change(func(g *frame.Greeting) { g.Epoch = 8; g.Config = crypto.Digest{3}; g.Sender = 1 }), 3, ""},
		"version":                 {change(func(g *frame.Greeting) { g.Version = 2 }), 3, "link protocol version"},
		"cluster":                 {change(func(g *frame.Greeting) { g.Cluster = crypto.Digest{9} }), 3, "cluster id"},
		"cluster, another epoch":  {change(func(g *frame.Greeting) { g.Cluster = crypto.Digest{9}; g.Epoch = 8 }), 3, "cluster id"},
		"configuration":           {change(func(g *frame.Greeting) { g.Config = crypto.Digest{9} }), 3, "configuration digest"},
		"key of another replica":  {greeting(), 1, "replica id of the peer's key"},
		"claims to be another id": {change(func(g *frame.Greeting) { g.Sender = 1 }), 3, "replica id of the peer's key"},
	} {
		t.Run(name, func(t *testing.T) {
			m := frame.Compare(greeting(), tc.theirs, tc.key)
			if tc.field == "" {
				require.Nil(t, m)
				return
			}
			require.NotNil(t, m)
			require.Equal(t, tc.field, m.Field)
			require.NotEqual(t, m.Mine, m.Theirs)

			b := m.AppendRefusal(nil)
			require.LessOrEqual(t, len(b), frame.MaxSmall)
			got, err := frame.ParseRefusal(b)
			require.NoError(t, err)
			require.Equal(t, frame.Mismatch{Field: m.Field, Mine: m.Theirs, Theirs: m.Mine}, got)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(dataFrame(whole(transport.Control, "vote"), whole(transport.Bulk, "block")))
	f.Add(dataFrame(part(transport.Bulk, 8, 0, "abcd"), part(transport.Control, 9, 0, "x"), part(transport.Bulk, 8, 4, "efgh")))
	f.Add([]byte{byte(frame.Data), 3, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		const small = 1 << 12
		entries, err := frame.Parse(nil, b, small)
		if err != nil {
			require.ErrorIs(t, err, canon.ErrMalformed)
			return
		}
		require.Equal(t, b, dataFrame(entries...), "one encoding for a frame")
		var a frame.Assembler
		for _, e := range entries {
			m, err := a.Add(e)
			if err != nil {
				require.ErrorIs(t, err, canon.ErrMalformed)
				break
			}
			require.LessOrEqual(t, len(m), small)
		}
		require.LessOrEqual(t, a.Pending(), 4*len(b))
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add(greeting().Append(nil, frame.Hello))
	f.Add([]byte{byte(frame.Welcome), 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := frame.ParseGreeting(b); err == nil && g.Version == frame.Version {
			require.Equal(t, b, g.Append(nil, frame.Kind(b[0])))
		}
	})
}

func FuzzRefusal(f *testing.F) {
	f.Add(frame.Mismatch{Field: "cluster id", Mine: "a", Theirs: "b"}.AppendRefusal(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := frame.ParseRefusal(b); err == nil {
			m.Mine, m.Theirs = m.Theirs, m.Mine
			require.Equal(t, b[1:], m.AppendRefusal(nil)[1:])
		}
	})
}

func TestFarewell(t *testing.T) {
	for _, want := range []string{"", "the peer opened a newer link"} {
		got, err := frame.ParseFarewell(frame.AppendFarewell(nil, want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	long := frame.AppendFarewell(nil, strings.Repeat("x", 2*frame.MaxSmall))
	require.LessOrEqual(t, len(long), frame.MaxSmall)
	_, err := frame.ParseFarewell(long)
	require.NoError(t, err)
	for _, b := range [][]byte{long[:len(long)-1], append(long, 0), frame.AppendFarewell(nil, "line\nbreak")} {
		_, err = frame.ParseFarewell(b)
		require.ErrorIs(t, err, canon.ErrMalformed)
	}
}

func FuzzFarewell(f *testing.F) {
	f.Add(frame.AppendFarewell(nil, "transport closed"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if reason, err := frame.ParseFarewell(b); err == nil {
			require.Equal(t, b[1:], frame.AppendFarewell(nil, reason)[1:])
		}
	})
}

func BenchmarkParseVotes(b *testing.B) {
	vote := make([]byte, 200)
	data := []byte{byte(frame.Data)}
	for range 300 {
		data = appendEntry(data, frame.Entry{Bytes: vote})
	}
	var a frame.Assembler
	var entries []frame.Entry
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if entries, err = frame.Parse(entries[:0], data, limit); err != nil {
			b.Fatal(err)
		}
		for _, e := range entries {
			if _, err := a.Add(e); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A message keeps no more memory alive than it is long, in however many parts it came: what
// it becomes may be kept for long, and is counted by its length.
func TestMessageHasNoRoomToSpare(t *testing.T) {
	for _, parts := range [][]int{{1, 9}, {3, 3, 3, 1}, {1, 1, 1, 1, 1, 5}} {
		var a frame.Assembler
		offset := 0
		for i, n := range parts {
			message, err := a.Add(frame.Entry{Priority: transport.Bulk, Part: true, Total: 10, Offset: offset, Bytes: make([]byte, n)})
			require.NoError(t, err)
			offset += n
			require.Equal(t, i == len(parts)-1, message != nil)
			if message != nil {
				require.Equal(t, 10, cap(message))
			}
		}
	}
}
