// Package connguard owns the connections of a public TLS port from the moment
// they are accepted. It bounds
//
//   - how fast one source may connect: a bucket of tokens for each;
//   - the connections that have not authenticated, in all and of one source: the
//     oldest gives way to the newest, since an honest program authenticates within
//     milliseconds and an attacker holds on to what he has;
//   - the connections of one owner that have, where again the oldest gives way, and
//     those of all owners together.
//
// A source is an IPv4 address or an IPv6 /64: whoever has one address of such a
// network has them all.
//
// A [Guard] is a listener, and either the transport credentials of a gRPC server or,
// by [Guard.Handshake], those of any other. Who the owner of a connection is says a
// function of the application, during the handshake, so that nothing of the protocol
// above is read from a stranger.
package connguard
