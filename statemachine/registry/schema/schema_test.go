package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func compiled(t testing.TB, text string) *Schema {
	s, err := Compile([]byte(text), DefaultLimits())
	require.NoError(t, err, text)
	return s
}

// Every keyword, with what follows it and what does not, and the words for that.
func TestKeywords(t *testing.T) {
	for _, c := range []struct{ schema, good, bad, says string }{
		{`true`, `[1, {"a": null}]`, ``, ""},
		{`{}`, `1`, ``, ""},
		{`false`, ``, `1`, "at the root: nothing is permitted here"},
		{`{"type": "integer"}`, `1.0`, `1.5`, "it is a number, which is not permitted (schema: at /type)"},
		{`{"type": "integer"}`, `1e2`, `"1"`, "it is a string"},
		{`{"type": "number"}`, `-0.5`, `true`, "it is a boolean"},
		{`{"type": ["null", "array"]}`, `null`, `{}`, "it is an object"},
		{`{"enum": [1, "a", {"x": [1]}]}`, `{"x": [1.0]}`, `{"x": [2]}`, "none of the values"},
		{`{"const": 10}`, `1e1`, `10.1`, "none of the values"},
		{`{"const": 1, "enum": [1, 2]}`, `1`, `2`, "none of the values"},
		{`{"multipleOf": 0.01}`, `0.1`, `0.001`, "not a multiple"},
		{`{"maximum": 3}`, `3`, `3.0000000000000000001`, "too large"},
		{`{"exclusiveMaximum": 3}`, `2.9`, `3`, "too large"},
		{`{"minimum": 9007199254740993}`, `9007199254740993`, `9007199254740992`, "too small"},
		{`{"exclusiveMinimum": 0}`, `1e-300`, `0`, "too small"},
		{`{"maxLength": 2}`, `"äö"`, `"abc"`, "3 characters, at most 2"},
		{`{"minLength": 2}`, `"\ud83d\ude00a"`, `"\ud83d\ude00"`, "1 characters, at least 2"},
		{`{"pattern": "^[A-Z]{2}[0-9]+$"}`, `"AB1"`, `"ab1"`, "does not match"},
		{`{"prefixItems": [{"type": "string"}], "items": false}`, `["a"]`, `["a", 1]`, "at /1: nothing"},
		{`{"items": {"type": "string"}}`, `["a", "b"]`, `["a", 1]`, "at /1: it is a number"},
		{`{"contains": {"const": 1}}`, `[2, 1]`, `[2]`, "0 items are such, at least 1"},
		{`{"contains": {"const": 1}, "minContains": 0}`, `[2]`, ``, ""},
		{`{"contains": {"const": 1}, "maxContains": 1}`, `[1]`, `[1, 1]`, "2 items are such, at most 1"},
		{`{"maxItems": 1}`, `[1]`, `[1, 2]`, "2 items, at most 1"},
		{`{"minItems": 1}`, `[1]`, `[]`, "0 items, at least 1"},
		{`{"uniqueItems": true}`, `[1, "1", [1], {"a": 1}]`, `[{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]`, "item 1 is there twice"},
		{`{"properties": {"a": {"type": "string"}}}`, `{"b": 1}`, `{"a": 1}`, "at /a: it is a number"},
		{`{"properties": {"a": true}, "additionalProperties": false}`, `{"a": 1}`, `{"b": 1}`, `the member "b" is not permitted`},
		{`{"additionalProperties": {"type": "null"}}`, `{"a": null}`, `{"a": 1}`, "at /a: it is a number"},
		{`{"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": false}`, `{"xa": null}`, `{"xa": 1}`, "at /xa"},
		{`{"propertyNames": {"maxLength": 1}}`, `{"a": 1}`, `{"ab": 1}`, "at /ab"},
		{`{"required": ["a", "b"]}`, `{"a": 1, "b": 1}`, `{"a": 1}`, `the member "b" is missing`},
		{`{"maxProperties": 1}`, `{"a": 1}`, `{"a": 1, "b": 1}`, "2 members, at most 1"},
		{`{"minProperties": 1}`, `{"a": 1}`, `{}`, "0 members, at least 1"},
		{`{"dependentRequired": {"a": ["b"]}}`, `{"b": 1}`, `{"a": 1}`, `the member "b" is missing, which "a" needs`},
		{`{"dependentSchemas": {"a": {"required": ["b"]}}}`, `{}`, `{"a": 1}`, `"b" is missing`},
		{`{"allOf": [{"minimum": 1}, {"maximum": 2}]}`, `1`, `3`, "schema: at /allOf/1/maximum"},
		{`{"anyOf": [{"minimum": 3}, {"maximum": 2}]}`, `1`, `2.5`, "none of the schemas"},
		{`{"oneOf": [{"minimum": 1}, {"maximum": 2}]}`, `0`, `1`, "follows 2 of the schemas"},
		{`{"not": {"type": "null"}}`, `0`, `null`, "must not"},
		{`{"if": {"minimum": 5}, "then": {"multipleOf": 5}, "else": {"maximum": 3}}`, `10`, `4`, "schema: at /else/maximum"},
		{`{"if": {"minimum": 5}, "then": {"multipleOf": 5}}`, `4`, `6`, "schema: at /then/multipleOf"},
		{`{"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}`, `[1]`, `["a"]`, "schema: at /$defs/n/type"},
		{`{"properties": {"a": {"type": "null"}, "b": {"$ref": "#/properties/a", "title": "beside"}}}`, `{"b": null}`, `{"b": 1}`, "at /b"},
		{`{"properties": {"next": {"$ref": "#"}}, "required": ["v"]}`, `{"v": 1, "next": {"v": 2}}`, `{"v": 1, "next": {}}`, "at /next"},
		{`{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:x", "format": "email"}`, `"no e-mail"`, ``, ""},
		{`{"properties": {"a/b~c": false}}`, `{}`, `{"a/b~c": 1}`, "at /a~1b~0c"},
	} {
		s := compiled(t, c.schema)
		if c.good != "" {
			require.NoError(t, s.Validate([]byte(c.good)), c.schema)
		}
		if c.bad != "" {
			err := s.Validate([]byte(c.bad))
			require.ErrorIs(t, err, ErrViolation, c.schema)
			require.ErrorContains(t, err, c.says, c.schema)
		}
	}
}

func TestBadSchemas(t *testing.T) {
	for text, says := range map[string]string{
		``:                                 "no JSON value",
		`1`:                                "a schema is an object, true or false",
		`{"propertys": {}}`:                `"propertys": not a keyword that is known here`,
		`{"unevaluatedProperties": false}`: "not a keyword",
		`{"items": {"type": "text"}}`:      `at /items: "type"`,
		`{"type": []}`:                     "want a type",
		`{"$ref": "http://example.org/x"}`: "leads out of this document",
		`{"$ref": "#/$defs/none"}`:         "leads to no schema",
		`{"$ref": "#anchor"}`:              "leads out",
		`{"$dynamicRef": "#"}`:             "not a keyword",
		`{"$schema": "http://json-schema.org/draft-07/schema#"}`: "2020-12",
		`{"items": {"$id": "urn:x"}}`:                            "at the root",
		`{"pattern": "("}`:                                       "is none",
		`{"pattern": "\\p{L}"}`:                                  "class of Unicode",
		`{"pattern": "(?i)a"}`:                                   "case",
		`{"pattern": "(?:a{900}){900}"}`:                         "repeats too much",
		`{"pattern": "` + strings.Repeat("a", 513) + `"}`:        "513 bytes",
		`{"patternProperties": {"(": true}}`:                     "is none",
		`{"allOf": []}`:                                          "at least one",
		`{"minLength": -1}`:                                      "want a whole number",
		`{"minLength": 0.5}`:                                     "want a whole number",
		`{"multipleOf": 0}`:                                      "above 0",
		`{"required": "a"}`:                                      "list of strings",
		`{"enum": 1}`:                                            "want an array",
		`{"type": "null", "type": "null"}`:                       "twice",
		`{"a": 1e999}`:                                           "exponent",
		strings.Repeat(`{"not":`, 65) + `true` + strings.Repeat(`}`, 65): "nested too deep",
		`{"title": "` + strings.Repeat("a", 64<<10) + `"}`:               "at most 65536",
		`{"properties": {"` + strings.Repeat("a", 2000) + `": true}}`:    "more than 1024 bytes",
	} {
		_, err := Compile([]byte(text), DefaultLimits())
		require.ErrorIs(t, err, ErrSchema, text)
		require.ErrorContains(t, err, says, text)
		require.Less(t, len(err.Error()), 400)
	}
	many := make([]string, 600)
	for i := range many {
		many[i] = `{"pattern": "a{1000}"}`
	}
	_, err := Compile([]byte(`{"anyOf": [`+strings.Join(many, ",")+`]}`), DefaultLimits())
	require.ErrorContains(t, err, "too much together")
	_, err = Compile([]byte(`{"anyOf": [`+strings.Join(many[:24], ",")+`]}`), DefaultLimits())
	require.NoError(t, err)
	_, err = Compile([]byte(`{"anyOf": [`+strings.Join(many[:25], ",")+`]}`), DefaultLimits())
	require.ErrorContains(t, err, "too much together")
}

func TestDocuments(t *testing.T) {
	s := compiled(t, `true`)
	for _, good := range []string{`0`, `-0.5e-3`, ` { "a" : [ ] } `, `"\u00e4\ud83d\ude00\"\\\/\b\f\n\r\t"`, `1e308`, `[[],{}]`} {
		require.NoError(t, s.Validate([]byte(good)), good)
	}
	for bad, says := range map[string]string{
		``: "no JSON value", `{"a": 1, "\u0061": 2}`: `the name "a" twice`, `"\ud800"`: "surrogate", `"\ud800\u0041"`: "surrogate", `"\udc00\udc00"`: "surrogate",
		"\"\xff\"": "UTF-8", "\"\x01\"": "control", `"\x"`: "escape", `"\u12g4"`: "hexadecimal", `"a`: "without an end", `"\`: "without an end",
		`01`: "no number", `1.`: "no number", `-`: "no number", `1e`: "no number", `1e309`: "exponent", `1e-999999999999`: "exponent", `.5`: "no JSON value", `+1`: "no JSON value",
		`1 2`: "more than one", `[1,]`: "no JSON value", `[1 2]`: "want , or ]", `{"a" 1}`: "want :", `{"a":1 "b"}`: "want , or }", `{a: 1}`: "want a name", `tru`: "no JSON value", `NaN`: "no JSON value",
		strings.Repeat("1", 65): "65 digits", strings.Repeat("[", 65) + strings.Repeat("]", 65): "nested too deep", "\ufeff1": "no JSON value",
	} {
		err := s.Validate([]byte(bad))
		require.ErrorIs(t, err, ErrDocument, bad)
		require.ErrorContains(t, err, says, bad)
		require.ErrorIs(t, Check([]byte(bad), DefaultLimits()), ErrDocument)
	}
}

// What could take for ever is stopped, after the same number of steps for everybody.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString(`{"$ref": "#/$defs/a0", "$defs": {`)
	for i := range 40 {
		fmt.Fprintf(&laughs, `"a%d": {"allOf": [{"$ref": "#/$defs/a%d"}, {"$ref": "#/$defs/a%d"}]},`, i, i+1, i+1)
	}
	laughs.WriteString(`"a40": {"type": "null"}}}`)
	for name, c := range map[string]struct{ schema, document string }{
		"doubling":    {laughs.String(), `null`},
		"a circle":    {`{"$ref": "#"}`, `1`},
		"two":         {`{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}`, `1`},
		"not":         {`{"not": {"$ref": "#"}}`, `1`},
		"one of":      {`{"oneOf": [{"$ref": "#"}, true]}`, `1`},
		"a pattern":   {`{"items": {"pattern": "^(a|a)*(a{1,500}b)$"}}`, `["` + strings.Repeat("a", 60_000) + `"]`},
		"a short one": {`{"pattern": "^(a|a)*(a{1,500}b)$"}`, `"` + strings.Repeat("a", 2000) + `"`},
		"numbers":     {`true`, list(`1e-308`, 2000)},
		"big values":  {`{"items": {"allOf": ` + list(`{"enum": [1e308]}`, 20) + `}}`, list(`1e308`, 1000)},
		"bounds":      {`{"items": {"allOf": ` + list(`{"maximum": 1}`, 20) + `}}`, list(`1e-300`, 1000)},
		"contains":    {`{"items": {"contains": {"contains": {"contains": true}}}}`, `[[` + strings.TrimSuffix(strings.Repeat(`[[1,2]],`, 90_000), ",") + `]]`},
	} {
		s := compiled(t, c.schema)
		require.ErrorIs(t, s.Validate([]byte(c.document)), ErrTooComplex, name)
	}
	_, err := Compile([]byte(`{"enum": `+list(`1e308`, 2000)+`}`), DefaultLimits())
	require.ErrorIs(t, err, ErrTooComplex)
	// What is usual is far from that.
	s := compiled(t, `{"items": {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}}`)
	require.NoError(t, s.Validate([]byte(list(`"2024-02-29"`, 100))))
	require.NoError(t, compiled(t, `{"items": {"minimum": 0}}`).Validate([]byte(list(`1234.56`, 5000))))
}

func list(item string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

func FuzzValidate(f *testing.F) {
	for _, s := range []string{`{"type": "object", "required": ["a"], "properties": {"a": {"pattern": "^a+$"}}}`, `{"anyOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {"multipleOf": 0.1}}}`} {
		f.Add(s, `{"a": "aa"}`)
		f.Add(s, `1.5`)
	}
	l := DefaultLimits()
	l.MaxSteps = 10_000
	f.Fuzz(func(t *testing.T, text, document string) {
		s, err := Compile([]byte(text), l)
		if err != nil {
			require.ErrorIs(t, err, ErrSchema)
			return
		}
		again, err := Compile([]byte(text), l)
		require.NoError(t, err)
		if err := s.Validate([]byte(document)); err != nil {
			require.EqualError(t, again.Validate([]byte(document)), err.Error())
			require.Less(t, len(err.Error()), 1000)
		}
	})
}

// What is taken for JSON is JSON to the standard library, too.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, "\ud83d\ude00", -0.5e3]}`, `01`, `"\u12"`} {
		f.Add(s)
	}
	s := compiled(f, `true`)
	f.Fuzz(func(t *testing.T, text string) {
		if err := s.Validate([]byte(text)); err == nil {
			require.True(t, json.Valid([]byte(text)))
		} else {
			require.True(t, errors.Is(err, ErrDocument) || errors.Is(err, ErrTooComplex))
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	s := compiled(b, `{"type": "object", "required": ["name", "born"], "additionalProperties": false, "properties": {"name": {"type": "string", "maxLength": 100},
		"born": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": true}}}`)
	document := []byte(`{"name": "Ada Lovelace", "born": "1815-12-10", "tags": ["a", "b"]}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Validate(document); err != nil {
			b.Fatal(err)
		}
	}
}
