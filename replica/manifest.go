package replica

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// What travels as a Manifest: the two digests that the certified state digest
// covers beside the manifest's root, where the application's bytes begin (nothing
// vouches for that: it only says what to ask for first), then the manifest.
func encodeManifest(h *statemachine.Header, m *snapshot.Manifest) []byte {
	b := append([]byte(nil), h.AppDigest[:]...)
	b = append(b, h.SessionsDigest[:]...)
	b = canon.AppendUint64(b, h.AppAt)
	return append(b, m.Encode()...)
}

type manifestParts struct {
	app, sessions crypto.Digest
	appAt         uint64
	*snapshot.Manifest
}

func decodeManifest(data []byte) (p manifestParts, err error) {
	const head = 2*crypto.DigestSize + 8
	if len(data) < head {
		return p, fmt.Errorf("%w: %d bytes", snapshot.ErrManifest, len(data))
	}
	r := canon.NewReader(data[:head])
	r.Copy(p.app[:])
	r.Copy(p.sessions[:])
	p.appAt = r.Uint64()
	p.Manifest, err = snapshot.DecodeManifest(data[head:])
	return p, err
}

// PartChunks tells of how many of the first chunks the executor's part of a snapshot
// consists, for NodeConfig.PartChunks. The manifest was checked.
func PartChunks(data []byte) int {
	m, err := decodeManifest(data)
	if err != nil || m.ChunkSize == 0 {
		return 0
	}
	n := m.appAt / uint64(m.ChunkSize)
	if m.appAt%uint64(m.ChunkSize) > 0 {
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
