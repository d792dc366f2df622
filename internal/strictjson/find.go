package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// finder looks for what a value has that its type cannot take. Package json knows
// it too, but says it in terms of this program's types, and without the way there.
type finder struct {
	strict bool // unknown fields are errors
	secret bool // show no values
}

// find returns nil if there is nothing wrong that it knows.
func (f finder) find(raw json.RawMessage, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer && !t.Implements(textType) {
		t = t.Elem()
	}
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" || t == rawType {
		return nil // whoever reads it further says what is wrong
	}
	if reflect.PointerTo(t).Implements(textType) || t.Implements(textType) {
		return f.findText(raw, t, path)
	}
	switch t.Kind() {
	case reflect.Struct:
		return f.findFields(raw, t, path)
	case reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return f.wrong(raw, path, "write a list: [ ... ]")
		}
		for i, item := range items {
			if err := f.find(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		var items map[string]json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return f.wrong(raw, path, "write an object: { ... }")
		}
		names := make([]string, 0, len(items))
		for name := range items {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if err := f.find(items[name], t.Elem(), path+"."+name); err != nil {
				return err
			}
		}
	default:
		if json.Unmarshal(raw, reflect.New(t).Interface()) != nil {
			return f.wrong(raw, path, remedy(t))
		}
	}
	return nil
}

var (
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// findText asks a type that reads itself from text.
func (f finder) findText(raw json.RawMessage, t reflect.Type, path string) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return f.wrong(raw, path, `write text in quotes: "..."`)
	}
	reader, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	if !ok {
		return nil
	}
	if err := reader.UnmarshalText([]byte(text)); err != nil {
		return f.wrong(raw, path, err.Error())
	}
	return nil
}

func (f finder) findFields(raw json.RawMessage, t reflect.Type, path string) error {
	var items map[string]json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return f.wrong(raw, path, "write an object: { ... }")
	}
	var known []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		known = append(known, name)
		for key, item := range items {
			if !strings.EqualFold(key, name) {
				continue
			}
			delete(items, key)
			if err := f.find(item, t.Field(i).Type, path+"."+name); err != nil {
				return err
			}
		}
	}
	if !f.strict || len(items) == 0 {
		return nil
	}
	unknown := make([]string, 0, len(items))
	for key := range items {
		unknown = append(unknown, key)
	}
	return fmt.Errorf("unknown field %q: correct its name or remove it; known here are: %s",
		strings.TrimPrefix(path+"."+slices.Min(unknown), "."), strings.Join(known, ", "))
}

// longestShown is how much of a value an error shows, in bytes.
const longestShown = 60

// wrong says that the value at path is not what it should be.
func (f finder) wrong(raw json.RawMessage, path, remedy string) error {
	path = strings.TrimPrefix(path, ".")
	if path == "" {
		path = "the whole file"
	}
	what := "of the wrong kind or form"
	if !f.secret {
		switch raw[0] {
		case '{':
			what = "an object"
		case '[':
			what = "a list"
		default:
			what = string(raw)
			if len(what) > longestShown {
				what = strings.ToValidUTF8(what[:longestShown], "") + "..."
			}
		}
	}
	return fmt.Errorf("%s is %s: %s", path, what, remedy)
}

// remedy says what a plain type takes.
func remedy(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "write true or false, without quotes"
	case reflect.String:
		return `write text in quotes: "..."`
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("write a whole number from %d to %d, without quotes", int64(-1)<<(t.Bits()-1), int64(1)<<(t.Bits()-1)-1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("write a whole number from 0 to %d, without quotes", ^uint64(0)>>(64-t.Bits()))
	default:
		return "write a value of another kind"
	}
}
