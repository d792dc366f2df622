package peertcp

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/transport/internal/frame"
)

// tape is a connection that plays what was recorded, and records.
type tape struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *tape) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *tape) Write(b []byte) (int, error) { return c.out.Write(b) }

// frames are what a stream delivers of b, and why it ended.
func frames(b []byte, limit int) (all [][]byte, err error) {
	s := stream{conn: &tape{in: bytes.NewReader(b)}}
	for {
		f, err := s.read(limit)
		if err != nil {
			return all, err
		}
		all = append(all, bytes.Clone(f))
	}
}

func TestStreamRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"no length":         {0, 0, 0, 0, 1},
		"beyond the limit":  {0, 0, 4, 1, 1},
		"beyond all bounds": {0xff, 0xff, 0xff, 0xff, 1},
	} {
		_, err := frames(b, frame.MaxSmall)
		require.ErrorIs(t, err, errMalformed, name)
	}
	for name, b := range map[string][]byte{"nothing": {}, "half a length": {0, 0}, "half a frame": {0, 0, 0, 2, 1}} {
		_, err := frames(b, frame.MaxSmall)
		require.ErrorIs(t, err, errPeerClosed, name)
	}
}

// What a stream delivers is what was written, and it takes no more memory than its
// limit.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, byte(frame.Alive), 0, 0, 0, 2, 4, 5})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 1, 0, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 8
		all, err := frames(b, limit)
		require.True(t, errors.Is(err, errMalformed) || errors.Is(err, errPeerClosed), err)
		var c tape
		s := stream{conn: &c}
		for _, x := range all {
			require.LessOrEqual(t, len(x), limit)
			require.NoError(t, s.write(append(newFrame(nil), x...)))
		}
		require.True(t, bytes.HasPrefix(b, c.out.Bytes()))
	})
}
