package keyfile_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/keyfile"
)

// seeds is a source of 96 known bytes.
func seeds() *bytes.Reader {
	b := make([]byte, 96)
	for i := range b {
		b[i] = byte(i)
	}
	return bytes.NewReader(b)
}

func TestReplica(t *testing.T) {
	r, err := keyfile.GenerateReplica(rand.Reader)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a", "b", "key.json")
	require.NoError(t, r.Write(path))

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	for dir := filepath.Dir(path); strings.Contains(dir, "/a"); dir = filepath.Dir(dir) {
		info, err = os.Stat(dir)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	}
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file is left")

	back, err := keyfile.LoadReplica(path)
	require.NoError(t, err)
	require.Equal(t, r.Public(), back.Public())
	require.Equal(t, r.Signing.Seed(), back.Signing.Seed())
	require.Equal(t, r.TLS.Seed(), back.TLS.Seed())
	keys := r.Public()
	require.NotEqual(t, keys.Signing, keys.TLS)
	require.NoError(t, bls.CheckProof(keys.BLS[:], keys.Proof[:]))

	// Never over an existing key.
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	other, err := keyfile.GenerateReplica(rand.Reader)
	require.NoError(t, err)
	require.ErrorIs(t, other.Write(path), keyfile.ErrExists)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	left, err = os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1)

	_, err = keyfile.LoadClient(path)
	require.ErrorContains(t, err, `kind "replica", want one of kind "client"`)
}

func TestClient(t *testing.T) {
	c, err := keyfile.GenerateClient(rand.Reader)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "client.json")
	require.NoError(t, c.Write(path))
	back, err := keyfile.LoadClient(path)
	require.NoError(t, err)
	require.Equal(t, c.Signing.Seed(), back.Signing.Seed())
	_, err = keyfile.LoadReplica(path)
	require.ErrorIs(t, err, crypto.ErrMalformed)
}

func TestGenerationIsDeterministicInItsSource(t *testing.T) {
	a, err := keyfile.GenerateReplica(seeds())
	require.NoError(t, err)
	b, err := keyfile.GenerateReplica(seeds())
	require.NoError(t, err)
	require.Equal(t, a.Public(), b.Public())
	_, err = keyfile.GenerateReplica(strings.NewReader("too short"))
	require.Error(t, err)
	_, err = keyfile.GenerateClient(strings.NewReader("too short"))
	require.Error(t, err)
}

func TestPermissions(t *testing.T) {
	r, err := keyfile.GenerateReplica(seeds())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, r.Write(path))
	for mode := os.FileMode(0); mode <= 0o777; mode++ {
		if mode&0o400 == 0 {
			continue
		}
		require.NoError(t, os.Chmod(path, mode))
		if mode&0o077 == 0 {
			continue // tried below: deriving keys takes a while
		}
		_, err := keyfile.LoadReplica(path)
		require.ErrorIs(t, err, keyfile.ErrPermissions, "%o", mode)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "chmod 600 "+path)
	}
	require.NoError(t, os.Chmod(path, 0o640))
	_, err = keyfile.LoadReplica(path)
	require.ErrorContains(t, err, "has mode 0640")
	require.NoError(t, os.Chmod(path, 0o400))
	_, err = keyfile.LoadReplica(path)
	require.NoError(t, err)

	_, err = keyfile.LoadReplica(filepath.Dir(path))
	require.ErrorContains(t, err, "not a regular file")
	_, err = keyfile.LoadReplica(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// encoded returns the file of the known seeds.
func encoded(t testing.TB) string {
	r, err := keyfile.GenerateReplica(seeds())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, r.Write(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestDamagedFiles(t *testing.T) {
	text := encoded(t)
	r, err := keyfile.ParseReplica([]byte(text))
	require.NoError(t, err)
	keys := r.Public()
	signing, tlsSeed := r.Signing.Seed(), r.TLS.Seed()
	flip := func(digits string) string {
		last := byte('0')
		if digits[len(digits)-1] == '0' {
			last = '1'
		}
		return strings.Replace(text, digits, digits[:len(digits)-1]+string(last), 1)
	}
	for name, damaged := range map[string]string{
		"signing":   flip(keys.Signing.Hex()),
		"tls":       flip(keys.TLS.Hex()),
		"bls":       flip(hex.EncodeToString(keys.BLS[:])),
		"bls.proof": flip(hex.EncodeToString(keys.Proof[:])),
		"signing: ": flip(hex.EncodeToString(signing[:])),
	} {
		_, err := keyfile.ParseReplica([]byte(damaged))
		require.ErrorIs(t, err, keyfile.ErrMismatch, name)
		require.ErrorContains(t, err, name)
	}
	for name, damaged := range map[string]string{
		"empty":         "",
		"truncated":     text[:300],
		"format":        strings.Replace(text, `"format": 1`, `"format": 2`, 1),
		"kind":          strings.Replace(text, `"replica"`, `"client"`, 1),
		"unknown field": strings.Replace(text, `"format": 1,`, `"format": 1, "password": "x",`, 1),
		"missing":       strings.Replace(text, `"tls"`, `"TLS2"`, 1),
		"absent":        `{"format":1,"kind":"replica"}`,
		"not hex":       strings.Replace(text, hex.EncodeToString(signing[:]), strings.Repeat("xy", 32), 1),
		"no object":     strings.Replace(text, `"bls": {`, `"bls": "`+hex.EncodeToString(signing[:])+`", "rest": {`, 1),
		"no text":       strings.Replace(text, `"seed": "`+hex.EncodeToString(signing[:])+`"`, `"seed": `+strings.Repeat("7", 64), 1),
		"short":         strings.Replace(text, hex.EncodeToString(signing[:]), "00", 1),
		"one seed for two purposes": strings.Replace(strings.Replace(text,
			hex.EncodeToString(tlsSeed[:]), hex.EncodeToString(signing[:]), 1), keys.TLS.Hex(), keys.Signing.Hex(), 1),
		"too long": text + strings.Repeat(" ", 1<<16),
	} {
		_, err := keyfile.ParseReplica([]byte(damaged))
		require.ErrorIs(t, err, crypto.ErrMalformed, name)
		require.NotContains(t, err.Error(), hex.EncodeToString(signing[:])[:12], "an error shows the secret")
		for _, inner := range []string{"Go ", "json:", "struct", "encoding/hex"} {
			require.NotContains(t, err.Error(), inner, name)
		}
	}
	_, err = keyfile.ParseClient([]byte(`{"format":1,"kind":"client"}`))
	require.ErrorIs(t, err, crypto.ErrMalformed)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(encoded(f)))
	f.Add([]byte(`{"format":1,"kind":"client","signing":{"seed":"` + strings.Repeat("00", 32) + `","public":"` + strings.Repeat("00", 32) + `"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := keyfile.ParseReplica(data); err == nil {
			keys := r.Public()
			require.NoError(t, bls.CheckProof(keys.BLS[:], keys.Proof[:]))
		}
		if c, err := keyfile.ParseClient(data); err == nil {
			require.False(t, c.Signing.Public().IsZero())
		}
	})
}
