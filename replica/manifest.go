package replica

import (
	"bytes"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// What travels as a Manifest: the two digests that the certified state digest
// covers beside the manifest's root, then the manifest. The certificate vouches for all of it.
func encodeManifest(h *statemachine.Header, m *snapshot.Manifest) []byte {
	b := append([]byte(nil), h.AppDigest[:]...)
	b = append(b, h.SessionsDigest[:]...)
	return append(b, m.Encode()...)
}

type manifestParts struct {
	app, sessions crypto.Digest
	*snapshot.Manifest
}

func decodeManifest(data []byte) (p manifestParts, err error) {
	const head = 2 * crypto.DigestSize
	if len(data) < head {
		return p, fmt.Errorf("%w: %d bytes", snapshot.ErrManifest, len(data))
	}
	r := canon.NewReader(data[:head])
	r.Copy(p.app[:])
	r.Copy(p.sessions[:])
	p.Manifest, err = snapshot.DecodeManifest(data[head:])
	return p, err
}

// PartChunks tells of how many of the first chunks the executor's part of a snapshot
// consists, for NodeConfig.PartChunks. The manifest was checked, and the first chunk
// against it: it begins with the header, which says where the application's bytes do.
func PartChunks(data, first []byte) int {
	m, err := decodeManifest(data)
	if err != nil || m.ChunkSize == 0 {
		return 0
	}
	h, err := statemachine.ReadHeader(bytes.NewReader(first))
	if err != nil {
		return 0
	}
	n := h.AppAt / uint64(m.ChunkSize)
	if h.AppAt%uint64(m.ChunkSize) > 0 {
		n++
	}
	return int(min(uint64(len(m.Chunks)), n))
}

// CheckManifest tells whether data is the manifest of the snapshot at b's
// checkpoint, that is whether b's certified state digest covers it, and how many
// chunks it names.
func CheckManifest(b *pbft.Bundle, data []byte) (chunks int, err error) {
	m, err := decodeManifest(data)
	if err != nil {
		return 0, err
	}
	if m.Height != uint64(b.Height()) {
		return 0, fmt.Errorf("%w: of height %d, wanted %d", snapshot.ErrManifest, m.Height, b.Height())
	}
	if got := statemachine.StateDigest(m.app, m.sessions, m.Root()); got != b.Checkpoint.State {
		return 0, fmt.Errorf("%w: state digest %v, certified is %v", snapshot.ErrManifest, got, b.Checkpoint.State)
	}
	return len(m.Chunks), nil
}
