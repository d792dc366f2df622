package tlsid

import (
	"crypto/tls"
	"fmt"
)

// BindingSize is the length of a connection's binding in bytes.
const BindingSize = 32

// Binding returns what names a connection and no other: keying material that its
// two ends export from their handshake. Whoever signs it proves the key over this
// connection as in the handshake itself: the other end cannot show the signature to
// anybody else, because no other connection has the same binding.
func Binding(state tls.ConnectionState) ([]byte, error) {
	b, err := state.ExportKeyingMaterial("EXPORTER-parley-attach", nil, BindingSize)
	if err != nil {
		return nil, fmt.Errorf("the connection's binding: %w", err)
	}
	return b, nil
}
