package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// What is in the database, by the first byte of the key:
//
//	m  the head: see head.go
//	l  key: the last value of a key, and the height that wrote it
//	h  escaped key, height: the value that a key had before the block of that height
//	j  height, part: what is of use only to read heights below: keys of h, nodes of n
//	n  version, digit, prefix: a node of the tree (see node.go)
//	c  height: what stands on the chain of changes there (see feed_log.go)
//	f  height, index: a piece of what that block changed
//
// Nodes are in the order in which they come to be, so the database hardly rewrites the
// ones that stay.
const (
	spaceHead    = 'm'
	spaceLast    = 'l'
	spaceHistory = 'h'
	spaceJournal = 'j'
	spaceNodes   = 'n'
	spaceLinks   = 'c'
	spacePieces  = 'f'
)

func lastKey(key string) []byte {
	return append(append(make([]byte, 0, 1+len(key)), spaceLast), key...)
}

// escape appends an encoding of key that has the same order, also with something behind
// it: a zero becomes 0 255, and the end is 0 1.
func escape(b []byte, key string) []byte {
	for i := range len(key) {
		if b = append(b, key[i]); key[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return append(b, 0, 1)
}

var errKeyFormat = errors.New("malformed key")

// unescape reads what escape wrote and returns what is behind it.
func unescape(b []byte) (key string, rest []byte, err error) {
	out := make([]byte, 0, len(b))
	for i := 0; i+1 < len(b); i++ {
		if b[i] != 0 {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 0xff:
			out = append(out, 0)
		case 1:
			return string(out), b[i+1:], nil
		default:
			return "", nil, fmt.Errorf("%w: %x", errKeyFormat, b)
		}
	}
	return "", nil, fmt.Errorf("%w: %x has no end", errKeyFormat, b)
}

// historyName is the key of a history entry without the space's byte.
func historyName(key string, height uint64) string {
	b := escape(make([]byte, 0, len(key)+2+8), key)
	return string(binary.BigEndian.AppendUint64(b, height))
}

func splitHistoryName(name []byte) (key string, height uint64, err error) {
	key, rest, err := unescape(name)
	if err == nil && len(rest) != 8 {
		err = fmt.Errorf("%w: %x", errKeyFormat, name)
	}
	if err != nil {
		return "", 0, err
	}
	return key, binary.BigEndian.Uint64(rest), nil
}

func inSpace(space byte, name string) []byte {
	return append(append(make([]byte, 0, 1+len(name)), space), name...)
}

func journalKey(height uint64, part uint32) []byte {
	b := binary.BigEndian.AppendUint64([]byte{spaceJournal}, height)
	return binary.BigEndian.AppendUint32(b, part)
}

// nodeID names a node: the version that wrote it, and where it is: the first digit in
// which the keys below it differ, and the digits that they have in common.
type nodeID struct {
	version uint64
	digit   uint8
	prefix  crypto.Digest // zero from digit on
}

// append appends the ID as it stands in keys and journals. Its length follows from its
// digit.
func (id *nodeID) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, id.version)
	b = append(b, id.digit)
	return append(b, id.prefix[:(int(id.digit)+1)/2]...)
}

func (id *nodeID) key() []byte {
	return id.append(append(make([]byte, 0, 1+8+1+crypto.DigestSize), spaceNodes))
}

// commonPrefix is the first n digits of key, then zeros.
func commonPrefix(key *crypto.Digest, n int) (p crypto.Digest) {
	copy(p[:], key[:(n+1)/2])
	if n%2 == 1 {
		p[n/2] &= 0xf0
	}
	return p
}
