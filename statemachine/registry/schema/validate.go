package schema

import (
	"fmt"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// Violation says which rule a document breaks, and where: the first that is found, in
// an order that is the same everywhere.
type Violation struct {
	// Document is the place in the document, as a JSON pointer.
	Document string
	// Schema is the place of the keyword in the schema.
	Schema string
	// Reason is in words.
	Reason string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%v: %s: %s (schema: %s)", ErrViolation, place(v.Document), v.Reason, place(v.Schema))
}

// Unwrap returns [ErrViolation].
func (v *Violation) Unwrap() error { return ErrViolation }

// Validate checks a document. The error is a *[Violation], or wraps [ErrDocument] or
// [ErrTooComplex]; it is a function of schema, limits and document.
func (s *Schema) Validate(document []byte) error {
	v, left, err := parse(document, s.limits)
	if err != nil {
		return err
	}
	run := validation{left: left, depth: maxRecursion}
	broken := run.check(s.root, &v, nil)
	if run.left < 0 {
		return fmt.Errorf("%w: more than %d steps", ErrTooComplex, s.limits.MaxSteps)
	}
	if broken != nil {
		return broken.violation()
	}
	return nil
}

// Check tells whether data is a JSON document that this package takes, nested no deeper
// than the limits allow. The error wraps [ErrDocument] or [ErrTooComplex].
func Check(document []byte, l Limits) error {
	_, _, err := parse(document, l)
	return err
}

// maxRecursion bounds how deep schemas may apply within each other: references can lead
// round in a circle.
const maxRecursion = 2000

// validation counts what is left; below 0 everything fails.
type validation struct{ left, depth int }

// step is the way to a value in the document.
type step struct {
	up    *step
	name  string
	index int // if name is not used
	array bool
}

func (s *step) pointer() string {
	if s == nil {
		return ""
	}
	if s.array {
		return s.up.pointer() + "/" + strconv.Itoa(s.index)
	}
	name := escapePointer(s.name)
	if len(name) > longest {
		name = quote(name)
	}
	return s.up.pointer() + "/" + name
}

// spend takes steps; false if there are not so many left.
func (r *validation) spend(n int) bool {
	if r.left < n {
		r.left = -1
		return false
	}
	r.left -= n
	return true
}

// failure is a violation that is not put into words yet: of most of them, those of
// alternatives, nobody ever hears.
type failure struct {
	n       *node
	keyword string
	at      *step
	format  string
	args    []any
}

func (f *failure) violation() *Violation {
	return &Violation{f.at.pointer(), f.n.where + f.keyword, fmt.Sprintf(f.format, f.args...)}
}

var exhausted = new(failure)

// check returns nil if v follows n. Where the steps are used up the answer means nothing.
func (r *validation) check(n *node, v *value, at *step) *failure {
	r.depth--
	defer func() { r.depth++ }()
	if r.depth < 0 {
		r.left = -1
	}
	if !r.spend(1) {
		return exhausted
	}
	broken := func(keyword, format string, args ...any) *failure {
		return &failure{n, "/" + keyword, at, format, args}
	}
	if n.never {
		return &failure{n: n, at: at, format: "nothing is permitted here"}
	}
	if n.types != 0 && !n.types.has(v) {
		return broken("type", "it is %v, which is not permitted", v.kind)
	}
	if n.enum != nil {
		c := v.appendCanonical(nil)
		if !r.spend(len(c) / 16) {
			return exhausted
		}
		if _, ok := n.enum[string(c)]; !ok {
			return broken("enum", "it is none of the values that are permitted")
		}
	}
	if n.refs != nil {
		if b := r.check(n.refs, v, at); b != nil {
			return b
		}
	}
	var b *failure
	switch v.kind {
	case kindNumber:
		b = r.checkNumber(n, v.number, broken)
	case kindString:
		b = r.checkText(n, v.text, broken)
	case kindArray:
		b = r.checkArray(n, v, at, broken)
	case kindObject:
		b = r.checkObject(n, v, at, broken)
	}
	if b != nil {
		return b
	}
	return r.combine(n, v, at, broken)
}

// breaker makes the failure of a keyword.
type breaker func(keyword, format string, args ...any) *failure

func (k kind) has(v *value) bool {
	return k&v.kind != 0 || k&kindInteger != 0 && v.kind == kindNumber && v.number.IsInt()
}

func (r *validation) checkNumber(n *node, x *big.Rat, broken breaker) *failure {
	if !r.spend((x.Num().BitLen() + x.Denom().BitLen()) / 32) {
		return exhausted
	}
	switch {
	case n.maximum != nil && x.Cmp(n.maximum) > 0:
		return broken("maximum", "the number is too large")
	case n.exclusiveMaximum != nil && x.Cmp(n.exclusiveMaximum) >= 0:
		return broken("exclusiveMaximum", "the number is too large")
	case n.minimum != nil && x.Cmp(n.minimum) < 0:
		return broken("minimum", "the number is too small")
	case n.exclusiveMinimum != nil && x.Cmp(n.exclusiveMinimum) <= 0:
		return broken("exclusiveMinimum", "the number is too small")
	case n.multipleOf != nil && !new(big.Rat).Quo(x, n.multipleOf).IsInt():
		return broken("multipleOf", "the number is not a multiple")
	}
	return nil
}

func (r *validation) checkText(n *node, s string, broken breaker) *failure {
	if n.maxLength != nil || n.minLength != nil {
		if !r.spend(len(s) / 64) {
			return exhausted
		}
		length := utf8.RuneCountInString(s)
		if n.maxLength != nil && length > *n.maxLength {
			return broken("maxLength", "the string has %d characters, at most %d", length, *n.maxLength)
		}
		if n.minLength != nil && length < *n.minLength {
			return broken("minLength", "the string has %d characters, at least %d", length, *n.minLength)
		}
	}
	if n.pattern == nil {
		return nil
	}
	matched, ok := r.match(n.pattern, s)
	switch {
	case !ok:
		return exhausted
	case !matched:
		return broken("pattern", "the string does not match %s", quote(n.pattern.text))
	}
	return nil
}

func (r *validation) match(p *pattern, s string) (matched, ok bool) {
	if !r.spend(p.cost(s)) {
		return false, false
	}
	return p.re.MatchString(s), true
}

func (r *validation) checkArray(n *node, v *value, at *step, broken breaker) *failure {
	switch {
	case n.maxItems != nil && len(v.items) > *n.maxItems:
		return broken("maxItems", "the array has %d items, at most %d", len(v.items), *n.maxItems)
	case n.minItems != nil && len(v.items) < *n.minItems:
		return broken("minItems", "the array has %d items, at least %d", len(v.items), *n.minItems)
	}
	if n.uniqueItems {
		seen := make(map[string]struct{})
		for i := range v.items {
			c := v.items[i].appendCanonical(nil)
			if !r.spend(1 + len(c)/16) {
				return exhausted
			}
			if _, twice := seen[string(c)]; twice {
				return broken("uniqueItems", "item %d is there twice", i)
			}
			seen[string(c)] = struct{}{}
		}
	}
	if n.items == nil && n.prefixItems == nil && n.contains == nil {
		return nil
	}
	found := 0
	for i := range v.items {
		item, way := &v.items[i], &step{up: at, index: i, array: true}
		of := n.items
		if i < len(n.prefixItems) {
			of = n.prefixItems[i]
		}
		if of != nil {
			if b := r.check(of, item, way); b != nil {
				return b
			}
		}
		if n.contains != nil && r.check(n.contains, item, way) == nil {
			found++
		}
	}
	if n.contains == nil {
		return nil
	}
	least := 1
	if n.minContains != nil {
		least = *n.minContains
	}
	switch {
	case found < least:
		return broken("contains", "%d items are such, at least %d", found, least)
	case n.maxContains != nil && found > *n.maxContains:
		return broken("maxContains", "%d items are such, at most %d", found, *n.maxContains)
	}
	return nil
}

func (r *validation) checkObject(n *node, v *value, at *step, broken breaker) *failure {
	switch {
	case n.maxProperties != nil && len(v.members) > *n.maxProperties:
		return broken("maxProperties", "the object has %d members, at most %d", len(v.members), *n.maxProperties)
	case n.minProperties != nil && len(v.members) < *n.minProperties:
		return broken("minProperties", "the object has %d members, at least %d", len(v.members), *n.minProperties)
	case !r.spend(len(n.required)):
		return exhausted
	}
	for _, name := range n.required {
		if v.get(name) == nil {
			return broken("required", "the member %s is missing", quote(name))
		}
	}
	for i := range v.members {
		m := &v.members[i]
		if b := r.checkMember(n, v, m, &step{up: at, name: m.name}, broken); b != nil {
			return b
		}
		if of := n.dependentSchemas[m.name]; of != nil {
			if b := r.check(of, v, at); b != nil {
				return b
			}
		}
	}
	return nil
}

func (r *validation) checkMember(n *node, v *value, m *member, at *step, broken breaker) *failure {
	needed := n.dependentRequired[m.name]
	if !r.spend(1 + len(m.name)/64 + len(needed)) {
		return exhausted
	}
	for _, name := range needed {
		if v.get(name) == nil {
			return broken("dependentRequired", "the member %s is missing, which %s needs", quote(name), quote(m.name))
		}
	}
	if n.propertyNames != nil {
		if b := r.check(n.propertyNames, &value{kind: kindString, text: m.name}, at); b != nil {
			return b
		}
	}
	known := false
	if of := n.properties[m.name]; of != nil {
		known = true
		if b := r.check(of, &m.value, at); b != nil {
			return b
		}
	}
	for _, p := range n.patternProperties {
		matched, ok := r.match(p.pattern, m.name)
		if !ok {
			return exhausted
		}
		if !matched {
			continue
		}
		known = true
		if b := r.check(p.node, &m.value, at); b != nil {
			return b
		}
	}
	switch {
	case known || n.additionalProperties == nil:
		return nil
	case n.additionalProperties.never:
		return broken("additionalProperties", "the member %s is not permitted", quote(m.name))
	}
	return r.check(n.additionalProperties, &m.value, at)
}

func (r *validation) combine(n *node, v *value, at *step, broken breaker) *failure {
	for _, of := range n.allOf {
		if b := r.check(of, v, at); b != nil {
			return b
		}
	}
	if len(n.anyOf) > 0 {
		any := false
		for _, of := range n.anyOf {
			if any = r.check(of, v, at) == nil; any {
				break
			}
		}
		if !any {
			return broken("anyOf", "it follows none of the schemas")
		}
	}
	if len(n.oneOf) > 0 {
		follows := 0
		for _, of := range n.oneOf {
			if r.check(of, v, at) == nil {
				follows++
			}
		}
		if follows != 1 {
			return broken("oneOf", "it follows %d of the schemas, and must follow one", follows)
		}
	}
	if n.not != nil && r.check(n.not, v, at) == nil {
		return broken("not", "it follows the schema that it must not")
	}
	if n.ifs == nil {
		return nil
	}
	then := n.elses
	if r.check(n.ifs, v, at) == nil {
		then = n.thens
	}
	if then == nil {
		return nil
	}
	return r.check(then, v, at)
}
