package schema

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// runes is a set of characters: pairs of the first and the last of a range, in order and
// with gaps between them once merged.
type runes [][2]rune

func one(r rune) runes { return runes{{r, r}} }

// The classes of ECMA-262. They are lists of their own: what Unicode takes for a space or
// a letter changes with its version.
var (
	digits = runes{{'0', '9'}}
	words  = runes{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}
	spaces = runes{
		{'\t', '\r'}, {' ', ' '}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029},
		{0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff},
	}
	lineEnds = runes{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}
)

// merged is the set in order.
func (s runes) merged() runes {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b [2]rune) int { return int(a[0]) - int(b[0]) })
	var out runes
	for _, r := range s {
		if n := len(out); n > 0 && r[0] <= out[n-1][1]+1 {
			out[n-1][1] = max(out[n-1][1], r[1])
			continue
		}
		out = append(out, r)
	}
	return out
}

// others are all characters that are not in the set.
func (s runes) others() runes {
	var out runes
	next := rune(0)
	for _, r := range s.merged() {
		if r[0] > next {
			out = append(out, [2]rune{next, r[0] - 1})
		}
		next = r[1] + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, [2]rune{next, utf8.MaxRune})
	}
	return out
}

// fewRanges is how many ranges are gone through at the cost of one.
const fewRanges = 4

// translate is one character of the set, for the library.
func (s runes) translate() translation {
	s = s.merged()
	t := translation{states: 1}
	if len(s) > fewRanges {
		t.states++
	}
	switch {
	case len(s) == 0:
		s, t.text = runes{{0, utf8.MaxRune}}, "[^"
	case len(s) == 1 && s[0][0] == s[0][1]:
		t.text = fmt.Sprintf(`\x{%x}`, s[0][0])
		return t
	default:
		t.text = "["
	}
	var b strings.Builder
	b.WriteString(t.text)
	for _, r := range s {
		fmt.Fprintf(&b, `\x{%x}-\x{%x}`, r[0], r[1])
	}
	b.WriteByte(']')
	t.text = b.String()
	return t
}

// class reads a class in brackets, of which the first is read.
func (p *patternParser) class() (runes, error) {
	negated := p.take("^")
	if p.take("]") {
		return nil, fmt.Errorf(`it has an empty class: write \] for a bracket`)
	}
	var set runes
	for {
		if p.end() {
			return nil, fmt.Errorf("it has a class without an end")
		}
		if p.take("]") {
			break
		}
		if rest := p.rest(); strings.HasPrefix(rest, "[:") && strings.Contains(rest, ":]") {
			return nil, fmt.Errorf("it has a class of POSIX, [:name:], which JSON Schema has not: write its characters, such as a-z")
		}
		low, err := p.classAtom()
		if err != nil {
			return nil, err
		}
		if rest := p.rest(); !strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "-]") || len(rest) == 1 {
			set = append(set, low...)
			continue
		}
		p.take("-")
		high, err := p.classAtom()
		switch {
		case err != nil:
			return nil, err
		case !low.single() || !high.single(): // such as [\w-.]
			set = append(append(append(set, low...), one('-')...), high...)
		case low[0][0] > high[0][0]:
			return nil, fmt.Errorf("it has a range whose end is before its beginning")
		default:
			set = append(set, [2]rune{low[0][0], high[0][0]})
		}
	}
	if negated {
		return set.others(), nil
	}
	return set, nil
}

func (s runes) single() bool { return len(s) == 1 && s[0][0] == s[0][1] }

// classAtom reads a character, or an escape that stands for several.
func (p *patternParser) classAtom() (runes, error) {
	if p.end() {
		return nil, fmt.Errorf("it has a class without an end")
	}
	if !p.take(`\`) {
		return one(p.next()), nil
	}
	if p.take("b") {
		return one('\b'), nil
	}
	return p.escape()
}
