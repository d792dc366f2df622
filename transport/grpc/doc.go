// Package peergrpc links replicas by gRPC streams over mutual TLS 1.3.
//
// # Links
//
// Each replica dials every other one and sends on the stream it opened; it
// receives on the streams that the others opened. So a link of two replicas is
// two streams on two connections, each with one owner who alone repairs it. The
// other direction of a stream carries only the answer to the greeting, answers
// to pings and signs of life.
//
// # Who is who
//
// The TLS key is the identity: [Config.Identify] names the replica during the TLS
// handshake, and a connection that it does not accept never reaches HTTP/2. On
// top of it the two sides compare greetings (link protocol version, cluster,
// configuration, id) and refuse each other with the name of the field and both
// values. Epochs may differ, since who is behind catches up over these links.
//
// # Frames
//
// What waits for a peer is packed into frames, see package internal/frame:
// control first, then bulk, long messages in parts. A vote therefore waits for
// what gRPC (64 KiB and a frame) and the kernel's send buffer hold already, and
// never for the rest of a block. Frames become smaller on a slow line.
// Messages are neither copied nor encoded on the way to gRPC, except short ones
// into their frame.
//
// # Dead links
//
// Each side notices silence by itself: the dialer sends pings and expects
// anything back, and the receiver answers pings, tells that it is alive while its
// handler holds it up or a slow line trickles, and expects anything. Silence is
// counted in ticks rather than read off a clock, so a process that was stopped
// for a minute does not cut all its links when it goes on.
//
// A dialer pauses between attempts, ever longer up to a bound; a peer that comes
// back dials us, and that ends the pause at once.
package peergrpc
