// Package strictjson decodes the project's files: what is unknown, doubled or
// trailing is an error, so that a misspelt field cannot silently mean its default.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds nesting; our files need four levels.
const maxDepth = 32

// Decode decodes exactly one JSON value into v. Field names that v does not have
// and names that occur twice in an object (in whatever case) are errors.
func Decode(data []byte, v any) error {
	tokens := json.NewDecoder(bytes.NewReader(data))
	tokens.UseNumber()
	if err := checkValue(tokens, "", 0); err != nil {
		return err
	}
	if _, err := tokens.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more than one value, the second at byte %d", tokens.InputOffset())
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
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
				return fmt.Errorf("field %q is there twice", strings.TrimPrefix(name, "."))
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
