package main

import (
	"context"
	"crypto/rand"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
)

// person is somebody, or an office, with a key and perhaps a connection.
type person struct {
	*client.Client
	signer *ed25519.Signer
	key    *ed25519.PrivateKey
}

// newPerson makes a key.
func newPerson() (*person, error) {
	key, err := keyfile.GenerateClient(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &person{signer: ed25519.NewSigner(key.Signing), key: key.Signing}, nil
}

// connect dials the cluster.
func (p *person) connect(ctx context.Context, cluster *roster.Roster) (err error) {
	p.Client, err = client.Dial(ctx, client.Config{Roster: cluster, Key: p.key})
	return err
}
