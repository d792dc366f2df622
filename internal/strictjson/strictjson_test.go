package strictjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/internal/strictjson"
)

type value struct {
	A int              `json:"a"`
	B []value          `json:"b"`
	C map[string]value `json:"c"`
	D bool             `json:"d"`
	E uint8            `json:"e"`
	F *picky           `json:"f,omitempty"`
	G string           `json:"g"`
	H json.RawMessage  `json:"h,omitempty"`
}

// picky takes one text only.
type picky string

func (p *picky) UnmarshalText(text []byte) error {
	if string(text) != "good" {
		return errors.New("not a good text")
	}
	*p = picky(text)
	return nil
}

// A secret is not shown, wherever it was put by mistake.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "deadbeefdeadbeef"
	for text, want := range map[string]string{
		`{"a":"` + secret + `"}`:       "a is of the wrong kind or form: write a whole number",
		`{"b":"` + secret + `"}`:       "b is of the wrong kind or form: write a list",
		`{"c":{"x":"` + secret + `"}}`: "c.x is of the wrong kind or form: write an object",
		`{"f":"` + secret + `"}`:       "f is of the wrong kind or form: not a good text",
		`"` + secret + `"`:             "the whole file is of the wrong kind or form: write an object",
		`{"g":1,"i":"` + secret + `"}`: "g is of the wrong kind",
	} {
		err := strictjson.DecodeSecret([]byte(text), new(value))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), secret, text)
	}
}

func TestDecodeHead(t *testing.T) {
	var v value
	require.NoError(t, strictjson.DecodeHead([]byte(`{"a":1,"other":[{"b":2}]}`), &v, false))
	require.Equal(t, 1, v.A)
	require.ErrorContains(t, strictjson.DecodeHead([]byte(`{"a":"1","other":2}`), &v, false), `a is "1": write`)
	require.ErrorContains(t, strictjson.DecodeHead([]byte(`{"a":"1"}`), &v, true), `a is of the wrong kind`)
}

func TestDecode(t *testing.T) {
	var v value
	require.NoError(t, strictjson.Decode([]byte(` {"a":1,"b":[{"a":2},{"b":[]}],"c":{"x":{"a":3}}} `), &v))
	require.Equal(t, value{A: 1, B: []value{{A: 2}, {B: []value{}}}, C: map[string]value{"x": {A: 3}}}, v)
	require.NoError(t, strictjson.Decode([]byte(`{"f":"good","g":null,"d":true}`), &v))
	for text, want := range map[string]string{
		``:                                       "unexpected EOF",
		`{"a":1`:                                 "EOF",
		`{"a":1}}`:                               "more than one value",
		`{"a":1} 2`:                              "more than one value",
		`{"a":1,"a":1}`:                          `"a" is there twice`,
		`{"b":[{},{"a":1,"A":1}]}`:               `"b[1].A" is there twice`,
		`{"c":{"x":{"z":1}}}`:                    "unknown field",
		`{"a":"1"}`:                              `a is "1": write a whole number`,
		"{\n  \"a\": x\n}":                       "line 2, column 8: not JSON: invalid character 'x'",
		"{\n\"a\":1\n":                           "ends too early, at line 3",
		`{"b":{}}`:                               "b is an object: write a list",
		`{"b":[{},3]}`:                           "b[1] is 3: write an object",
		`{"c":{"x":{"a":1.5}}}`:                  "c.x.a is 1.5: write a whole number",
		`[]`:                                     "the whole file is a list: write an object",
		`{"d":"true"}`:                           `d is "true": write true or false`,
		`{"e":300}`:                              "e is 300: write a whole number from 0 to 255",
		`{"f":"x"}`:                              `f is "x": not a good text`,
		`{"f":3}`:                                `f is 3: write text in quotes`,
		`{"g":3}`:                                `g is 3: write text in quotes`,
		`{"B":[{"a":1,"aa":2}]}`:                 `unknown field "b[0].aa": correct its name or remove it; known here are: a, b, c, d, e, f, g, h`,
		`{"h":{"x":1},"i":1}`:                    `unknown field "i": correct its name or remove it`,
		`{"g":` + strings.Repeat("9", 100) + `}`: "g is " + strings.Repeat("9", 60) + "...: write",
		`{"b":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}`: "nested",
	} {
		require.ErrorContains(t, strictjson.Decode([]byte(text), new(value)), want, text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"a":2}]}`))
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Add([]byte(`{"c":{"x":{"f":"bad","d":0}},"e":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v value
		err := strictjson.Decode(data, &v)
		if err == nil {
			require.NoError(t, json.Unmarshal(data, new(value)), "stricter, never laxer")
			return
		}
		require.NotContains(t, err.Error(), "Go ", "an error in terms of the program")
	})
}
