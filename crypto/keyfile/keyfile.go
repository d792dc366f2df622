package keyfile

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/internal/atomicfile"
	"github.com/parley-bft/parley/internal/strictjson"
)

// Format is the version of the key files that this package reads and writes.
const Format = 1

// maxFile bounds a key file; ours have below 1 KiB.
const maxFile = 64 << 10

// What a key file is for, in its field "kind".
const (
	kindReplica = "replica"
	kindClient  = "client"
)

// Errors to test for with errors.Is.
var (
	// ErrPermissions: others than the current user may read or write the file, or put
	// another in its place.
	ErrPermissions = errors.New("key file is open to others")
	// ErrMismatch: a public half in the file does not belong to its seed.
	ErrMismatch = errors.New("public key does not belong to the seed")
	// ErrExists: writing would destroy a key.
	ErrExists = errors.New("key file exists already")
)

// seed is 32 secret bytes, as hexadecimal text.
type seed [32]byte

func (s seed) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

func (s *seed) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("seed: want %d hexadecimal digits, have %d characters", 2*len(s), len(text))
	}
	// The error of package hex would quote a digit of the secret.
	if _, err := hex.Decode(s[:], text); err != nil {
		return errors.New("seed: not hexadecimal")
	}
	return nil
}

// edPair and blsPair are how the keys are written.
type edPair struct {
	Seed   seed             `json:"seed"`
	Public crypto.PublicKey `json:"public"`
}

type blsPair struct {
	Seed   seed            `json:"seed"`
	Public crypto.BLSKey   `json:"public"`
	Proof  crypto.BLSProof `json:"proof"`
}

type replicaFile struct {
	Format  int      `json:"format"`
	Kind    string   `json:"kind"`
	Signing *edPair  `json:"signing"`
	TLS     *edPair  `json:"tls"`
	BLS     *blsPair `json:"bls"`
}

type clientFile struct {
	Format  int     `json:"format"`
	Kind    string  `json:"kind"`
	Signing *edPair `json:"signing"`
}

// read returns the file's bytes after checking who may read it. The check is on
// the open file, so that it cannot be exchanged in between.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the key file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s: not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o: run chmod 600 %s, and replace the keys if others may have read them",
			ErrPermissions, path, mode, path)
	}
	if err := checkOwner(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the key file %s: %w", path, err)
	}
	return data, nil
}

// decode checks format and kind, then decodes strictly into v.
func decode(data []byte, kind string, v any) error {
	if len(data) > maxFile {
		return fmt.Errorf("%w: longer than %d bytes", crypto.ErrMalformed, maxFile)
	}
	var head struct {
		Format int    `json:"format"`
		Kind   string `json:"kind"`
	}
	if err := strictjson.DecodeHead(data, &head, true); err != nil {
		return fmt.Errorf("%w: %w", crypto.ErrMalformed, err)
	}
	if head.Format != Format {
		return fmt.Errorf("%w: format %d, this program knows %d", crypto.ErrMalformed, head.Format, Format)
	}
	if head.Kind != kind {
		return fmt.Errorf("%w: a key file of kind %q, want one of kind %q", crypto.ErrMalformed, head.Kind, kind)
	}
	if err := strictjson.DecodeSecret(data, v); err != nil {
		return fmt.Errorf("%w: %w", crypto.ErrMalformed, err)
	}
	return nil
}

func write(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the key file %s: %w", path, err)
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err = atomicfile.Create(path, append(data, '\n'), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s: move it away first if you mean to replace the keys", ErrExists, path)
	}
	return err
}
