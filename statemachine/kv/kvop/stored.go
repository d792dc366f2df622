package kvop

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
)

// StoreSpace begins what a state in a store has a key of the application under.
const StoreSpace = 'k'

// StoreKey is where a state in a store (kv.Handler) keeps a key: what proofs of it are
// asked for by, as with client.Client.ReadCertified.
func StoreKey(key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), StoreSpace), key...)
}

// KeyOf is the opposite of [StoreKey]; false if the state keeps something else there.
func KeyOf(stored []byte) (key []byte, ok bool) { return bytes.CutPrefix(stored, []byte{StoreSpace}) }

// storedHead is the revisions of creation and last change, and the version.
const storedHead = 3 * 8

// DecodeStored reads what a state in a store keeps under the [StoreKey] of a key. The error
// wraps canon.ErrMalformed.
func DecodeStored(key, b []byte) (KeyValue, error) {
	if len(b) < storedHead {
		return KeyValue{}, fmt.Errorf("kv entry: %w: it has %d bytes", canon.ErrMalformed, len(b))
	}
	return KeyValue{
		Key: clone(key), Value: clone(b[storedHead:]),
		Create: binary.BigEndian.Uint64(b), Mod: binary.BigEndian.Uint64(b[8:]), Version: binary.BigEndian.Uint64(b[16:]),
	}, nil
}
