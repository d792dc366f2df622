package disclosure

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Limits of a document.
const (
	MaxFields     = 1024
	MaxNameBytes  = 256
	MaxValueBytes = 64 << 10
)

// Errors; test with errors.Is.
var (
	// ErrDocument: the fields make no document.
	ErrDocument = errors.New("bad document")
	// ErrNoField: the document has no such field.
	ErrNoField = errors.New("no such field")
	// ErrInvalid: a disclosure does not belong to the commitment, or is malformed.
	ErrInvalid = errors.New("disclosure does not verify")
)

// Salt makes the hash of a field say nothing about it.
type Salt [32]byte

// MarshalText returns the hexadecimal digits.
func (s Salt) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads them.
func (s *Salt) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	if err != nil || len(b) != len(s) {
		return fmt.Errorf("salt: want %d hexadecimal digits", 2*len(s))
	}
	copy(s[:], b)
	return nil
}

// Field is one field with its salt: all that it takes to show it.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Salt  Salt   `json:"salt"`
}

// Document is what the holder keeps: personal data and the salts, for nobody else's eyes.
type Document struct {
	// Fields are in ascending order of their names, none twice.
	Fields []Field `json:"fields"`
}

// New makes a document of named values, which are UTF-8, with salts from random
// (crypto/rand.Reader).
func New(values map[string]string, random io.Reader) (*Document, error) {
	d := new(Document)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f := Field{Name: name, Value: values[name]}
		if _, err := io.ReadFull(random, f.Salt[:]); err != nil {
			return nil, fmt.Errorf("take a salt: %w", err)
		}
		d.Fields = append(d.Fields, f)
	}
	return d, d.check()
}

// Parse reads a document's JSON.
func Parse(data []byte) (*Document, error) {
	d := new(Document)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return d, d.check()
}

func (d *Document) check() error {
	if len(d.Fields) == 0 || len(d.Fields) > MaxFields {
		return fmt.Errorf("%w: it has %d fields: give 1 to %d", ErrDocument, len(d.Fields), MaxFields)
	}
	for i := range d.Fields {
		f := &d.Fields[i]
		switch {
		case len(f.Name) == 0 || len(f.Name) > MaxNameBytes || !utf8.ValidString(f.Name):
			return fmt.Errorf("%w: the name %q: give 1 to %d bytes of UTF-8", ErrDocument, f.Name, MaxNameBytes)
		case len(f.Value) > MaxValueBytes || !utf8.ValidString(f.Value):
			return fmt.Errorf("%w: the value of %q: give at most %d bytes of UTF-8", ErrDocument, f.Name, MaxValueBytes)
		case i > 0 && d.Fields[i-1].Name >= f.Name:
			return fmt.Errorf("%w: the fields are not in ascending order of their names, or %q is there twice", ErrDocument, f.Name)
		}
	}
	return nil
}

// Field returns a field by its name.
func (d *Document) Field(name string) (Field, bool) {
	for _, f := range d.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

const (
	domainField = crypto.Domain("parley/disclosure-field")
	domainNode  = crypto.Domain("parley/disclosure-node")
	domainRoot  = crypto.Domain("parley/disclosure")
)

func (f *Field) leaf() crypto.Digest { return crypto.Hash(domainField, canon.Encode(f.code)) }

func (f *Field) code(c *canon.Codec) {
	c.String(&f.Name, MaxNameBytes)
	c.String(&f.Value, MaxValueBytes)
	c.Fixed(f.Salt[:])
}

// Commitment is the number that stands for the document.
func (d *Document) Commitment() crypto.Digest {
	leaves := make([]crypto.Digest, len(d.Fields))
	for i := range d.Fields {
		leaves[i] = d.Fields[i].leaf()
	}
	return commitment(len(leaves), tree(leaves))
}

func commitment(count int, root crypto.Digest) crypto.Digest {
	return crypto.Hash(domainRoot, canon.AppendUint32(nil, uint32(count)), root[:])
}

// tree is the root over leaves, of which there is at least one.
func tree(leaves []crypto.Digest) crypto.Digest {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	return node(tree(leaves[:k]), tree(leaves[k:]))
}

func node(a, b crypto.Digest) crypto.Digest { return crypto.Hash(domainNode, a[:], b[:]) }

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}
