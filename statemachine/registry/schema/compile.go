package schema

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Schema is a compiled schema. It is immutable and safe for concurrent use.
type Schema struct {
	root   *node
	limits Limits
	weight int
}

// Weight tells about how much memory the schema takes, in units of some 50 bytes.
func (s *Schema) Weight() int { return s.weight }

// nodeWeight is that of a node, whatever is in it.
const nodeWeight = 10

// node is one schema of those that a document contains.
type node struct {
	where string // as a JSON pointer

	never bool // the schema false
	types kind
	enum  map[string]struct{}

	multipleOf, maximum, exclusiveMaximum, minimum, exclusiveMinimum *big.Rat

	maxLength, minLength *int
	pattern              *pattern

	prefixItems                              []*node
	items, contains                          *node
	maxContains, minContains                 *int
	maxItems, minItems                       *int
	uniqueItems                              bool
	properties, dependentSchemas             map[string]*node
	patternProperties                        []patternNode
	additionalProperties, propertyNames, not *node
	required                                 []string
	maxProperties, minProperties             *int
	dependentRequired                        map[string][]string

	allOf, anyOf, oneOf     []*node
	ifs, thens, elses, refs *node
}

type patternNode struct {
	pattern *pattern
	node    *node
}

// annotations are the keywords that mean nothing to a validator.
var annotations = map[string]bool{
	"$schema": true, "$id": true, "$comment": true, "title": true, "description": true, "default": true, "deprecated": true, "examples": true,
	"readOnly": true, "writeOnly": true, "format": true, "contentEncoding": true, "contentMediaType": true, "contentSchema": true,
}

// drafts are the values of $schema that mean what this package does.
var drafts = map[string]bool{
	"https://json-schema.org/draft/2020-12/schema": true, "https://json-schema.org/draft/2020-12/schema#": true,
}

type compiler struct {
	nodes   map[string]*node // by place
	refs    []pendingRef
	weights int
}

type pendingRef struct {
	from *node
	to   string
}

// Compile compiles a schema. The error wraps [ErrSchema] and names the place.
func Compile(text []byte, l Limits) (*Schema, error) {
	if len(text) > l.MaxSchemaBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d", ErrSchema, len(text), l.MaxSchemaBytes)
	}
	v, _, err := parse(text, l)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	c := compiler{nodes: make(map[string]*node)}
	root, err := c.compile(&v, "")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	for _, r := range c.refs {
		if r.from.refs = c.nodes[r.to]; r.from.refs == nil {
			return nil, fmt.Errorf("%w: %s: $ref %s leads to no schema in this document", ErrSchema, place(r.from.where), quote("#"+r.to))
		}
	}
	return &Schema{root: root, limits: l, weight: len(text) + nodeWeight*len(c.nodes) + c.weights}, nil
}

// maxPointer bounds the names of places, each of which contains all those above.
const maxPointer = 1024

// place shows a JSON pointer in a message.
func place(pointer string) string {
	if pointer == "" {
		return "at the root"
	}
	if len(pointer) > 4*longest {
		return "at ..." + quote(pointer[len(pointer)-longest:])
	}
	return "at " + pointer
}

func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func (c *compiler) compile(v *value, where string) (*node, error) {
	if len(where) > maxPointer {
		return nil, fmt.Errorf("%s: the names on the way here have more than %d bytes", place(where), maxPointer)
	}
	n := &node{where: where}
	c.nodes[where] = n
	switch {
	case v.kind == kindBool:
		n.never = !v.bool
		return n, nil
	case v.kind != kindObject:
		return nil, fmt.Errorf("%s: a schema is an object, true or false", place(where))
	}
	for i := range v.members {
		m := &v.members[i]
		k := keyword{c, n, m.name, &m.value, where + "/" + escapePointer(m.name)}
		if err := k.compile(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", place(where), quote(m.name), err)
		}
	}
	return n, nil
}

// keyword is one member of a schema.
type keyword struct {
	c     *compiler
	n     *node
	name  string
	v     *value
	where string
}

func (k *keyword) compile() (err error) {
	n := k.n
	switch k.name {
	case "$schema":
		if k.where != "/$schema" || k.v.kind != kindString || !drafts[k.v.text] {
			return fmt.Errorf("it must be at the root, and %q", "https://json-schema.org/draft/2020-12/schema")
		}
	case "$id":
		if k.where != "/$id" || k.v.kind != kindString {
			return fmt.Errorf("it must be a string at the root: references lead nowhere else")
		}
	case "$ref":
		return k.reference()
	case "$defs":
		_, err = k.schemas()
	case "type":
		return k.types()
	case "enum":
		if k.v.kind != kindArray {
			return fmt.Errorf("want an array")
		}
		n.enum = narrow(n.enum, k.v.items)
	case "const":
		n.enum = narrow(n.enum, []value{*k.v})
	case "multipleOf":
		if n.multipleOf, err = k.number(); err == nil && n.multipleOf.Sign() <= 0 {
			return fmt.Errorf("want a number above 0")
		}
	case "maximum":
		n.maximum, err = k.number()
	case "exclusiveMaximum":
		n.exclusiveMaximum, err = k.number()
	case "minimum":
		n.minimum, err = k.number()
	case "exclusiveMinimum":
		n.exclusiveMinimum, err = k.number()
	case "maxLength":
		n.maxLength, err = k.count()
	case "minLength":
		n.minLength, err = k.count()
	case "pattern":
		if k.v.kind != kindString {
			return fmt.Errorf("want a string")
		}
		n.pattern, err = k.pattern(k.v.text)
	case "prefixItems":
		n.prefixItems, err = k.list()
	case "items":
		n.items, err = k.schema()
	case "contains":
		n.contains, err = k.schema()
	case "maxContains":
		n.maxContains, err = k.count()
	case "minContains":
		n.minContains, err = k.count()
	case "maxItems":
		n.maxItems, err = k.count()
	case "minItems":
		n.minItems, err = k.count()
	case "uniqueItems":
		n.uniqueItems = k.v.bool
		if k.v.kind != kindBool {
			return fmt.Errorf("want true or false")
		}
	case "properties":
		n.properties, err = k.schemas()
	case "patternProperties":
		return k.patterns()
	case "additionalProperties":
		n.additionalProperties, err = k.schema()
	case "propertyNames":
		n.propertyNames, err = k.schema()
	case "required":
		n.required, err = texts(k.v)
	case "maxProperties":
		n.maxProperties, err = k.count()
	case "minProperties":
		n.minProperties, err = k.count()
	case "dependentRequired":
		return k.dependentRequired()
	case "dependentSchemas":
		n.dependentSchemas, err = k.schemas()
	case "allOf":
		n.allOf, err = k.list()
	case "anyOf":
		n.anyOf, err = k.list()
	case "oneOf":
		n.oneOf, err = k.list()
	case "not":
		n.not, err = k.schema()
	case "if":
		n.ifs, err = k.schema()
	case "then":
		n.thens, err = k.schema()
	case "else":
		n.elses, err = k.schema()
	default:
		if !annotations[k.name] {
			return fmt.Errorf("not a keyword that is known here")
		}
	}
	return err
}

// narrow returns the values that are in a set, nil for all of them, and in a list.
func narrow(have map[string]struct{}, values []value) map[string]struct{} {
	out := make(map[string]struct{}, len(values))
	for i := range values {
		c := string(values[i].appendCanonical(nil))
		if _, ok := have[c]; ok || have == nil {
			out[c] = struct{}{}
		}
	}
	return out
}

func (k *keyword) reference() error {
	if k.v.kind != kindString {
		return fmt.Errorf("want a string")
	}
	pointer, ok := strings.CutPrefix(k.v.text, "#")
	if !ok || pointer != "" && pointer[0] != '/' || strings.Contains(pointer, "%") {
		return fmt.Errorf("%s leads out of this document: write #/$defs/name", quote(k.v.text))
	}
	k.c.refs = append(k.c.refs, pendingRef{k.n, pointer})
	return nil
}

var typeNames = map[string]kind{
	"null": kindNull, "boolean": kindBool, "number": kindNumber, "integer": kindInteger, "string": kindString, "array": kindArray, "object": kindObject,
}

func (k *keyword) types() error {
	items := k.v.items
	if k.v.kind == kindString {
		items = []value{*k.v}
	}
	for i := range items {
		t := typeNames[items[i].text]
		if t == 0 || items[i].kind != kindString {
			return fmt.Errorf("want null, boolean, number, integer, string, array, object, or a list of them")
		}
		k.n.types |= t
	}
	if k.n.types == 0 {
		return fmt.Errorf("want a type, or a list of them")
	}
	return nil
}

func (k *keyword) number() (*big.Rat, error) {
	if k.v.kind != kindNumber {
		return nil, fmt.Errorf("want a number")
	}
	return k.v.number, nil
}

func (k *keyword) count() (*int, error) {
	if k.v.kind == kindNumber && k.v.number.IsInt() && k.v.number.Num().IsInt64() {
		if i := k.v.number.Num().Int64(); i >= 0 && i < 1<<31 {
			n := int(i)
			return &n, nil
		}
	}
	return nil, fmt.Errorf("want a whole number from 0 to %d", 1<<31-1)
}

func (k *keyword) pattern(text string) (*pattern, error) {
	p, err := compilePattern(text)
	if err != nil {
		return nil, err
	}
	if k.c.weights += p.weight; k.c.weights > maxWeights {
		return nil, fmt.Errorf("the patterns of the schema are too much together")
	}
	return p, nil
}

func (k *keyword) schema() (*node, error) { return k.c.compile(k.v, k.where) }

func (k *keyword) list() ([]*node, error) {
	if k.v.kind != kindArray || len(k.v.items) == 0 {
		return nil, fmt.Errorf("want a list of schemas, at least one")
	}
	var nodes []*node
	for i := range k.v.items {
		n, err := k.c.compile(&k.v.items[i], k.where+"/"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (k *keyword) schemas() (map[string]*node, error) {
	if k.v.kind != kindObject {
		return nil, fmt.Errorf("want an object of schemas")
	}
	nodes := make(map[string]*node)
	for i := range k.v.members {
		m := &k.v.members[i]
		n, err := k.c.compile(&m.value, k.where+"/"+escapePointer(m.name))
		if err != nil {
			return nil, err
		}
		nodes[m.name] = n
	}
	return nodes, nil
}

func (k *keyword) patterns() error {
	nodes, err := k.schemas()
	if err != nil {
		return err
	}
	for i := range k.v.members { // in their order
		name := k.v.members[i].name
		p, err := k.pattern(name)
		if err != nil {
			return err
		}
		k.n.patternProperties = append(k.n.patternProperties, patternNode{p, nodes[name]})
	}
	return nil
}

func (k *keyword) dependentRequired() error {
	if k.v.kind != kindObject {
		return fmt.Errorf("want an object")
	}
	k.n.dependentRequired = make(map[string][]string)
	for i := range k.v.members {
		names, err := texts(&k.v.members[i].value)
		if err != nil {
			return err
		}
		k.n.dependentRequired[k.v.members[i].name] = names
	}
	return nil
}

func texts(v *value) ([]string, error) {
	if v.kind != kindArray {
		return nil, fmt.Errorf("want a list of strings")
	}
	var out []string
	for i := range v.items {
		if v.items[i].kind != kindString {
			return nil, fmt.Errorf("want a list of strings")
		}
		out = append(out, v.items[i].text)
	}
	return out, nil
}
