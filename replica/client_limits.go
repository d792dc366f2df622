package replica

import (
	"fmt"
	"runtime"
	"time"

	"github.com/parley-bft/parley/crypto"
)

// ClientLimits bound what clients can make one replica hold. The memory is at most about
//
//   - TotalBytes for requests that wait,
//   - MaxConnections*StreamsPerConnection*SessionBytes for sessions, and in practice a small
//     part of that: only a session that is not read fills its share,
//   - WatchBytes for answers about the feed that are made, and for those that are being made,
//     one for each processor, three times what one has: 2 MiB at most, or 35 MiB where the
//     application has values of 32,
//   - and for each of Calls a question, MaxQueryBytes, and what the application answers.
type ClientLimits struct {
	// MaxConnections bounds the connections of authenticated clients together,
	// ConnectionsPerClient those of one: the oldest gives way.
	MaxConnections       int
	ConnectionsPerClient int
	// MaxHandshakes bounds connections that have not authenticated yet, and a
	// quarter of it those of one address: the oldest gives way.
	MaxHandshakes int
	// AcceptRate is how many connections from one source, an IPv4 address or an IPv6
	// /64, are accepted in a second, AcceptBurst how many at once: clients behind one
	// gateway share it. The others are closed before a byte of them is read.
	AcceptRate  int
	AcceptBurst int
	// HandshakeTimeout bounds TLS and HTTP/2 until the first call.
	HandshakeTimeout time.Duration
	// StreamsPerConnection bounds calls and sessions at once on one connection.
	StreamsPerConnection int
	// IdentitiesPerSession bounds the clients that one session carries beside its own,
	// MaxIdentities those of all sessions.
	IdentitiesPerSession int
	MaxIdentities        int
	// MaxMessageBytes bounds one message of a client.
	MaxMessageBytes int

	// SessionEntries and SessionBytes bound what waits for one session: beyond,
	// its connection is closed. For each client that it carries, 16 entries more may
	// wait. Execution never waits for a reader.
	SessionEntries int
	SessionBytes   int

	// ClientRequests and ClientBytes bound what one client has waiting for its
	// signature to be checked, TotalRequests and TotalBytes what all have.
	ClientRequests int
	ClientBytes    int
	TotalRequests  int
	TotalBytes     int
	// Verifiers is the number of goroutines that check signatures.
	Verifiers int

	// Calls bounds queries, receipts and other single calls at once, CallsPerClient
	// those of one client. CallTimeout bounds one.
	Calls          int
	CallsPerClient int
	CallTimeout    time.Duration
	// Watches bounds calls about the feed at once, most of which wait for something to
	// change, WatchesPerClient those of one client.
	Watches          int
	WatchesPerClient int
	// WatchBytes bounds the answers about the feed that are made and have not left the
	// replica: while they are more, none is begun. None is begun for a client while more than a
	// 32nd of that waits for it to read. A client that has not taken its answer after
	// CallTimeout loses its connection.
	WatchBytes int
	// MaxQueryBytes bounds one query.
	MaxQueryBytes int
}

// DefaultClientLimits suit a replica with some gigabytes of memory.
func DefaultClientLimits() ClientLimits {
	return ClientLimits{
		MaxConnections: 4096, ConnectionsPerClient: 4, MaxHandshakes: 256, AcceptRate: 100, AcceptBurst: 1024, HandshakeTimeout: 5 * time.Second,
		StreamsPerConnection: 16, IdentitiesPerSession: 4096, MaxIdentities: 65536, MaxMessageBytes: 16 << 20,
		SessionEntries: 4096, SessionBytes: 16 << 20,
		ClientRequests: 1024, ClientBytes: 16 << 20, TotalRequests: 65536, TotalBytes: 256 << 20,
		Verifiers: max(1, runtime.GOMAXPROCS(0)/2),
		Calls:     256, CallsPerClient: 16, CallTimeout: 10 * time.Second,
		Watches: 1024, WatchesPerClient: 8, WatchBytes: 64 << 20,
		MaxQueryBytes: 1 << 20,
	}
}

// Validate names the first field that is out of range, its value and the remedy.
func (l ClientLimits) Validate() error {
	for _, f := range []struct {
		name      string
		value     int
		low, high int
	}{
		{"MaxConnections", l.MaxConnections, 1, 1 << 20},
		{"ConnectionsPerClient", l.ConnectionsPerClient, 1, 1024},
		{"MaxHandshakes", l.MaxHandshakes, 4, 1 << 16},
		{"AcceptRate", l.AcceptRate, 1, 1 << 20},
		{"AcceptBurst", l.AcceptBurst, 1, 1 << 20},
		{"StreamsPerConnection", l.StreamsPerConnection, 2, 1024},
		{"IdentitiesPerSession", l.IdentitiesPerSession, 1, 1 << 16},
		{"MaxIdentities", l.MaxIdentities, 1, 1 << 24},
		{"MaxMessageBytes", l.MaxMessageBytes, 64 << 10, 256 << 20},
		{"SessionEntries", l.SessionEntries, 1, 1 << 20},
		{"SessionBytes", l.SessionBytes, 64 << 10, 1 << 30},
		{"ClientRequests", l.ClientRequests, 1, 1 << 20},
		{"ClientBytes", l.ClientBytes, 64 << 10, 1 << 30},
		{"TotalRequests", l.TotalRequests, l.ClientRequests, 1 << 24},
		{"TotalBytes", l.TotalBytes, l.ClientBytes, 1 << 40},
		{"Verifiers", l.Verifiers, 1, 1024},
		{"Calls", l.Calls, 1, 1 << 16},
		{"CallsPerClient", l.CallsPerClient, 1, 1 << 16},
		{"Watches", l.Watches, 1, 1 << 16},
		{"WatchesPerClient", l.WatchesPerClient, 1, 1 << 16},
		{"WatchBytes", l.WatchBytes, 64 << 10, 1 << 40},
		{"MaxQueryBytes", l.MaxQueryBytes, 1, l.MaxMessageBytes},
	} {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("client limits: %s is %d: set %d to %d", f.name, f.value, f.low, f.high)
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"HandshakeTimeout", l.HandshakeTimeout}, {"CallTimeout", l.CallTimeout}} {
		if f.value < time.Millisecond || f.value > time.Hour {
			return fmt.Errorf("client limits: %s is %v: set 1ms to 1h", f.name, f.value)
		}
	}
	return nil
}

// withDefaults fills what is zero, with room for the largest request that the
// parameters permit.
func (l ClientLimits) withDefaults(p crypto.Parameters) ClientLimits {
	d := DefaultClientLimits()
	d.ClientBytes = max(d.ClientBytes, maxRequestBytes(p))
	orDefault(&l.MaxConnections, d.MaxConnections)
	orDefault(&l.ConnectionsPerClient, d.ConnectionsPerClient)
	orDefault(&l.MaxHandshakes, d.MaxHandshakes)
	orDefault(&l.AcceptRate, d.AcceptRate)
	orDefault(&l.AcceptBurst, d.AcceptBurst)
	orDefault(&l.HandshakeTimeout, d.HandshakeTimeout)
	orDefault(&l.StreamsPerConnection, d.StreamsPerConnection)
	orDefault(&l.IdentitiesPerSession, d.IdentitiesPerSession)
	orDefault(&l.MaxIdentities, d.MaxIdentities)
	orDefault(&l.MaxMessageBytes, d.MaxMessageBytes)
	orDefault(&l.SessionEntries, d.SessionEntries)
	orDefault(&l.SessionBytes, d.SessionBytes)
	orDefault(&l.ClientRequests, d.ClientRequests)
	orDefault(&l.ClientBytes, d.ClientBytes)
	orDefault(&l.Verifiers, d.Verifiers)
	orDefault(&l.Calls, d.Calls)
	orDefault(&l.CallsPerClient, d.CallsPerClient)
	orDefault(&l.CallTimeout, d.CallTimeout)
	orDefault(&l.Watches, d.Watches)
	orDefault(&l.WatchesPerClient, d.WatchesPerClient)
	orDefault(&l.WatchBytes, d.WatchBytes)
	orDefault(&l.MaxQueryBytes, d.MaxQueryBytes)
	orDefault(&l.TotalRequests, max(d.TotalRequests, l.ClientRequests))
	orDefault(&l.TotalBytes, max(d.TotalBytes, 4*l.ClientBytes))
	return l
}

// validateFor is Validate for a cluster with these parameters.
func (l ClientLimits) validateFor(p crypto.Parameters) error {
	if err := l.Validate(); err != nil {
		return err
	}
	if need := maxRequestBytes(p); l.ClientBytes < need {
		return fmt.Errorf("client limits: ClientBytes is %d: the largest request of this cluster has %d bytes, set at least that", l.ClientBytes, need)
	}
	return nil
}

// maxRequestBytes is the size of the largest request that the parameters permit.
func maxRequestBytes(p crypto.Parameters) int {
	return int(p.MaxOperationBytes) + 4*int(p.MaxRequestOperations) + crypto.RequestOverhead
}
