package schema

import (
	"errors"
	"fmt"
)

// Limits bound what a schema and a validation cost. They decide how validations end, so
// they must be equal on all replicas.
type Limits struct {
	MaxSchemaBytes int // of a schema's text
	MaxDepth       int // of nesting, in schemas and documents
	MaxSteps       int // of one validation, with the numbers of the document; a step takes some 100 ns
}

// DefaultLimits allow schemas of 64 KiB, and validations of some ten milliseconds.
func DefaultLimits() Limits { return Limits{MaxSchemaBytes: 64 << 10, MaxDepth: 64, MaxSteps: 100_000} }

// Validate names the first field that is out of range, its value and the remedy.
func (l Limits) Validate() error {
	switch {
	case l.MaxSchemaBytes < 2 || l.MaxSchemaBytes > 4<<20:
		return fmt.Errorf("MaxSchemaBytes is %d: set 2 to %d", l.MaxSchemaBytes, 4<<20)
	case l.MaxDepth < 1 || l.MaxDepth > 1000:
		return fmt.Errorf("MaxDepth is %d: set 1 to 1000", l.MaxDepth)
	case l.MaxSteps < 1 || l.MaxSteps > 100_000_000:
		return fmt.Errorf("MaxSteps is %d: set 1 to %d", l.MaxSteps, 100_000_000)
	}
	return nil
}

// Errors; test with errors.Is.
var (
	// ErrSchema: the text is no schema, or none that this package takes.
	ErrSchema = errors.New("bad schema")
	// ErrDocument: the bytes are no JSON document, or none that this package takes.
	ErrDocument = errors.New("bad JSON document")
	// ErrViolation: the document does not follow the schema. The error is a *[Violation].
	ErrViolation = errors.New("schema violation")
	// ErrTooComplex: it takes more steps to tell than are allowed.
	ErrTooComplex = errors.New("validation takes too long")
)
