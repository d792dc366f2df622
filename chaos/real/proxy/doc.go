// Package proxy is a TCP forwarder that misbehaves on command: one [Link] for each
// directed link of a cluster under test.
//
//	l, err := proxy.Listen("127.0.0.1:0", "127.0.0.1:7700")
//	l.Set(proxy.Conditions{Forward: proxy.Lane{Delay: 50 * time.Millisecond}})
//	l.Set(proxy.Conditions{}) // healed
//	l.Reset()                 // cut all connections with an RST
//
// It works where the kernel has no netem, needs no privileges, and can do what a
// packet filter cannot: trickle bytes, leave connections half-open, swallow what one
// side says while the other is heard.
//
// TCP is what limits it. Bytes cannot be lost, doubled or reordered within a
// connection that goes on; loss looks like a stall, as it does over any real
// network, or ends the connection.
package proxy
