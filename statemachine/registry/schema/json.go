package schema

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is the kind of a JSON value, as a bit for sets of them.
type kind uint8

const (
	kindNull kind = 1 << iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
	// kindInteger is only in sets that schemas give.
	kindInteger
)

func (k kind) String() string {
	switch k {
	case kindNull:
		return "null"
	case kindBool:
		return "a boolean"
	case kindNumber:
		return "a number"
	case kindString:
		return "a string"
	case kindArray:
		return "an array"
	case kindObject:
		return "an object"
	}
	return "an integer"
}

// value is a JSON value.
type value struct {
	kind   kind
	bool   bool
	text   string // of a string
	number *big.Rat
	items  []value
	// members of an object in ascending order of their names, none twice.
	members []member
}

type member struct {
	name  string
	value value
}

// get returns the member of an object.
func (v *value) get(name string) *value {
	i, found := slices.BinarySearchFunc(v.members, name, func(m member, n string) int { return strings.Compare(m.name, n) })
	if !found {
		return nil
	}
	return &v.members[i].value
}

// Numbers within these bounds are exact and cheap; no others are taken.
const (
	maxDigits   = 64
	maxExponent = 308
)

// parser reads JSON. Not the standard library's: what that takes has changed between
// its versions, and all replicas must take the same.
type parser struct {
	in    string
	at    int
	depth int
	left  int // steps
}

// parse reads a whole document and returns how many steps are left then.
func parse(data []byte, l Limits) (v value, left int, err error) {
	p := parser{in: string(data), depth: l.MaxDepth, left: l.MaxSteps}
	if !utf8.ValidString(p.in) {
		return v, 0, fmt.Errorf("%w: it is not UTF-8", ErrDocument)
	}
	if v, err = p.value(); err != nil {
		return v, 0, err
	}
	if p.space(); p.at < len(p.in) {
		return v, 0, p.wrong("more than one value")
	}
	return v, p.left, nil
}

func (p *parser) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrDocument, p.at, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.at < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.at]) >= 0 {
		p.at++
	}
}

// next skips space and returns the byte there, 0 at the end.
func (p *parser) next() byte {
	p.space()
	if p.at == len(p.in) {
		return 0
	}
	return p.in[p.at]
}

func (p *parser) word(w string) bool {
	if strings.HasPrefix(p.in[p.at:], w) {
		p.at += len(w)
		return true
	}
	return false
}

func (p *parser) value() (v value, err error) {
	switch c := p.next(); {
	case c == '{' || c == '[':
		if p.depth--; p.depth < 0 {
			return v, p.wrong("nested too deep")
		}
		defer func() { p.depth++ }()
		if c == '{' {
			return p.object()
		}
		return p.array()
	case c == '"':
		v.kind = kindString
		v.text, err = p.text()
		return v, err
	case c == '-' || c >= '0' && c <= '9':
		v.kind = kindNumber
		v.number, err = p.number()
		return v, err
	case p.word("true"):
		return value{kind: kindBool, bool: true}, nil
	case p.word("false"):
		return value{kind: kindBool}, nil
	case p.word("null"):
		return value{kind: kindNull}, nil
	}
	return v, p.wrong("no JSON value")
}

func (p *parser) array() (value, error) {
	v := value{kind: kindArray}
	p.at++
	if p.next() == ']' {
		p.at++
		return v, nil
	}
	for {
		item, err := p.value()
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
		switch p.next() {
		case ',':
			p.at++
		case ']':
			p.at++
			return v, nil
		default:
			return v, p.wrong("want , or ]")
		}
	}
}

func (p *parser) object() (value, error) {
	v := value{kind: kindObject}
	p.at++
	if p.next() == '}' {
		p.at++
		return v, nil
	}
	for {
		if p.next() != '"' {
			return v, p.wrong("want a name")
		}
		name, err := p.text()
		if err != nil {
			return v, err
		}
		if p.next() != ':' {
			return v, p.wrong("want :")
		}
		p.at++
		item, err := p.value()
		if err != nil {
			return v, err
		}
		v.members = append(v.members, member{name, item})
		switch p.next() {
		case ',':
			p.at++
		case '}':
			p.at++
			slices.SortFunc(v.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
			for i := 1; i < len(v.members); i++ {
				if v.members[i-1].name == v.members[i].name {
					return v, p.wrong("the object has the name %s twice", quote(v.members[i].name))
				}
			}
			return v, nil
		default:
			return v, p.wrong("want , or }")
		}
	}
}

func (p *parser) text() (string, error) {
	p.at++
	start := p.at
	var b []byte // nil as long as nothing is escaped
	for p.at < len(p.in) {
		switch c := p.in[p.at]; {
		case c == '"':
			s := p.in[start:p.at]
			if b != nil {
				s = string(b)
			}
			p.at++
			return s, nil
		case c < ' ':
			return "", p.wrong("a control character in a string")
		case c == '\\':
			if b == nil {
				b = append(make([]byte, 0, 2*(p.at-start)), p.in[start:p.at]...)
			}
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		default:
			if b != nil {
				b = append(b, c)
			}
			p.at++
		}
	}
	return "", p.wrong("a string without an end")
}

func (p *parser) escape() (rune, error) {
	p.at++
	if p.at == len(p.in) {
		return 0, p.wrong("a string without an end")
	}
	c := p.in[p.at]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		p.at++
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, p.wrong("an escape that is none")
	}
	r, err := p.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if !strings.HasPrefix(p.in[p.at:], `\u`) {
		return 0, p.wrong("half a surrogate pair")
	}
	p.at++
	low, err := p.hex()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, p.wrong("half a surrogate pair")
	}
	return r, nil
}

// hex reads the u of an escape and four digits.
func (p *parser) hex() (rune, error) {
	if len(p.in) < p.at+5 {
		return 0, p.wrong("want four hexadecimal digits")
	}
	r := rune(0)
	for _, c := range []byte(p.in[p.at+1 : p.at+5]) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if d < 0 || c < '0' {
			return 0, p.wrong("want four hexadecimal digits")
		}
		r = r<<4 | rune(d)
	}
	p.at += 5
	return r, nil
}

func (p *parser) digits() int {
	n := 0
	for ; p.at < len(p.in) && p.in[p.at] >= '0' && p.in[p.at] <= '9'; p.at++ {
		n++
	}
	return n
}

func (p *parser) number() (*big.Rat, error) {
	start := p.at
	p.word("-")
	zero := p.at < len(p.in) && p.in[p.at] == '0'
	n := p.digits()
	if n == 0 || zero && n > 1 {
		return nil, p.wrong("no number")
	}
	if p.word(".") {
		m := p.digits()
		if m == 0 {
			return nil, p.wrong("no number")
		}
		n += m
	}
	if n > maxDigits {
		return nil, p.wrong("a number of %d digits, at most %d", n, maxDigits)
	}
	size := n
	if p.word("e") || p.word("E") {
		from := p.at
		_ = p.word("+") || p.word("-")
		m := p.digits()
		if m == 0 {
			return nil, p.wrong("no number")
		}
		e, err := strconv.Atoi(p.in[from:p.at])
		if m > 9 || err != nil || e > maxExponent || e < -maxExponent {
			return nil, p.wrong("the exponent of a number is not within %d and %d", -maxExponent, maxExponent)
		}
		size += max(e, -e)
	}
	// A few bytes can be a number of a thousand bits, which takes microseconds to make.
	if p.left -= 4 + size/4; p.left < 0 {
		return nil, fmt.Errorf("%w: at byte %d: the numbers up to here are too much", ErrTooComplex, p.at)
	}
	r, ok := new(big.Rat).SetString(p.in[start:p.at])
	if !ok {
		return nil, p.wrong("no number")
	}
	return r, nil
}

// appendCanonical appends an encoding of v that equal values have in common, and no
// others.
func (v *value) appendCanonical(b []byte) []byte {
	switch v.kind {
	case kindNull:
		return append(b, 'n')
	case kindBool:
		if v.bool {
			return append(b, 't')
		}
		return append(b, 'f')
	case kindNumber:
		return append(append(b, v.number.RatString()...), ';')
	case kindString:
		return appendText(b, v.text)
	case kindArray:
		b = append(b, '[')
		for i := range v.items {
			b = v.items[i].appendCanonical(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i := range v.members {
		b = appendText(b, v.members[i].name)
		b = v.members[i].value.appendCanonical(b)
	}
	return append(b, '}')
}

func appendText(b []byte, s string) []byte {
	b = append(b, 's')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	return append(b, s...)
}

// longest is how much of a text a message shows, in bytes.
const longest = 40

// quote shows a text in a message. Not by strconv.Quote, which follows the tables of
// Unicode of its version.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if b.Len() > longest {
			b.WriteString("...")
			break
		}
		if r < ' ' || r > '~' {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
