// Package tlsid makes TLS connections whose ends know each other by Ed25519 keys,
// without a certificate authority.
//
// The certificate is self-signed and says nothing; the handshake of TLS 1.3
// proves that the peer has its private key, and the key itself is compared with
// the cluster file's. There are no names, dates or revocation: a key is out when
// the configuration no longer lists it.
//
//	cert, err := tlsid.Certificate(keys.TLS)
//	listener := tls.NewListener(l, tlsid.ServerConfig(cert, func(k crypto.PublicKey) error {
//		if _, ok := roster.MemberByTLSKey(k); !ok {
//			return fmt.Errorf("TLS key %s is no member's", k.Hex())
//		}
//		return nil
//	}))
//	conn := tls.Client(c, tlsid.ClientConfig(cert, roster.Member(2).TLSKey))
//
// Both ends present a certificate, always. Sessions are not resumed: every
// connection proves the keys anew, so that a member that was removed cannot come
// back with a ticket. The key is checked on every handshake, not once at start.
package tlsid
