package replica

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
)

func (s *diskStore) get(key []byte, name fmt.Stringer) (value []byte, err error) {
	done, err := s.use()
	if err != nil {
		return nil, err
	}
	defer done()
	defer s.rescue("read", &err)
	b, err := s.db.Get(key)
	if err != nil {
		return nil, s.fail("read "+name.String(), err)
	}
	if b == nil {
		return nil, nil
	}
	value, fault := unseal(key, b)
	if fault != "" {
		return nil, s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: name.String(), Detail: fault})
	}
	return value, nil
}

func (s *diskStore) Get(key pbft.RecordKey) ([]byte, error) { return s.get(recordKey(key), key) }

func (s *diskStore) GetHost(key HostKey) ([]byte, error) { return s.get(hostKey(key), key) }

// scan calls yield for [from, to); values are unsealed lazily, only if yield asks.
func (s *diskStore) scan(from, to []byte, yield func(key []byte, value func() ([]byte, error)) error) (err error) {
	done, err := s.use()
	if err != nil {
		return err
	}
	defer done()
	defer s.rescue("read", &err)
	it, err := s.db.Iterator(from, to)
	if err != nil {
		return s.fail("read", err)
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = s.fail("read", cerr)
		}
	}()
	for ; it.Valid(); it.Next() {
		key := append([]byte(nil), it.Key()...)
		err := yield(key, func() ([]byte, error) {
			value, fault := unseal(key, append([]byte(nil), it.Value()...))
			if fault != "" {
				return nil, s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: keyName(key), Detail: fault})
			}
			return value, nil
		})
		if err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return s.fail("read", err)
	}
	return nil
}

func keyName(key []byte) string {
	if k, ok := parseHostKey(key); ok {
		return k.String()
	}
	if len(key) > 0 && key[0] == spaceRecords {
		if k, err := pbft.DecodeRecordKey(key[1:]); err == nil {
			return k.String()
		}
	}
	return fmt.Sprintf("key %x", key)
}

// scanner is what the parts of a [Store] that go through many keys are made of.
type scanner interface {
	// scan calls yield for the keys in [from, to), in order, until it returns an error.
	// A value may be nil, if it was deleted since.
	scan(from, to []byte, yield func(key []byte, value func() ([]byte, error)) error) error
	// malformed reports a key that should not be there.
	malformed(key []byte, detail string) error
}

func (s *diskStore) malformed(key []byte, detail string) error {
	return s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: keyName(key), Detail: detail})
}

func load(s scanner, want func(pbft.RecordKey) bool, yield func(pbft.Record) error) error {
	return s.scan([]byte{spaceRecords}, []byte{spaceRecords + 1}, func(key []byte, value func() ([]byte, error)) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return s.malformed(key, err.Error())
		}
		if want != nil && !want(k) {
			return nil
		}
		v, err := value()
		if err != nil || v == nil {
			return err
		}
		return yield(pbft.Record{Key: k, Value: v})
	})
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

func seek(s scanner, kind pbft.RecordKind, from uint64, yield func(pbft.Record) bool) error {
	lo, hi := seekRange(kind, from)
	err := s.scan(lo, hi, func(key []byte, value func() ([]byte, error)) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return s.malformed(key, err.Error())
		}
		v, err := value()
		if err == nil && v != nil && !yield(pbft.Record{Key: k, Value: v}) {
			err = errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func scanHost(s scanner, kind HostKind, from, to pbft.Height, yield func(HostKey, []byte) error) error {
	if from >= to {
		return nil
	}
	lo, hi := hostKey(HostKey{kind, from}), hostKey(HostKey{kind, to})
	return s.scan(lo, hi, func(key []byte, value func() ([]byte, error)) error {
		k, ok := parseHostKey(key)
		if !ok {
			return s.malformed(key, "not a key of ours")
		}
		v, err := value()
		if err != nil || v == nil {
			return err
		}
		return yield(k, v)
	})
}

func (s *diskStore) Load(want func(pbft.RecordKey) bool, yield func(pbft.Record) error) error {
	return load(s, want, yield)
}

func (s *diskStore) Seek(kind pbft.RecordKind, from uint64, yield func(pbft.Record) bool) error {
	return seek(s, kind, from, yield)
}

func (s *diskStore) ScanHost(kind HostKind, from, to pbft.Height, yield func(HostKey, []byte) error) error {
	return scanHost(s, kind, from, to, yield)
}
