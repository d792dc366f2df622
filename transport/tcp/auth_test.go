package peertcp

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/frame"
)

// closedByPeer reads until the other side closes the connection.
func closedByPeer(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patient)))
	_, err := io.Copy(io.Discard, conn)
	var timeout net.Error
	if errors.As(err, &timeout) {
		require.False(t, timeout.Timeout(), "the connection stayed open")
	}
}

func TestStrangersAreRefused(t *testing.T) {
	c := newCluster(t, 2)
	box := &inbox{}
	var log logBook
	tr := c.start(0, box, log.keep, func(cfg *Config) { cfg.HandshakeTimeout = patient })
	with := func(change func(*tls.Config)) func(net.Conn) {
		return func(conn net.Conn) {
			config := c.config(1).ClientTLS(0)
			change(config)
			client := tls.Client(conn, config)
			if client.Handshake() == nil {
				_, _ = client.Read(make([]byte, 1))
			}
		}
	}
	stranger := certificate(t, testKey(99))
	for name, act := range map[string]func(net.Conn){
		"plain text":      func(conn net.Conn) { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n") },
		"HTTP/2":          with(func(c *tls.Config) { c.NextProtos = []string{"h2"} }),
		"plain HTTP/2":    func(conn net.Conn) { _, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
		"unknown key":     with(func(c *tls.Config) { c.Certificates = []tls.Certificate{stranger} }),
		"no certificate":  with(func(c *tls.Config) { c.Certificates = nil }),
		"TLS 1.2":         with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 }),
		"no ALPN":         with(func(c *tls.Config) { c.NextProtos = nil }),
		"its own key":     with(func(c *tls.Config) { c.Certificates = []tls.Certificate{certificate(t, testKey(0))} }),
		"another service": with(func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }),
	} {
		t.Run(name, func(t *testing.T) { c.stranger(t, tr, act) })
	}
	require.Zero(t, box.count())
	refused := tr.Refused()
	require.EqualValues(t, 2, refused["identity"], "an unknown key, its own key")
	require.EqualValues(t, 7, refused["handshake"])
	require.Contains(t, refused, "rate")
	require.NotContains(t, refused, "full")
	// One line for each reason: the rest of the log is not the strangers'.
	for _, want := range []string{"reason=handshake", "reason=identity", "remote=127.0.0.1:"} {
		require.True(t, log.has(want), want)
	}
	require.Equal(t, 2, log.count("connection to the replica port refused"))
}

// So are those who say nothing, or not enough.
func TestStrangersWhoSayNothing(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.HandshakeTimeout = 300 * time.Millisecond })
	c.stranger(t, tr, func(net.Conn) {})
	c.stranger(t, tr, func(conn net.Conn) { _, _ = conn.Write([]byte{22, 3, 1, 2, 0, 1, 0}) })
	require.EqualValues(t, 2, tr.Refused()["handshake"])
}

// stranger connects, and waits until it is refused.
func (c *cluster) stranger(t *testing.T, tr *Transport, act func(net.Conn)) {
	before := tr.Stats().Rejected
	conn, err := net.Dial("tcp", tr.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	act(conn)
	closedByPeer(t, conn)
	eventually(t, "counted", func() bool { return tr.Stats().Rejected == before+1 })
	eventually(t, "forgotten", func() bool { return tr.Stats().Handshaking == 0 })
}

// Whoever authenticates and then stalls is cut too: before the greeting, and in the
// middle of it.
func TestAuthenticatedPeerThatStalls(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.HandshakeTimeout = 300 * time.Millisecond })
		require.EqualError(t, c.dialRaw(tr, 1).end(), errHandshakeTimeout.Error())
		for _, n := range []int{lengthSize - 1, lengthSize, lengthSize + 10} {
			r := c.dialRaw(tr, 1)
			hello := c.config(1).greeting(1).Append(newFrame(nil), frame.Hello)
			binary.BigEndian.PutUint32(hello, uint32(len(hello)-lengthSize))
			_, err := r.conn.Write(hello[:n])
			require.NoError(t, err)
			require.EqualError(t, r.end(), errHandshakeTimeout.Error())
		}
		require.EqualValues(t, 4, tr.Refused()["silent"])
	})
}

func TestIdleConnectionsDoNotKeepAPeerOut(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.MaxHandshakes = 8; cfg.HandshakeTimeout = time.Minute })
	conns := make([]net.Conn, 50)
	for i := range conns {
		conn, err := net.Dial("tcp", tr.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		conns[i] = conn
	}
	// Two from one address stay: a quarter of eight.
	eventually(t, "crowded out", func() bool { return tr.Stats().Crowded == 48 })
	for _, conn := range conns[:48] {
		closedByPeer(t, conn)
	}
	require.Equal(t, 2, tr.Stats().Handshaking)
	eventually(t, "linked", linked(c.start(1, &inbox{})))
}

func TestAddressThatAnswersWithAnotherKey(t *testing.T) {
	c := newCluster(t, 3)
	c.start(2, &inbox{})
	tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.Peers[0].Address = c.addresses[2] })
	eventually(t, "refused", func() bool { return statusOf(tr, 1).Failures > 1 })
	require.Contains(t, statusOf(tr, 1).LastError, tlsid.ErrWrongPeer.Error())
	require.False(t, statusOf(tr, 1).Connected)
}

func TestMismatchNamesFieldAndValuesOnBothSides(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   [2]string // at replica 0, at replica 1
	}{
		"cluster": {
			func(c *Config) { c.Cluster = crypto.Digest{2} },
			[2]string{"cluster id differs: mine is 01", "cluster id differs: mine is 02"},
		},
		"configuration": {
			func(c *Config) { c.ConfigDigest = crypto.Digest{2} },
			[2]string{"configuration digest differs: mine is 00", "configuration digest differs: mine is 02"},
		},
		"id": {
			func(c *Config) { c.Self = 7 },
			[2]string{"replica id of the peer's key differs: mine is 1, theirs 7", "replica id of the peer's key differs: mine is 7, theirs 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2)
			boxes := [2]*inbox{{}, {}}
			all := [2]*Transport{c.start(0, boxes[0]), c.start(1, boxes[1], tc.change)}
			for i, tr := range all {
				other := crypto.ReplicaID(1 - i)
				tr.Send(other, transport.Control, []byte("must not arrive"))
				eventually(t, "refused", func() bool { return statusOf(tr, other).Failures > 2 })
				s := statusOf(tr, other)
				require.Contains(t, s.LastError, tc.want[i])
				require.False(t, s.Connected)
				require.Zero(t, boxes[i].count())
			}
			eventually(t, "counted", func() bool { return all[0].Stats().Refused > 1 })
		})
	}
}

// Who connects too fast is closed at once, whoever he is.
func TestRateOfConnections(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.AcceptRate, cfg.AcceptBurst = 1, 1 })
	eventually(t, "limited", func() bool {
		conn, err := net.Dial("tcp", tr.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		return tr.Refused()["rate"] > 1
	})
}

func TestAnotherEpochLinks(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{})
	c.start(1, &inbox{}, func(cfg *Config) { cfg.Epoch = 2; cfg.ConfigDigest = crypto.Digest{9} })
	eventually(t, "linked", linked(tr))
	require.Equal(t, uint64(2), statusOf(tr, 1).Epoch)
}

func TestNewestStreamWins(t *testing.T) {
	c := newCluster(t, 2)
	box := &inbox{}
	tr := c.start(0, box)
	first := c.dialRaw(tr, 1)
	c.greet(first, 1)
	second := c.dialRaw(tr, 1)
	c.greet(second, 1)
	require.ErrorContains(t, first.end(), errSuperseded.Error())
	second.send(voteFrame("vote"))
	eventually(t, "arrived", func() bool { return box.count() == 1 })
	require.True(t, statusOf(tr, 1).Receiving)
}

// A peer may have given an attempt up before we got to it, and linked by a newer one.
func TestAttemptThatWasGivenUpReplacesNothing(t *testing.T) {
	c := newCluster(t, 2)
	box := &inbox{}
	tr := c.start(0, box)
	link := c.dialRaw(tr, 1)
	c.greet(link, 1)
	old := c.dialRaw(tr, 1)
	old.send(c.config(1).greeting(1).Append(nil, frame.Hello))
	require.Equal(t, frame.Welcome, old.answer())
	require.NoError(t, old.conn.Close())
	eventually(t, "closed", func() bool { return tr.guard.Connections(1) == 1 })
	link.send(voteFrame("vote"))
	eventually(t, "arrived", func() bool { return box.count() == 1 })
}

func TestConnectionsOfOnePeerAreFew(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{})
	for range 20 {
		c.greet(c.dialRaw(tr, 1), 1)
	}
	eventually(t, "older ones closed", func() bool {
		return tr.guard.Connections(1) <= connectionsPerPeer
	})
}

func voteFrame(m string) []byte {
	return append(frame.AppendHeader([]byte{byte(frame.Data)}, frame.Entry{Bytes: []byte(m)}), m...)
}
