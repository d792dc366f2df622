package registry

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/registry/schema"
	"github.com/parley-bft/parley/statemachine/store"
)

// ErrAudit is wrapped by the error of [Audit].
var ErrAudit = errors.New("registry audit")

// Audit reads the whole state of a registry and says in what it contradicts itself, nil
// if in nothing: every record has all its versions, each with the digest of the one
// before; its owner is in the index of owners and nobody else; data follow the schema
// that the version names; commitments, attestations and counts are right. r is the
// registry's part of the store.
func Audit(r store.Reader) error {
	a := auditor{reading: reading{r: r}}
	raw, ok := r.Get([]byte(keyConfig))
	if !ok {
		return fmt.Errorf("%w: there is no configuration", ErrAudit)
	}
	a.cfg = new(config)
	decodeEntry([]byte(keyConfig), raw, a.cfg.code)
	for key, value := range r.Range(nil, nil) {
		if string(key) != keyCounts {
			a.found.Bytes += uint64(entrySize(key, value))
		}
		kind, rest, ok := bytes.Cut(key, []byte("/"))
		if !ok {
			continue
		}
		if err := a.entry(string(kind), string(rest), value); err != nil {
			return fmt.Errorf("%w: %w", ErrAudit, err)
		}
	}
	have := a.counts()
	if *have != a.found {
		return fmt.Errorf("%w: the counts are %+v, and there are %+v", ErrAudit, *have, a.found)
	}
	if a.owned != a.found.Records {
		return fmt.Errorf("%w: %d records have owners in the index, of %d", ErrAudit, a.owned, a.found.Records)
	}
	return nil
}

type auditor struct {
	reading
	found Info
	owned uint64
}

func (a *auditor) entry(kind, rest string, value []byte) error {
	switch kind {
	case "p":
		a.found.Parties++
	case "c":
		a.found.Collections++
		c, err := a.collection(rest)
		if err != nil {
			return err
		}
		return a.checkCollection(c)
	case "r":
		a.found.Records++
		rec := new(Record)
		decodeEntry([]byte(rest), value, rec.code)
		return a.checkRecord(rec)
	case "o":
		owner, name, _ := strings.Cut(rest, "\x00")
		collection, id, _ := strings.Cut(name, "/")
		rec, err := a.record(collection, id)
		if err != nil || string(rec.Owner) != owner {
			return fmt.Errorf("%s is in the index as the owner of %s", owner, name)
		}
		a.owned++
	}
	return nil
}

func (a *auditor) checkCollection(c *Collection) error {
	n := uint64(0)
	prefix := []byte("r/" + c.Name + "/")
	for range a.r.Range(prefix, store.PrefixEnd(prefix)) {
		n++
	}
	if n != c.Records {
		return fmt.Errorf("collection %s has %d records, and counts %d", c.Name, n, c.Records)
	}
	for i := range c.Schemas {
		text, ok := a.r.Get(schemaKey(c.Name, i+1))
		digest, _ := a.r.Get(schemaDigestKey(c.Name, i+1))
		if want := crypto.Hash(domainSchema, text); !ok || !bytes.Equal(digest, want[:]) {
			return fmt.Errorf("collection %s: schema %d is missing, or has another digest", c.Name, i+1)
		}
	}
	return nil
}

func (a *auditor) checkRecord(rec *Record) error {
	name := rec.Collection + "/" + rec.ID
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("record %s: %s", name, fmt.Sprintf(format, args...))
	}
	var previous crypto.Digest
	var last Version
	n, content := uint64(0), uint64(0)
	prefix := VersionKey(rec.Collection, rec.ID, 0)
	prefix = prefix[:len(prefix)-8]
	for _, value := range a.r.Range(prefix, store.PrefixEnd(prefix)) {
		n++
		v := Version{}
		decodeEntry([]byte(name), value, v.code)
		if v.Action == Created || v.Action == Updated {
			content = n
		}
		switch {
		case v.Number != n || v.Previous != previous || v.Content != content:
			return wrong("version %d does not follow the one before", n)
		case (v.Action == Created) != (n == 1) || last.Action == Revoked:
			return wrong("version %d %s it after it was %s", n, v.Action, last.Action)
		case v.Action != Transferred && n > 1 && v.Owner != last.Owner:
			return wrong("version %d has another owner", n)
		case n > 1 && v.At.Time < last.At.Time:
			return wrong("version %d is older than the one before", n)
		}
		if err := a.checkContent(rec, &v); err != nil {
			return wrong("version %d: %v", n, err)
		}
		previous, last = v.Digest(rec.Collection, rec.ID), v
	}
	if n != rec.Version || previous != rec.Digest || content != rec.Content || last.Owner != rec.Owner || rec.Revoked != (last.Action == Revoked) {
		return wrong("it is not what its last version of %d says", n)
	}
	if rec.Revoked && rec.Offer != (Offer{}) {
		return wrong("it is revoked, and offered")
	}
	if _, ok := a.r.Get(ownedKey(rec.Owner, rec.Collection, rec.ID)); !ok {
		return wrong("it is not in the index of its owner")
	}
	for i := range rec.Attestations {
		var at Attestation
		if !a.load(attestationKey(rec.Collection, rec.ID, i+1), at.code) || at.Number != i+1 || at.Version > n {
			return wrong("attestation %d is missing, or about a version that is", i+1)
		}
	}
	return nil
}

// checkContent checks data and commitment of a version.
func (a *auditor) checkContent(rec *Record, v *Version) error {
	commitment, _ := a.r.Get(commitmentKey(rec.Collection, rec.ID, v.Number))
	if own := v.Content == v.Number && !v.Commitment.IsZero(); own != (commitment != nil) || own && !bytes.Equal(commitment, v.Commitment[:]) {
		return errors.New("its commitment is not where proofs look for it")
	}
	if v.Schema == 0 {
		return nil
	}
	text, ok := a.r.Get(schemaKey(rec.Collection, v.Schema))
	if !ok {
		return fmt.Errorf("there is no schema %d", v.Schema)
	}
	s, err := schema.Compile(text, a.cfg.Limits.schema())
	if err == nil {
		err = s.Validate(v.Data)
	}
	return err
}
