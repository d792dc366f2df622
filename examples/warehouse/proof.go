package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/stateproof"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
)

// prove asks one replica what the state has under an item's name, after that block at
// least, and keeps the proof in a file. The client has checked it: a replica that lies is
// found out and another is asked.
func prove(ctx context.Context, c *client.Client, item string, height pbft.Height, file string) error {
	s, err := c.ReadCertified(ctx, []byte(item), client.CertifiedOptions{MinHeight: height})
	if err != nil {
		return err
	}
	return os.WriteFile(file, stateproof.Of([]byte(item), s).Encode(), 0o600)
}

// audit checks such a file, with nothing but the cluster file: no key, no connection, and
// no trust in whoever brought it.
func audit(clusterFile, file, item string) (verdict string, err error) {
	ros, err := roster.Load(clusterFile)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	p, err := stateproof.Decode(data)
	if err == nil {
		err = stateproof.Verify(ros, p)
	}
	switch {
	case err != nil:
		return "", err
	case string(p.Key) != item: // it is true, and not what was asked
		return "", errors.New("the proof is about another item")
	}
	n, present := p.Value()
	if !present {
		n = []byte("0")
	}
	return fmt.Sprintf("after block %d there were %s %s, as %d replicas have signed", p.State.Height(), n, item, len(p.State.Certificate.Signers.IDs())), nil
}
