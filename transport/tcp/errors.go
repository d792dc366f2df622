package peertcp

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport/internal/frame"
)

// MismatchError says that two replicas must not link, and why. Both log it.
type MismatchError struct {
	Peer         crypto.ReplicaID
	Field        string
	Mine, Theirs string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("replica %d must not be linked with: %s differs: mine is %s, theirs %s", e.Peer, e.Field, e.Mine, e.Theirs)
}

func mismatchError(peer crypto.ReplicaID, m frame.Mismatch) *MismatchError {
	return &MismatchError{Peer: peer, Field: m.Field, Mine: m.Mine, Theirs: m.Theirs}
}

// Why a link ended; they appear in [transport.PeerStatus.LastError] and in logs.
var (
	errClosed           = errors.New("transport closed")
	errRemoved          = errors.New("peer left the membership, or its key or address changed")
	errSilent           = errors.New("nothing heard from the peer for too long")
	errHandshakeTimeout = errors.New("the peer did not finish the handshake in time")
	errSuperseded       = errors.New("the peer opened a newer link")
	errRestarted        = errors.New("the peer was restarted")
	errWoken            = errors.New("given up for a new attempt: the peer has just reached us")
	errPeerClosed       = errors.New("the peer closed the link")
	errMalformed        = errors.New("the peer broke the format of frames")
)
