package api_test

import (
	stded25519 "crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
)

var rewrite = flag.Bool("rewrite", false, "write the test vector anew")

// vector is the worked example for implementations in other languages. All byte
// strings are hexadecimal; numbers that may exceed 2^53 are decimal strings.
type vector struct {
	Seed       string   `json:"seed"` // of the client's key, RFC 8032
	Client     string   `json:"client"`
	Cluster    string   `json:"cluster"`
	Seq        string   `json:"seq"`
	Low        string   `json:"low"`
	Deadline   string   `json:"deadline"`
	Operations []string `json:"operations"`
	Digest     string   `json:"digest"`
	Signed     string   `json:"signed"`
	Signature  string   `json:"signature"`
	Encoding   string   `json:"encoding"`
}

const (
	vectorSeq      = uint64(1790000000000000042)
	vectorLow      = uint64(1790000000000000040)
	vectorDeadline = uint64(1790000300000000000)
)

var vectorOps = [][]byte{[]byte("put x 1"), {}, {0x00, 0xff}}

func vectorSeed() (seed [32]byte) {
	for i := range seed {
		seed[i] = byte(i)
	}
	return seed
}

func vectorCluster() (id crypto.Digest) {
	for i := range id {
		id[i] = byte(0xa0 + i)
	}
	return id
}

// byHand makes the vector from the comments in parley.proto alone: nothing of
// Parley's code is used.
func byHand() vector {
	seed, cluster := vectorSeed(), vectorCluster()
	key := stded25519.NewKeyFromSeed(seed[:])
	public := []byte(key.Public().(stded25519.PublicKey))

	var body []byte
	body = append(body, public...)
	body = binary.BigEndian.AppendUint64(body, vectorSeq)
	body = binary.BigEndian.AppendUint64(body, vectorLow)
	body = binary.BigEndian.AppendUint64(body, vectorDeadline)
	body = binary.BigEndian.AppendUint32(body, uint32(len(vectorOps)))
	var ops []string
	for _, op := range vectorOps {
		body = binary.BigEndian.AppendUint32(body, uint32(len(op)))
		body = append(body, op...)
		ops = append(ops, hex.EncodeToString(op))
	}
	digest := sha256.Sum256(append([]byte("\x0eparley/request"), body...))
	signed := append([]byte("parley/v1\x01"), cluster[:]...)
	signed = append(signed, make([]byte, 8)...)
	signed = append(signed, digest[:]...)
	signature := stded25519.Sign(key, signed)
	return vector{
		Seed: hex.EncodeToString(seed[:]), Client: hex.EncodeToString(public), Cluster: hex.EncodeToString(cluster[:]),
		Seq: "1790000000000000042", Low: "1790000000000000040", Deadline: "1790000300000000000",
		Operations: ops, Digest: hex.EncodeToString(digest[:]), Signed: hex.EncodeToString(signed),
		Signature: hex.EncodeToString(signature), Encoding: hex.EncodeToString(append(body, signature...)),
	}
}

// storedVector reads a file of testdata, which must be what was made by hand.
func storedVector[V any](t *testing.T, name string, hand V) (stored V) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		data, err := json.MarshalIndent(hand, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, append(data, '\n'), 0o644))
	}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &stored))
	require.Equal(t, hand, stored, "the file and the comments in parley.proto disagree")
	return stored
}

func TestRequestVector(t *testing.T) {
	stored := storedVector(t, "request_vector.json", byHand())

	// The code makes and reads the same.
	signer := ed25519.NewSigner(ed25519.NewKeyFromSeed(vectorSeed()))
	context := crypto.Context{Kind: crypto.KindRequest, Cluster: vectorCluster()}
	r := pbft.NewRequest(signer.Public(), vectorSeq, vectorLow, pbft.Time(vectorDeadline), vectorOps)
	digest := r.Digest()
	require.Equal(t, stored.Digest, digest.Hex())
	require.Equal(t, stored.Signed, hex.EncodeToString(context.AppendMessage(nil, digest[:])))
	signature, ok := crypto.SignatureOf(signer.Sign(context, digest[:]))
	require.True(t, ok)
	require.Equal(t, stored.Encoding, hex.EncodeToString(r.WithSignature(signature).Encode()))

	encoding, err := hex.DecodeString(stored.Encoding)
	require.NoError(t, err)
	back, err := pbft.DecodeRequest(encoding)
	require.NoError(t, err)
	require.Equal(t, digest, back.Digest())
	require.True(t, ed25519.NewVerifier(1).Verify(back.Client, context, digest[:], back.Signature))
}
