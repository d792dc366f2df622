package schema

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// pattern is a regular expression and what a match of it costs.
type pattern struct {
	text   string
	re     *regexp.Regexp
	weight int
}

const (
	maxPattern = 512 // bytes
	// maxWeight bounds one pattern, and maxWeights all of a schema: what they take in
	// memory, and a match in time.
	maxWeight  = 50_000
	maxWeights = 50_000
)

func compilePattern(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes, at most %d", len(text), maxPattern)
	}
	weight := weigh(text)
	if weight > maxWeight {
		return nil, fmt.Errorf("pattern %s repeats too much", quote(text))
	}
	// The classes of Unicode are left out, with the flag that has them.
	tree, err := syntax.Parse(text, syntax.Perl&^syntax.UnicodeGroups)
	if err != nil {
		return nil, fmt.Errorf("pattern %s is none, or has a class of Unicode", quote(text))
	}
	if folds(tree) {
		return nil, fmt.Errorf("pattern %s matches without regard to case", quote(text))
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("pattern %s is none", quote(text))
	}
	return &pattern{text, re, weight}, nil
}

// weigh bounds the number of states of a pattern, by its text alone: the library's own
// count may change with its version. Every repetition {n,m} is taken to repeat
// everything.
func weigh(text string) int {
	weight := len(text) + 1
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return weight
		}
		rest = after
		inside, _, _ := strings.Cut(after, "}")
		low, high, _ := strings.Cut(inside, ",")
		for _, s := range []string{low, high} {
			if n, err := strconv.Atoi(s); err == nil && n > 1 && (s == high || high == "") {
				weight = min(weight, maxWeight) * min(n+1, maxWeight)
			}
		}
	}
}

func folds(t *syntax.Regexp) bool {
	if t.Flags&syntax.FoldCase != 0 {
		return true
	}
	for _, s := range t.Sub {
		if folds(s) {
			return true
		}
	}
	return false
}

// cost of matching a text, in steps: each state takes up to some 10 ns for each byte.
func (p *pattern) cost(s string) int { return 1 + p.weight*(len(s)+1)/16 }
