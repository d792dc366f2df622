package frame

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Version is the version of the link protocol. Two replicas link only if theirs
// are equal.
const Version uint16 = 1

// MaxBuild is the longest build string, in bytes.
const MaxBuild = 64

// Greeting is what each side says of itself when a link is opened.
type Greeting struct {
	Version  uint16
	Cluster  crypto.Digest    // which cluster
	Epoch    uint64           // the epoch it is in
	Config   crypto.Digest    // digest of the epoch's configuration
	Sender   crypto.ReplicaID // who it is, in the numbering of its epoch
	Instance uint64           // drawn at random when the process starts
	Build    string           // name of the build, for people
}

// Append appends the greeting as a frame of kind Hello or Welcome.
func (g Greeting) Append(dst []byte, k Kind) []byte {
	dst = canon.AppendUint16(append(dst, byte(k)), g.Version)
	dst = append(dst, g.Cluster[:]...)
	dst = canon.AppendUint64(dst, g.Epoch)
	dst = append(dst, g.Config[:]...)
	dst = canon.AppendUint16(dst, uint16(g.Sender))
	dst = canon.AppendUint64(dst, g.Instance)
	return canon.AppendString(dst, g.Build)
}

// ParseGreeting reads a Hello or Welcome after its kind was looked at. Of
// another version it reads the version only: what follows may have changed.
func ParseGreeting(b []byte) (Greeting, error) {
	var g Greeting
	r := canon.NewReader(b)
	r.Uint8()
	if g.Version = r.Uint16(); r.Err() == nil && g.Version != Version {
		return g, nil
	}
	r.Copy(g.Cluster[:])
	g.Epoch = r.Uint64()
	r.Copy(g.Config[:])
	g.Sender = crypto.ReplicaID(r.Uint16())
	g.Instance = r.Uint64()
	g.Build = string(r.Bytes(MaxBuild))
	if !Printable(g.Build) {
		r.Fail("build string %q is not printable ASCII", g.Build)
	}
	return g, r.Close()
}

// Printable tells whether s is printable ASCII, safe to log.
func Printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Mismatch is a field in which two greetings differ, seen from one side.
type Mismatch struct {
	Field        string
	Mine, Theirs string
}

// Compare returns the first field that keeps two replicas from linking, seen
// from the side of mine, or nil. key is the id that the peer's key stands for.
//
// Epochs may differ, since a replica that is behind catches up over these links;
// the configuration and the numbering of replicas belong to an epoch and are
// compared within one only. Builds may differ: that is how a cluster is upgraded.
func Compare(mine, theirs Greeting, key crypto.ReplicaID) *Mismatch {
	switch {
	case mine.Version != theirs.Version:
		return &Mismatch{"link protocol version", fmt.Sprint(mine.Version), fmt.Sprint(theirs.Version)}
	case mine.Cluster != theirs.Cluster:
		return &Mismatch{"cluster id", mine.Cluster.Hex(), theirs.Cluster.Hex()}
	case mine.Epoch == theirs.Epoch && mine.Config != theirs.Config:
		return &Mismatch{"configuration digest", mine.Config.Hex(), theirs.Config.Hex()}
	case mine.Epoch == theirs.Epoch && theirs.Sender != key:
		return &Mismatch{"replica id of the peer's key", fmt.Sprint(key), fmt.Sprint(theirs.Sender)}
	}
	return nil
}

const maxRefusalField = 80

// AppendRefusal appends the frame that tells the peer why it was refused: its
// Mine is the refusing side's.
func (m Mismatch) AppendRefusal(dst []byte) []byte {
	dst = append(dst, byte(Refusal))
	dst = canon.AppendString(dst, m.Field)
	dst = canon.AppendString(dst, m.Mine)
	return canon.AppendString(dst, m.Theirs)
}

// ParseRefusal reads a refusal after its kind was looked at and turns it round:
// Mine is the reader's.
func ParseRefusal(b []byte) (Mismatch, error) {
	r := canon.NewReader(b)
	r.Uint8()
	var m Mismatch
	for _, s := range []*string{&m.Field, &m.Theirs, &m.Mine} {
		*s = string(r.Bytes(maxRefusalField))
		if !Printable(*s) {
			r.Fail("refusal %q is not printable ASCII", *s)
		}
	}
	return m, r.Close()
}

// maxFarewell is the longest reason of a farewell, in bytes.
const maxFarewell = 200

// AppendFarewell appends the frame that tells the peer why its link ends.
func AppendFarewell(dst []byte, reason string) []byte {
	return canon.AppendString(append(dst, byte(Farewell)), reason[:min(len(reason), maxFarewell)])
}

// ParseFarewell reads a farewell after its kind was looked at.
func ParseFarewell(b []byte) (reason string, err error) {
	r := canon.NewReader(b)
	r.Uint8()
	reason = string(r.Bytes(maxFarewell))
	if !Printable(reason) {
		r.Fail("farewell %q is not printable ASCII", reason)
	}
	return reason, r.Close()
}
