package disclosure

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Disclosure shows some fields of a document.
type Disclosure struct {
	// Count is how many fields the document has.
	Count uint32 `json:"count"`
	// Shown are the fields, in the document's order.
	Shown []Shown `json:"shown"`
	// Rest are the digests of those parts of the tree that have no shown field, from left
	// to right.
	Rest []crypto.Digest `json:"rest"`
}

// Shown is a field and its place in the document.
type Shown struct {
	Index uint32 `json:"index"`
	Field
}

// Disclose shows the fields with these names. The error wraps [ErrNoField].
func (d *Document) Disclose(names ...string) (*Disclosure, error) {
	out := &Disclosure{Count: uint32(len(d.Fields))}
	for _, name := range names {
		if _, ok := d.Field(name); !ok {
			return nil, fmt.Errorf("%w: %q", ErrNoField, name)
		}
	}
	leaves := make([]crypto.Digest, len(d.Fields))
	for i, f := range d.Fields {
		leaves[i] = f.leaf()
		if slices.Contains(names, f.Name) {
			out.Shown = append(out.Shown, Shown{uint32(i), f})
		}
	}
	out.collect(0, leaves)
	return out, nil
}

// collect appends to Rest what of the leaves, which begin at a place, is not shown.
func (d *Disclosure) collect(from int, leaves []crypto.Digest) {
	switch {
	case !d.shows(from, len(leaves)):
		d.Rest = append(d.Rest, tree(leaves))
	case len(leaves) > 1:
		k := split(len(leaves))
		d.collect(from, leaves[:k])
		d.collect(from+k, leaves[k:])
	}
}

// shows tells whether a field of those from a place on is shown.
func (d *Disclosure) shows(from, count int) bool {
	i, _ := slices.BinarySearchFunc(d.Shown, from, func(s Shown, at int) int { return int(s.Index) - at })
	return i < len(d.Shown) && int(d.Shown[i].Index) < from+count
}

// Verify checks the disclosure against a document's commitment and returns the fields
// that it shows. The error wraps [ErrInvalid].
func (d *Disclosure) Verify(of crypto.Digest) ([]Field, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	v := verifier{d: d, rest: d.Rest}
	root := v.tree(0, int(d.Count))
	switch {
	case v.short || len(v.rest) > 0:
		return nil, fmt.Errorf("%w: it has %d digests of what it does not show, which are too few or too many", ErrInvalid, len(d.Rest))
	case commitment(int(d.Count), root) != of:
		return nil, fmt.Errorf("%w: its commitment is %v, not %v", ErrInvalid, commitment(int(d.Count), root), of)
	}
	var fields []Field
	for _, s := range d.Shown {
		fields = append(fields, s.Field)
	}
	return fields, nil
}

func (d *Disclosure) check() error {
	if d.Count == 0 || d.Count > MaxFields {
		return fmt.Errorf("%w: it says %d fields, a document has 1 to %d", ErrInvalid, d.Count, MaxFields)
	}
	for i, s := range d.Shown {
		if s.Index >= d.Count || i > 0 && (d.Shown[i-1].Index >= s.Index || d.Shown[i-1].Name >= s.Name) {
			return fmt.Errorf("%w: field %q is out of place", ErrInvalid, s.Name)
		}
	}
	return nil
}

type verifier struct {
	d     *Disclosure
	rest  []crypto.Digest
	short bool
}

func (v *verifier) tree(from, count int) crypto.Digest {
	if !v.d.shows(from, count) {
		if len(v.rest) == 0 {
			v.short = true
			return crypto.Digest{}
		}
		d := v.rest[0]
		v.rest = v.rest[1:]
		return d
	}
	if count == 1 {
		i, _ := slices.BinarySearchFunc(v.d.Shown, from, func(s Shown, at int) int { return int(s.Index) - at })
		return v.d.Shown[i].leaf()
	}
	k := split(count)
	left := v.tree(from, k)
	return node(left, v.tree(from+k, count-k))
}

// Encode returns the one encoding of d.
func (d *Disclosure) Encode() []byte { return canon.Encode(d.code) }

// Decode reads what Encode wrote. The error wraps canon.ErrMalformed.
func Decode(b []byte) (*Disclosure, error) {
	d := new(Disclosure)
	if err := canon.Decode(b, d.code); err != nil {
		return nil, fmt.Errorf("disclosure: %w", err)
	}
	return d, nil
}

func (d *Disclosure) code(c *canon.Codec) {
	c.Uint32(&d.Count)
	canon.List(c, &d.Shown, MaxFields, 4+4+4+32, func(c *canon.Codec, s *Shown) {
		c.Uint32(&s.Index)
		s.Field.code(c)
	})
	canon.List(c, &d.Rest, MaxFields, crypto.DigestSize, func(c *canon.Codec, h *crypto.Digest) { c.Fixed(h[:]) })
}
