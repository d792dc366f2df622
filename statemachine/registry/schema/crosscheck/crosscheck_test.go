package crosscheck

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/registry/schema"
)

// number, text and document are few, so that they meet.
func number(r *rand.Rand) string {
	return []string{"0", "1", "2", "3", "1.5", "-1", "1e1", "10", "0.1", "0.3", "-0", "9007199254740993", "9007199254740992.0", "1e-7"}[r.IntN(14)]
}

func text(r *rand.Rand) string {
	return []string{`"a"`, `"b"`, `"ab"`, `"aab"`, `""`, `"ä"`, `"\ud83d\ude00"`, `"a1"`, `"\u0061"`}[r.IntN(9)]
}

func name(r *rand.Rand) string { return []string{`"a"`, `"b"`, `"ab"`, `"c"`}[r.IntN(4)] }

func document(r *rand.Rand, depth int) string {
	switch k := r.IntN(8); {
	case k < 2:
		return number(r)
	case k < 4:
		return text(r)
	case k == 4 || depth == 0:
		return []string{"null", "true", "false"}[r.IntN(3)]
	case k < 6:
		var items []string
		for range r.IntN(4) {
			items = append(items, document(r, depth-1))
		}
		return "[" + strings.Join(items, ", ") + "]"
	default:
		return object(r, func() string { return document(r, depth-1) })
	}
}

func object(r *rand.Rand, value func() string) string {
	var members []string
	seen := map[string]bool{}
	for range r.IntN(4) {
		if n := name(r); !seen[n] {
			seen[n] = true
			members = append(members, n+": "+value())
		}
	}
	return "{" + strings.Join(members, ", ") + "}"
}

func schemaText(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(12) == 0 {
		return []string{"true", "false", "{}", `{"type": "string"}`, `{"type": "number"}`, `{"type": "integer"}`, `{"$ref": "#/$defs/d"}`}[r.IntN(7)]
	}
	sub := func() string { return schemaText(r, depth-1) }
	subs := func() string {
		var all []string
		for range 1 + r.IntN(3) {
			all = append(all, sub())
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	members := map[string]string{}
	for range 1 + r.IntN(3) {
		switch r.IntN(31) {
		case 0:
			members["type"] = []string{`"null"`, `"boolean"`, `"number"`, `"integer"`, `"string"`, `"array"`, `"object"`, `["integer", "array"]`, `["object", "string", "null"]`}[r.IntN(9)]
		case 1:
			members["enum"] = "[" + document(r, 2) + ", " + document(r, 1) + "]"
		case 2:
			members["const"] = document(r, 1)
		case 3:
			members["multipleOf"] = []string{"1", "0.1", "0.5", "3", "1e-7"}[r.IntN(5)]
		case 4:
			members["maximum"] = number(r)
		case 5:
			members["exclusiveMaximum"] = number(r)
		case 6:
			members["minimum"] = number(r)
		case 7:
			members["exclusiveMinimum"] = number(r)
		case 8:
			members["maxLength"] = fmt.Sprint(r.IntN(3))
		case 9:
			members["minLength"] = fmt.Sprint(r.IntN(3))
		case 10:
			members["pattern"] = []string{`"^a"`, `"b$"`, `"^a{1,2}b?$"`, `"[0-9]"`}[r.IntN(4)]
		case 11:
			members["prefixItems"] = subs()
		case 12:
			members["items"] = sub()
		case 13:
			members["contains"] = sub()
			if r.IntN(2) == 0 {
				members["minContains"] = fmt.Sprint(r.IntN(3))
			}
			if r.IntN(2) == 0 {
				members["maxContains"] = fmt.Sprint(r.IntN(3))
			}
		case 14:
			members["maxItems"] = fmt.Sprint(r.IntN(4))
		case 15:
			members["minItems"] = fmt.Sprint(r.IntN(4))
		case 16:
			members["uniqueItems"] = []string{"true", "false"}[r.IntN(2)]
		case 17, 18:
			members["properties"] = object(r, sub)
		case 19:
			members["patternProperties"] = `{"^a": ` + sub() + `, "b": ` + sub() + `}`
		case 20:
			members["additionalProperties"] = sub()
		case 21:
			members["propertyNames"] = sub()
		case 22:
			members["required"] = "[" + name(r) + "]"
		case 23:
			members["maxProperties"] = fmt.Sprint(r.IntN(4))
		case 24:
			members["minProperties"] = fmt.Sprint(r.IntN(4))
		case 25:
			members["dependentRequired"] = object(r, func() string { return "[" + name(r) + "]" })
		case 26:
			members["dependentSchemas"] = object(r, sub)
		case 27:
			members[[]string{"allOf", "anyOf", "oneOf"}[r.IntN(3)]] = subs()
		case 28:
			members["not"] = sub()
		case 29:
			members["if"] = sub()
			members["then"] = sub()
			members["else"] = sub()
		case 30:
			members["$ref"] = `"#/$defs/d"`
		}
	}
	var all []string
	for k, v := range members { // the order means nothing
		all = append(all, fmt.Sprintf("%q: %s", k, v))
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// Both say the same of random schemas and documents.
func TestAgainstAnother(t *testing.T) {
	followed, broken := 0, 0
	for seed := range uint64(5_000) {
		r := rand.New(rand.NewPCG(seed, 7))
		text := `{"$defs": {"d": ` + []string{`{"type": ["string", "integer"]}`, `{"required": ["a"]}`, `{"items": {"minimum": 1}}`}[r.IntN(3)] + `}, "allOf": [` + schemaText(r, 3) + `]}`
		mine, err := schema.Compile([]byte(text), schema.DefaultLimits())
		require.NoError(t, err, text)
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err)
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		require.NoError(t, c.AddResource("urn:s", v))
		theirs, err := c.Compile("urn:s")
		require.NoError(t, err, text)
		for range 8 {
			d := document(r, 3)
			x, err := jsonschema.UnmarshalJSON(strings.NewReader(d))
			require.NoError(t, err)
			got, want := mine.Validate([]byte(d)), theirs.Validate(x)
			if (got == nil) != (want == nil) {
				t.Fatalf("schema %s\ndocument %s\nmine: %v\ntheirs: %v", text, d, got, want)
			}
			if got == nil {
				followed++
			} else {
				require.ErrorIs(t, got, schema.ErrViolation)
				broken++
			}
		}
	}
	require.Greater(t, followed, 2_000)
	require.Greater(t, broken, 2_000)
}
