package strictjson_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto/internal/strictjson"
)

type value struct {
	A int              `json:"a"`
	B []value          `json:"b"`
	C map[string]value `json:"c"`
}

func TestDecode(t *testing.T) {
	var v value
	require.NoError(t, strictjson.Decode([]byte(` {"a":1,"b":[{"a":2},{"b":[]}],"c":{"x":{"a":3}}} `), &v))
	require.Equal(t, value{A: 1, B: []value{{A: 2}, {B: []value{}}}, C: map[string]value{"x": {A: 3}}}, v)
	for text, want := range map[string]string{
		``:                         "unexpected EOF",
		`{"a":1`:                   "EOF",
		`{"a":1}}`:                 "more than one value",
		`{"a":1} 2`:                "more than one value",
		`{"a":1,"a":1}`:            `"a" is there twice`,
		`{"b":[{},{"a":1,"A":1}]}`: `"b[1].A" is there twice`,
		`{"c":{"x":{"d":1}}}`:      "unknown field",
		`{"a":"1"}`:                "cannot unmarshal",
		`{"b":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}`: "nested",
	} {
		require.ErrorContains(t, strictjson.Decode([]byte(text), new(value)), want, text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"a":2}]}`))
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v value
		if strictjson.Decode(data, &v) == nil {
			require.NoError(t, json.Unmarshal(data, new(value)), "stricter, never laxer")
		}
	})
}
