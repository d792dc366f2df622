// Package schema validates JSON documents against JSON Schema so that every replica
// decides alike, whatever it is sent, and at a bounded cost.
//
//	s, err := schema.Compile(text, schema.DefaultLimits())
//	err = s.Validate(document)
//
// It is a part of draft 2020-12, written for this purpose: what a library decides may
// change with its version, and the replicas of a cluster need not run the same build.
//
//   - Keywords: type, enum, const, multipleOf, maximum, exclusiveMaximum, minimum,
//     exclusiveMinimum, maxLength, minLength, pattern, prefixItems, items, contains,
//     maxContains, minContains, maxItems, minItems, uniqueItems, properties,
//     patternProperties, additionalProperties, propertyNames, required, maxProperties,
//     minProperties, dependentRequired, dependentSchemas, allOf, anyOf, oneOf, not, if,
//     then, else, $ref, $defs. Annotations (title, description, default, format and the
//     like) are permitted and mean nothing. Every other keyword is refused when the
//     schema is compiled, and so is a misspelt one.
//   - $ref leads to a place in the same document ("#/$defs/name") and nowhere else.
//   - Numbers are exact, whatever their size within the limits: 0.1 is a multiple of 0.01,
//     and 1.0 is an integer.
//   - A pattern is a regular expression of ECMA-262, as JSON Schema has it, of those that
//     are matched in one pass: characters and their escapes (\n, \x41, \u00e4, \u{1f600}),
//     classes with ranges ([A-Za-z0-9_.-], [^/]), \d \w \s \D \W \S and the dot,
//     alternatives, groups (also (?:) and (?<name>)), ^ $ \b \B, and * + ? {n} {n,} {n,m},
//     greedy or lazy, up to 1000 times with those around. It is found anywhere in the text
//     unless ^ and $ say otherwise. Refused by name: looking ahead and behind, references
//     back, \p and matching without regard to case (they follow tables that change with
//     their version), classes of POSIX, and escapes of other languages (\A, \z). A match
//     costs a step for 16 states of the pattern and bytes of the text:
//     "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" has 13 states, and a date costs 9 steps.
//   - format asserts nothing: what is an e-mail address changes with fashion.
//   - Documents are JSON in UTF-8. An object that has a name twice is refused, and so is an
//     escape that is half a surrogate pair: readers differ about what they mean.
//
// Validation counts steps, and a document that takes more than [Limits.MaxSteps] is
// refused with [ErrTooComplex]: a short schema can otherwise take as long as one likes.
package schema
