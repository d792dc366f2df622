package main

import (
	"encoding/binary"
	"fmt"

	"crypto/sha256"
)

// system is a store under test.
type system interface {
	// load fills an empty one with the entries of seq, which come in ascending order.
	load(n int) error
	get(key []byte) ([]byte, error)
	set(key, value []byte)
	// commit ends a block and returns the digest after it.
	commit(height uint64) ([]byte, error)
	// proof returns the encoded proof of a key after the last block.
	proof(key []byte) ([]byte, error)
	// old reads a key some blocks ago; false if the system cannot.
	old(height uint64, key []byte) (bool, error)
	// walk reads up to n entries from a key on, in order; false if the system cannot.
	walk(from []byte, n int) (bool, error)
	close() error
}

var systems = map[string]func(dir string) (system, error){}

const (
	keyBytes   = 20
	valueBytes = 100
	// keep is how many heights stay readable, in all systems that can.
	keep = 128
)

// key is the i-th of n keys in ascending order, spread over the key space: like the
// addresses of accounts.
func key(i, n int) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	step := ^uint64(0)/uint64(n) + 0
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, keyBytes), uint64(i)*step), sum[:keyBytes-8]...)
}

// value is what a key is mapped to after so many changes; it does not compress.
func value(k []byte, version uint64) []byte {
	v := make([]byte, 0, valueBytes+32)
	for i := byte(0); len(v) < valueBytes; i++ {
		sum := sha256.Sum256(append(binary.BigEndian.AppendUint64([]byte{i}, version), k...))
		v = append(v, sum[:]...)
	}
	return v[:valueBytes]
}

func fault(format string, args ...any) error { return fmt.Errorf(format, args...) }
