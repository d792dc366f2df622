package registry

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// VerifyRecord returns where a record stands, of which p is the proof of the key
// [RecordKey] under the digest of a state. prefix is that of the registry in the store,
// empty if it has the store to itself. The digest of the record's latest version is in
// it, so the whole history can be checked from there ([Version.Digest]). The error wraps
// proof.ErrInvalid, or ErrNotFound if it is proved that there is no such record.
func VerifyRecord(p *proof.Proof, state crypto.Digest, prefix, collection, id string) (*Record, error) {
	if err := p.Verify(state, append([]byte(prefix), RecordKey(collection, id)...)); err != nil {
		return nil, err
	}
	if !p.Present {
		return nil, fmt.Errorf("%w: the state has no record %s/%s", ErrNotFound, collection, id)
	}
	rec, err := DecodeRecord(p.Value)
	if err != nil {
		return nil, fmt.Errorf("record %s/%s: %w", collection, id, err)
	}
	return rec, nil
}

// DecodeRecord reads what the state maps a [RecordKey] to, as a proof of the state has
// it (package client/stateproof). The error wraps canon.ErrMalformed.
func DecodeRecord(value []byte) (*Record, error) {
	rec := new(Record)
	if err := canon.Decode(value, rec.code); err != nil {
		return nil, err
	}
	return rec, nil
}

// DecodeVersion reads what the state maps a [VersionKey] to.
func DecodeVersion(value []byte) (*Version, error) {
	v := new(Version)
	if err := canon.Decode(value, v.code); err != nil {
		return nil, err
	}
	return v, nil
}
