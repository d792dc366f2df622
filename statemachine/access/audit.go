package access

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/store"
)

// ErrAudit is wrapped by the error of [Audit].
var ErrAudit = errors.New("access audit")

// Audit reads the whole policy and says in what it contradicts itself, nil if in
// nothing: counts, the audit trail without a gap and in the order of time, usages that
// are in the index of their windows. r is the whole store.
func Audit(r store.Reader) error {
	own := reading{store.PrefixReader(r, prefix)}
	s := own.settings()
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrAudit, fmt.Sprintf(format, args...))
	}
	part := func(name string) (n uint64, each func(func(key, value []byte) error) error) {
		from := []byte(name)
		for range own.r.Range(from, store.PrefixEnd(from)) {
			n++
		}
		return n, func(f func(key, value []byte) error) error {
			for key, value := range own.r.Range(from, store.PrefixEnd(from)) {
				if err := f(key, value); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if n, _ := part("m/"); n != s.Members {
		return wrong("there are %d members, and %d are counted", n, s.Members)
	}
	n, entries := part("a/")
	if n != s.Changes {
		return wrong("there are %d changes, and %d are counted", n, s.Changes)
	}
	last := Entry{}
	err := entries(func(_, value []byte) error {
		e := Entry{}
		if err := canon.Decode(value, e.code); err != nil || e.Number != last.Number+1 || e.Time < last.Time || len(e.By) == 0 {
			return wrong("entry %d does not follow entry %d", e.Number, last.Number)
		}
		last = e
		return nil
	})
	if err != nil {
		return err
	}
	windows, _ := part("w/")
	used, usages := part("q/")
	if windows != used {
		return wrong("%d clients have used quotas, and %d windows are known", used, windows)
	}
	return usages(func(key, value []byte) error {
		var u usage
		client := crypto.PublicKey(key[len("q/"):])
		if err := canon.Decode(value, u.code); err != nil || u.Operations == 0 || u.Ends <= u.Since {
			return wrong("client %s has used %+v", client.Hex(), u)
		}
		if _, ok := own.r.Get(endKey(u.Ends, client)); !ok {
			return wrong("the window of client %s is not known", client.Hex())
		}
		return nil
	})
}
