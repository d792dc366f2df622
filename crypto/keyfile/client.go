package keyfile

import (
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto/ed25519"
)

// Client holds a client's private key. It is immutable.
type Client struct {
	Signing *ed25519.PrivateKey // requests; its public key is the client's name
}

// GenerateClient takes a seed from rand: crypto/rand.Reader if that is nil, or a
// deterministic source in tests.
func GenerateClient(rand io.Reader) (*Client, error) {
	k, err := ed25519.GenerateKey(rand)
	if err != nil {
		return nil, fmt.Errorf("generate a client key: %w", err)
	}
	return &Client{Signing: k}, nil
}

// Write creates the file as [Replica.Write] does.
func (c *Client) Write(path string) error {
	return write(path, clientFile{
		Format: Format, Kind: kindClient,
		Signing: &edPair{c.Signing.Seed(), c.Signing.Public()},
	})
}

// LoadClient reads a client's key file under the same conditions as [LoadReplica].
func LoadClient(path string) (*Client, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	c, err := ParseClient(data)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return c, nil
}

// ParseClient parses the contents of a client's key file.
func ParseClient(data []byte) (*Client, error) {
	var f clientFile
	if err := decode(data, kindClient, &f); err != nil {
		return nil, err
	}
	if f.Signing == nil {
		return nil, missing("signing")
	}
	c := &Client{Signing: ed25519.NewKeyFromSeed(f.Signing.Seed)}
	if c.Signing.Public() != f.Signing.Public {
		return nil, mismatch("signing", f.Signing.Public, c.Signing.Public())
	}
	return c, nil
}
