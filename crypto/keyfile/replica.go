package keyfile

import (
	cryptorand "crypto/rand"
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/ed25519"
)

// Replica holds one replica's private keys. It is immutable.
type Replica struct {
	Signing *ed25519.PrivateKey // votes and messages
	TLS     *ed25519.PrivateKey // connections
	BLS     *bls.PrivateKey     // checkpoints, and votes where the cluster says so

	blsSeed seed
	proof   crypto.BLSProof
}

// GenerateReplica takes three independent seeds from rand: crypto/rand.Reader if
// that is nil, or a deterministic source in tests.
func GenerateReplica(rand io.Reader) (*Replica, error) {
	if rand == nil {
		rand = cryptorand.Reader
	}
	var seeds [3]seed
	for i := range seeds {
		if _, err := io.ReadFull(rand, seeds[i][:]); err != nil {
			return nil, fmt.Errorf("generate replica keys: %w", err)
		}
	}
	r := newReplica(seeds[0], seeds[1], seeds[2])
	r.proof = r.BLS.Prove()
	return r, nil
}

func newReplica(signing, tls, blsSeed seed) *Replica {
	return &Replica{
		Signing: ed25519.NewKeyFromSeed(signing),
		TLS:     ed25519.NewKeyFromSeed(tls),
		BLS:     bls.NewKeyFromSeed(blsSeed),
		blsSeed: blsSeed,
	}
}

// Public returns the public halves and the proof of possession: what goes into
// the cluster file.
func (r *Replica) Public() crypto.MemberKeys {
	return crypto.MemberKeys{Signing: r.Signing.Public(), TLS: r.TLS.Public(), BLS: r.BLS.Public(), Proof: r.proof}
}

// Write creates the file with mode 0600, and missing directories with 0700. An
// existing file is never overwritten (ErrExists).
func (r *Replica) Write(path string) error {
	return write(path, replicaFile{
		Format: Format, Kind: kindReplica,
		Signing: &edPair{r.Signing.Seed(), r.Signing.Public()},
		TLS:     &edPair{r.TLS.Seed(), r.TLS.Public()},
		BLS:     &blsPair{r.blsSeed, r.BLS.Public(), r.proof},
	})
}

// LoadReplica reads a key file. It refuses one that others than the current user may
// read or put another in the place of (ErrPermissions; see the package's notes) and
// one whose halves do not match (ErrMismatch).
func LoadReplica(path string) (*Replica, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	r, err := ParseReplica(data)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return r, nil
}

// ParseReplica parses the contents of a replica's key file.
func ParseReplica(data []byte) (*Replica, error) {
	var f replicaFile
	if err := decode(data, kindReplica, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Signing == nil:
		return nil, missing("signing")
	case f.TLS == nil:
		return nil, missing("tls")
	case f.BLS == nil:
		return nil, missing("bls")
	}
	if f.Signing.Seed == f.TLS.Seed || f.Signing.Seed == f.BLS.Seed || f.TLS.Seed == f.BLS.Seed {
		return nil, fmt.Errorf("%w: one seed serves two purposes: generate new keys", crypto.ErrMalformed)
	}
	r := newReplica(f.Signing.Seed, f.TLS.Seed, f.BLS.Seed)
	r.proof = f.BLS.Proof
	switch {
	case r.Signing.Public() != f.Signing.Public:
		return nil, mismatch("signing", f.Signing.Public, r.Signing.Public())
	case r.TLS.Public() != f.TLS.Public:
		return nil, mismatch("tls", f.TLS.Public, r.TLS.Public())
	case r.BLS.Public() != f.BLS.Public:
		return nil, mismatch("bls", f.BLS.Public, r.BLS.Public())
	case r.BLS.Prove() != f.BLS.Proof: // signing is deterministic
		return nil, fmt.Errorf("bls.proof: %w: restore the file from its backup", ErrMismatch)
	}
	return r, nil
}

func missing(field string) error {
	return fmt.Errorf("%w: no field %q", crypto.ErrMalformed, field)
}

func mismatch(field string, file, derived fmt.Stringer) error {
	return fmt.Errorf("%s: %w: the file says %s, the seed gives %s: restore the file from its backup", field, ErrMismatch, file, derived)
}
