package schema

import (
	"fmt"
	"regexp"
)

// pattern is a regular expression and what a match of it costs.
type pattern struct {
	text string
	re   *regexp.Regexp
	// states is how many states the matcher has, which it may be in all at once.
	states int
	// weight is about what it takes in memory, in units of some 50 bytes.
	weight int
}

const (
	maxPattern = 512 // bytes
	// maxWeights bounds the patterns of a schema together: what they take in memory. A
	// pattern of its own cannot have more.
	maxWeights = 50_000
	// stateWeight is that of a state, with what the library keeps for it.
	stateWeight = 2
)

// compilePattern compiles a pattern in the syntax of JSON Schema (see parsePattern). The
// library is given a translation that spells out every character, so that it depends
// neither on the library's syntax nor on its tables what a pattern means, what it costs,
// or whether there is one.
func compilePattern(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes, at most %d", len(text), maxPattern)
	}
	t, err := parsePattern(text)
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", quote(text), err)
	}
	states := t.states + 1 // and the end
	if states > maxWeights/stateWeight {
		return nil, fmt.Errorf("pattern %s repeats too much: it has %d states, at most %d", quote(text), states, maxWeights/stateWeight)
	}
	// In a group, for the library's other matcher, which it has for programs that begin with
	// the beginning of the text, keeps a table of each state and range: many times the weight.
	re, err := regexp.Compile("(" + t.text + ")")
	if err != nil {
		return nil, fmt.Errorf("pattern %s is none", quote(text))
	}
	return &pattern{text, re, states, stateWeight*states + len(text)}, nil
}

// cost of matching a text, in steps. The matcher reads the text once and is in each of its
// states at most once at a time, which takes up to some 10 ns for each byte.
func (p *pattern) cost(s string) int { return 1 + p.states*(len(s)+1)/16 }
