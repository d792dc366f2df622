// Package strictjson decodes the project's files: what is unknown, doubled or
// trailing is an error, so that a misspelt field cannot silently mean its default.
// Errors are for whoever edits the file: they name line, field and value, and what
// to write instead, and nothing of this program.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// maxDepth bounds nesting; our files need four levels.
const maxDepth = 32

// Decode decodes exactly one JSON value into v. Field names that v does not have
// and names that occur twice in an object (in whatever case) are errors.
func Decode(data []byte, v any) error { return decode(data, v, finder{strict: true}) }

// DecodeSecret is Decode for a file with secrets: its errors show no values.
func DecodeSecret(data []byte, v any) error {
	return decode(data, v, finder{strict: true, secret: true})
}

// DecodeHead takes the fields that v has from a value that may have others. If the
// file has secrets its errors show no values.
func DecodeHead(data []byte, v any, secret bool) error {
	return decode(data, v, finder{secret: secret})
}

func decode(data []byte, v any, f finder) error {
	tokens := json.NewDecoder(bytes.NewReader(data))
	tokens.UseNumber()
	if err := checkValue(tokens, "", 0); err != nil {
		return placed(data, err)
	}
	if _, err := tokens.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one value: leave only the first", place(data, tokens.InputOffset()))
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if f.strict {
		d.DisallowUnknownFields()
	}
	err := d.Decode(v)
	if err == nil {
		return nil
	}
	if found := f.find(data, reflect.TypeOf(v), ""); found != nil {
		return found
	}
	return err
}

// placed says where in the file its syntax is broken.
func placed(data []byte, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("not JSON: it ends too early, at %s: %w", place(data, int64(len(data))), io.ErrUnexpectedEOF)
	}
	// The tokens' own error does not know where in the whole it is.
	if syntax := (*json.SyntaxError)(nil); errors.As(json.Unmarshal(data, new(json.RawMessage)), &syntax) {
		return fmt.Errorf("%s: not JSON: %w", place(data, syntax.Offset), err)
	}
	return err
}

// place is where a number of bytes end, for people.
func place(data []byte, offset int64) string {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := len(before) - 1 - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, max(column, 1))
}

func checkValue(d *json.Decoder, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested more than %d deep", path, maxDepth)
	}
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		seen := make(map[string]bool)
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name := path + "." + key.(string)
			if folded := strings.ToLower(key.(string)); seen[folded] {
				return fmt.Errorf("field %q is there twice: leave one", strings.TrimPrefix(name, "."))
			} else {
				seen[folded] = true
			}
			if err := checkValue(d, name, depth+1); err != nil {
				return err
			}
		}
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if err := checkValue(d, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	_, err = d.Token() // the closing delimiter
	return err
}
