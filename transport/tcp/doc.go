// Package peertcp links replicas by TCP connections under mutual TLS 1.3.
//
// # Links
//
// Each replica dials every other one and sends on the connection it opened; it
// receives on those that the others opened. So a link of two replicas is two
// connections, each with one owner who alone repairs it. The other direction of a
// connection carries only the answer to the greeting, answers to pings, signs of
// life and, at the end, why it ends.
//
// On each connection one goroutine writes, all that has come together in one frame,
// and one reads and calls the handler.
//
// # Who is who
//
// The TLS key is the identity: [Config.Identify] names the replica during the TLS
// handshake, and of a connection that it does not accept no frame is read. On
// top of it the two sides compare greetings (link protocol version, cluster,
// configuration, id) and refuse each other with the name of the field and both
// values. Epochs may differ, since who is behind catches up over these links.
//
// # Frames
//
// What waits for a peer is packed into frames, see package internal/frame:
// control first, then bulk, long messages in parts. On the wire a frame stands
// behind its length, four bytes. A vote therefore waits for one frame and for what
// the kernel's send buffer holds already, and never for the rest of a block. Frames
// become smaller on a slow line.
//
// A receiver that does not keep up is TCP's business: when the kernel's buffers are
// full the writer waits, and what is sent fills the peer's queue. The memory of a
// frame is allocated for what its length announces, up to frame.MaxSize, and only
// for peers that have authenticated and greeted.
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
package peertcp
