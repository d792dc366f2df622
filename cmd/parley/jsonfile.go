package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// decodeSettings decodes exactly one JSON object into v, a pointer to a struct.
// Unknown fields are errors; errors are for whoever edits the file, and name field,
// value and remedy.
func decodeSettings(data []byte, v any) error {
	var fields map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&fields); err != nil {
		return syntaxProblem(data, dec.InputOffset(), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the closing brace: remove it")
	}
	if fields == nil {
		return errors.New("the file says null: write an object in braces")
	}
	// One by one, so that also an error of a type's own decoder has a name. Sorted,
	// so that the same file always gets the same answer.
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	known := fieldNames(reflect.TypeOf(v).Elem())
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown field %q: remove it or correct its name, which may be one of %s", name, strings.Join(known, ", "))
		}
		one, err := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		if err != nil {
			return err
		}
		if err := json.Unmarshal(one, v); err != nil {
			var kind *json.UnmarshalTypeError
			if errors.As(err, &kind) {
				return fmt.Errorf("%s is %s: write %s", name, shorten(fields[name]), wanted(kind.Type))
			}
			return fmt.Errorf("%s is %s: %w", name, shorten(fields[name]), err)
		}
	}
	return nil
}

// syntaxProblem says where the text is no JSON object.
func syntaxProblem(data []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the file ends before its closing brace: it was cut, or a brace or quote is missing")
	case errors.As(err, &kind):
		return fmt.Errorf("the file has a %s: write an object in braces", kind.Value)
	case errors.As(err, &syntax):
		offset = syntax.Offset
	}
	line := 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
	return fmt.Errorf("line %d: %w", line, err)
}

// wanted says in words what JSON a Go type is written as.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text in double quotes"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list in brackets"
	default:
		return "an object in braces"
	}
}

func shorten(raw json.RawMessage) string {
	const longest = 60
	if len(raw) > longest {
		return strings.ToValidUTF8(string(raw[:longest]), "") + "..."
	}
	return string(raw)
}

// fieldNames are the names of a struct's fields in JSON.
func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
