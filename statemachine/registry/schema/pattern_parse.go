package schema

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// translation is a part of a pattern as the library's syntax has it, and what it costs.
type translation struct {
	text   string
	states int // of the matcher, repetitions written out
	repeat int // how often what is repeated most within it is repeated; 0: nothing is
}

// patternParser reads a pattern of JSON Schema: the regular expressions of ECMA-262 that
// can be matched in one pass over the text.
type patternParser struct {
	text  string
	at    int
	depth int
}

const (
	maxRepeat       = 1000 // of one part, all repetitions around it multiplied
	maxPatternDepth = 50
)

// parsePattern translates a pattern, or says in words what it has that is not taken.
func parsePattern(text string) (translation, error) {
	p := &patternParser{text: text}
	t, err := p.alternatives()
	if err == nil && !p.end() {
		err = errors.New("it is none: a ) has no (") // nothing else ends one early
	}
	return t, err
}

func (p *patternParser) end() bool    { return p.at == len(p.text) }
func (p *patternParser) rest() string { return p.text[p.at:] }

// take reads s, if it is next.
func (p *patternParser) take(s string) bool {
	if !strings.HasPrefix(p.rest(), s) {
		return false
	}
	p.at += len(s)
	return true
}

// next reads a character.
func (p *patternParser) next() rune {
	r, n := utf8.DecodeRuneInString(p.rest())
	p.at += n
	return r
}

// alternatives reads what | separates, up to the end or a ).
func (p *patternParser) alternatives() (translation, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxPatternDepth {
		return translation{}, fmt.Errorf("it is nested too deep: at most %d groups within each other", maxPatternDepth)
	}
	t, err := p.sequence()
	for err == nil && p.take("|") {
		var other translation
		other, err = p.sequence()
		t = translation{t.text + "|" + other.text, t.states + 1 + other.states, max(t.repeat, other.repeat)}
	}
	return t, err
}

func (p *patternParser) sequence() (translation, error) {
	var b strings.Builder
	var all translation
	for !p.end() && !strings.HasPrefix(p.rest(), "|") && !strings.HasPrefix(p.rest(), ")") {
		t, err := p.term()
		if err != nil {
			return all, err
		}
		b.WriteString(t.text)
		all.states += t.states
		all.repeat = max(all.repeat, t.repeat)
	}
	all.text, all.states = b.String(), max(1, all.states)
	return all, nil
}

// term reads an assertion, or an atom with its repetition.
func (p *patternParser) term() (translation, error) {
	for _, a := range [...]struct{ sign, translated string }{{"^", `\A`}, {"$", `\z`}, {`\b`, `\b`}, {`\B`, `\B`}} {
		if p.take(a.sign) {
			return translation{text: a.translated, states: 1}, nil
		}
	}
	t, err := p.atom()
	if err != nil {
		return t, err
	}
	least, most, ok, err := p.repetition()
	if err != nil || !ok {
		return t, err
	}
	p.take("?") // lazy: it matches or does not all the same
	return t.repeated(least, most)
}

const noBound = -1

// repetition reads how often an atom may be there; ok is false if nothing says that.
func (p *patternParser) repetition() (least, most int, ok bool, err error) {
	switch {
	case p.take("*"):
		return 0, noBound, true, nil
	case p.take("+"):
		return 1, noBound, true, nil
	case p.take("?"):
		return 0, 1, true, nil
	case !strings.HasPrefix(p.rest(), "{"):
		return 0, 0, false, nil
	}
	inside, _, closed := strings.Cut(p.rest()[1:], "}")
	low, high, two := strings.Cut(inside, ",")
	if !closed || !allDigits(low) || two && high != "" && !allDigits(high) {
		return 0, 0, false, nil // a brace and no more
	}
	p.at += len(inside) + 2
	least = countOf(low)
	switch {
	case !two:
		most = least
	case high == "":
		most = noBound
	default:
		most = countOf(high)
	}
	if most != noBound && most < least {
		return 0, 0, false, fmt.Errorf("{%s} has a most that is below its least", quote(inside))
	}
	return least, most, true, nil
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// countOf reads digits; what is too large is above maxRepeat.
func countOf(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n > maxRepeat {
		return maxRepeat + 1
	}
	return n
}

// repeated is t so often.
func (t translation) repeated(least, most int) (translation, error) {
	times := max(least, most)
	out := translation{repeat: max(times, 1) * max(t.repeat, 1)}
	if out.repeat > maxRepeat {
		return out, fmt.Errorf("it repeats too much: a part of it is there more than %d times", maxRepeat)
	}
	suffix := fmt.Sprintf("{%d,%d}", least, most)
	switch {
	case most == noBound && least == 0:
		suffix, out.states, out.repeat = "*", t.states+2, t.repeat // of what may be empty it is (x+)?
	case most == noBound && least == 1:
		suffix, out.states, out.repeat = "+", t.states+1, t.repeat
	case most == noBound:
		suffix, out.states = fmt.Sprintf("{%d,}", least), least*t.states+1
	case most == 0:
		out.states = 1
	default:
		out.states = least*t.states + (most-least)*(t.states+1)
	}
	out.text = "(?:" + t.text + ")" + suffix
	return out, nil
}

// atom reads a character, a class or a group.
func (p *patternParser) atom() (translation, error) {
	switch {
	case p.take("("):
		return p.group()
	case p.take("["):
		set, err := p.class()
		return set.translate(), err
	case p.take("."):
		return lineEnds.others().translate(), nil
	case p.take(`\`):
		set, err := p.escape()
		return set.translate(), err
	}
	before := p.at
	if _, _, ok, err := p.repetition(); ok || err != nil {
		return translation{}, errors.New("it repeats nothing: write a \\ in front of a *, +, ? or { that stands for itself")
	}
	p.at = before
	return one(p.next()).translate(), nil
}

// group reads a group, of which the first parenthesis is read.
func (p *patternParser) group() (translation, error) {
	switch {
	case p.take("?="), p.take("?!"):
		return translation{}, errors.New("it looks ahead, (?= or (?!, which cannot be matched in one pass")
	case p.take("?<="), p.take("?<!"):
		return translation{}, errors.New("it looks behind, (?<= or (?<!, which cannot be matched in one pass")
	case p.take("?:"):
	case p.take("?<"):
		name, rest, closed := strings.Cut(p.rest(), ">")
		if !closed || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$") != "" {
			return translation{}, errors.New("it has a group without a name: write (?<name>...), or (?:...)")
		}
		p.at = len(p.text) - len(rest)
	case p.take("?i"):
		return translation{}, errors.New("it matches without regard to case, which follows tables that change: write both, such as [Aa]")
	case p.take("?"):
		return translation{}, errors.New("it has flags, or a group of another language: write (?:...), or (?<name>...)")
	}
	t, err := p.alternatives()
	if err == nil && !p.take(")") {
		err = errors.New("it is none: a ( has no )")
	}
	t.text = "(?:" + t.text + ")"
	return t, err
}

// escape reads what is behind a \, and is no assertion.
func (p *patternParser) escape() (runes, error) {
	if p.end() {
		return nil, errors.New("it ends with a \\")
	}
	r := p.next()
	switch r {
	case 'd':
		return digits, nil
	case 'D':
		return digits.others(), nil
	case 'w':
		return words, nil
	case 'W':
		return words.others(), nil
	case 's':
		return spaces, nil
	case 'S':
		return spaces.others(), nil
	case 't':
		return one('\t'), nil
	case 'n':
		return one('\n'), nil
	case 'v':
		return one('\v'), nil
	case 'f':
		return one('\f'), nil
	case 'r':
		return one('\r'), nil
	case 'c':
		if c := p.rest(); c != "" && (c[0]|0x20 >= 'a' && c[0]|0x20 <= 'z') {
			return one(p.next() & 0x1f), nil
		}
		return nil, errors.New(`it has a \c without a letter`)
	case 'x':
		c, err := p.hex(2)
		return one(c), err
	case 'u':
		return p.unicode()
	case 'p', 'P':
		return nil, errors.New(`it has a class of Unicode, \p, which follows tables that change: write the ranges`)
	case 'k', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return nil, errors.New("it refers back to a group, which cannot be matched in one pass")
	case '0':
		if c := p.rest(); c == "" || c[0] < '0' || c[0] > '9' {
			return one(0), nil
		}
		return nil, errors.New(`it has an octal number: write \x and two hexadecimal digits`)
	}
	if r == '_' || r < utf8.RuneSelf && r|0x20 >= 'a' && r|0x20 <= 'z' {
		return nil, fmt.Errorf(`\%c means nothing in JSON Schema: write ^ and $ for the beginning and the end, and single characters as they are`, r)
	}
	return one(r), nil
}

func (p *patternParser) hex(n int) (rune, error) {
	if len(p.rest()) < n || strings.Trim(p.rest()[:n], "0123456789abcdefABCDEF") != "" {
		return 0, fmt.Errorf("it has an escape without its %d hexadecimal digits", n)
	}
	v, err := strconv.ParseUint(p.rest()[:n], 16, 32)
	p.at += n
	return rune(v), err
}

// unicode reads what is behind \u: four digits, or any number in braces. Two halves of a
// surrogate pair are one character.
func (p *patternParser) unicode() (runes, error) {
	if p.take("{") {
		digits, rest, closed := strings.Cut(p.rest(), "}")
		v, err := strconv.ParseUint(digits, 16, 32)
		if !closed || err != nil || v > utf8.MaxRune {
			return nil, errors.New(`it has a \u{ without a character`)
		}
		p.at = len(p.text) - len(rest)
		return one(rune(v)), nil
	}
	r, err := p.hex(4)
	if err != nil || !utf16.IsSurrogate(r) {
		return one(r), err
	}
	if p.take(`\u`) {
		low, err := p.hex(4)
		if pair := utf16.DecodeRune(r, low); err == nil && pair != utf8.RuneError {
			return one(pair), nil
		}
	}
	return nil, errors.New("it has half a surrogate pair")
}
