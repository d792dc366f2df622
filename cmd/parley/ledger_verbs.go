package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/statemachine/ledger"
)

type buildAction = func(l *ledgerBook, args []string) (ledger.Action, error)

// plainVerb is a verb without flags of its own.
func plainVerb(build buildAction) func(*cobra.Command) buildAction {
	return func(*cobra.Command) buildAction { return build }
}

// accountNames checks names before anything is sent.
func accountNames(l *ledgerBook, names ...string) error {
	for _, n := range names {
		if err := ledger.CheckAccountName(n); err != nil {
			return usagef(l.cmd, "%v", err)
		}
	}
	return nil
}

func reference(l *ledgerBook, s string) error {
	if err := ledger.CheckReference(s); err != nil {
		return usagef(l.cmd, "%v", err)
	}
	return nil
}

// publicKeys reads keys: 64 digits, or the name of a client's key file. Without any it
// is the key that the command acts with.
func publicKeys(l *ledgerBook, texts []string) ([]crypto.PublicKey, error) {
	if len(texts) == 0 {
		if l.session == nil {
			return nil, usagef(l.cmd, "--owner is missing: name the account's keys")
		}
		return []crypto.PublicKey{l.session.identity.client.Signing.Public()}, nil
	}
	var keys []crypto.PublicKey
	for _, t := range texts {
		k, err := crypto.ParsePublicKey(t)
		if err != nil {
			if _, missing := os.Stat(t); missing != nil {
				return nil, usagef(l.cmd, "--owner: %q is neither a public key of 64 digits nor a key file", t)
			}
			f, err := keyfile.LoadClient(t)
			if err != nil {
				return nil, fmt.Errorf("--owner: %w", err)
			}
			k = f.Signing.Public()
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// ledgerVerbs are all actions.
var ledgerVerbs []ledgerVerb

func init() {
	ledgerVerbs = slices.Concat(accountVerbs(), assetVerbs(), holdVerbs(), creditVerbs())
}

// define notes what later legs of a transaction will find.
func (l *ledgerBook) define(asset string, decimals uint8) {
	if l.assets == nil {
		l.assets = make(map[string]ledger.Asset)
	}
	if _, ok := l.assets[asset]; !ok {
		l.assets[asset] = ledger.Asset{Decimals: decimals}
	}
}

// hexDigest reads a digest of 64 digits.
func hexDigest(cmd *cobra.Command, s string) (d crypto.Digest, err error) {
	if _, err := hex.DecodeString(s); err != nil || len(s) != 2*crypto.DigestSize {
		return d, usagef(cmd, "%q is no digest: write the 64 digits", s)
	}
	return d, d.UnmarshalText([]byte(s))
}
