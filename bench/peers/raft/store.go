package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"

	"github.com/parley-bft/parley/bench/wire"
)

// store is the state machine of the libraries: a command's key, of which there are
// 10,000, maps to the command, and the reply is the command that it replaced.
type store struct {
	mu sync.Mutex
	m  map[uint64][]byte
}

const keys = 10_000

var absent = make([]byte, wire.CommandBytes)

func newStore() *store { return &store{m: make(map[uint64][]byte)} }

func (s *store) apply(command []byte) []byte {
	id, ok := wire.ID(command)
	if !ok {
		return absent
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := id % keys
	old := s.m[key]
	s.m[key] = append([]byte(nil), command...)
	if old == nil {
		return absent
	}
	return old
}

func (s *store) copied() *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &store{m: maps.Clone(s.m)}
}

func (s *store) save(w io.Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	bw := bufio.NewWriter(w)
	var head [16]byte
	for k, v := range s.m {
		binary.BigEndian.PutUint64(head[:], k)
		binary.BigEndian.PutUint64(head[8:], uint64(len(v)))
		if _, err := bw.Write(head[:]); err != nil {
			return err
		}
		if _, err := bw.Write(v); err != nil {
			return err
		}
	}
	return bw.Flush()
}

func (s *store) load(r io.Reader) error {
	loaded := make(map[uint64][]byte)
	br := bufio.NewReader(r)
	for {
		var head [16]byte
		if _, err := io.ReadFull(br, head[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		n := binary.BigEndian.Uint64(head[8:])
		if n > wire.MaxFrame {
			return fmt.Errorf("value of %d bytes in a snapshot", n)
		}
		v := make([]byte, n)
		if _, err := io.ReadFull(br, v); err != nil {
			return err
		}
		loaded[binary.BigEndian.Uint64(head[:])] = v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m = loaded
	return nil
}
