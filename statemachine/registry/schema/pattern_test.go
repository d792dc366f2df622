package schema

import (
	"encoding/json"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What people write in schemas, and what it matches.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern   string
		good, bad []string
		states    int // 0: not said
	}{
		{`^[Aa]$`, []string{"A", "a"}, []string{"b", "AA", "\u1d00"}, 4},
		{`^[Kk]$`, []string{"K", "k"}, []string{"\u212a"}, 4}, // the sign of Kelvin folds to k
		{`^[Aa][Bb][Cc]$`, []string{"aBc"}, []string{"abd"}, 6},
		{`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, []string{"2024-02-29"}, []string{"2024-2-29", "x2024-02-29"}, 13},
		{`^\d{4}-\d{2}-\d{2}$`, []string{"2024-02-29"}, []string{"\u0662024-02-29"}, 13},
		{`^\w+$`, []string{"Az_09"}, []string{"", "ä", "a b"}, 5},
		{`^\S+\s\S+$`, []string{"a b", "a\u00a0b", "a\u3000b", "a\vb"}, []string{"ab", "a  b"}, 0},
		{`^[\w.+-]+@[\w-]+\.[\w.-]+$`, []string{"a.b+c@x-y.example"}, []string{"a@b", "@b.c"}, 0},
		{`^[\w-.]+$`, []string{"a-.b"}, []string{"a,b"}, 0},
		{`^\+?[1-9]\d{1,14}$`, []string{"+49301234", "49"}, []string{"+0", "+1234567890123456"}, 0},
		{`^(foo|bar|)$`, []string{"foo", "bar", ""}, []string{"baz", "foobar"}, 0},
		{`^(?<year>\d{4})(?:-(?<month>0[1-9]|1[0-2]))?$`, []string{"2024", "2024-12"}, []string{"2024-13"}, 0},
		{`^\/api\/v\d+\/?$`, []string{"/api/v1", "/api/v22/"}, []string{"/api/v"}, 0},
		{`^\u00e4\xe4\u{1F600}\ud83d\ude00$`, []string{"ää😀😀"}, []string{"ää😀"}, 0},
		{`^\t\n\v\f\r\0\cJ$`, []string{"\t\n\v\f\r\x00\n"}, []string{""}, 0},
		{`^[\b\]\\^-]$`, []string{"\b", "]", `\`, "^", "-"}, []string{"b"}, 0},
		{`^[^a-c]$`, []string{"d", "\n", "ä"}, []string{"a", "b", ""}, 0},
		{`^.$`, []string{"a", "😀"}, []string{"\n", "\r", "\u2028", ""}, 0},
		{`^[^]a]$`, nil, nil, -1},
		{`\bcat\b`, []string{"a cat!", "cat"}, []string{"cats", "concat"}, 0},
		{`\Bcat`, []string{"concat"}, []string{"cat"}, 0},
		{`^a*?b+?c??d{2,3}?$`, []string{"aabbcdd", "bddd"}, []string{"cdd", "bd"}, 0},
		{`^{.*}$`, []string{"{}", "{a}"}, []string{"a"}, 0},
		{`^a{,2}]}$`, []string{"a{,2}]}"}, []string{"aa"}, 0},
		{`^x{0}y{2}$`, []string{"yy"}, []string{"xyy"}, 6},
		{`^(ab){2,}$`, []string{"abab", "ababab"}, []string{"ab"}, 0},
		{`[^\s\S]`, nil, []string{"", "a"}, 0},
		{`^(a|b(c|d))*$`, []string{"", "abcabd"}, []string{"b"}, 0},
		{``, []string{"", "anything"}, nil, 2},
		{`A`, []string{"xAx"}, []string{"a"}, 2},
	} {
		p, err := compilePattern(c.pattern)
		if c.states < 0 {
			require.Error(t, err, c.pattern)
			continue
		}
		require.NoError(t, err, c.pattern)
		for _, s := range c.good {
			require.True(t, p.re.MatchString(s), "%s %q", c.pattern, s)
		}
		for _, s := range c.bad {
			require.False(t, p.re.MatchString(s), "%s %q", c.pattern, s)
		}
		if c.states > 0 {
			require.Equal(t, c.states, p.states, c.pattern)
		}
	}
}

// What is refused is refused by name.
func TestPatternsThatAreRefused(t *testing.T) {
	for pattern, says := range map[string]string{
		`(?=a)`: "looks ahead", `^(?!a).*$`: "looks ahead", `(?<=a)b`: "looks behind", `(?<!a)b`: "looks behind",
		`(a)\1`: "refers back", `(?<x>a)\k<x>`: "refers back", `\p{L}`: "class of Unicode", `[\P{Lu}]`: "class of Unicode",
		`(?i)a`: "regard to case", `(?i:a)`: "regard to case", `(?s)a`: "flags", `(?P<x>a)`: "another language", `(?>a)`: "another language",
		`[[:alpha:]]`: "POSIX", `\Aa\z`: `\A means nothing`, `\Qa\E`: `\Q means nothing`, `[\B]`: `\B means nothing`, `\_`: `\_ means nothing`,
		`(`: "a ( has no )", `a)`: "a ) has no (", `[a`: "class without an end", `[a-`: "class without an end", `[`: "class without an end", `[a\`: `ends with a \`, `\`: `ends with a \`,
		`[]`: "empty class", `[^]`: "empty class", `[z-a]`: "before its beginning",
		`*a`: "repeats nothing", `a**`: "repeats nothing", `a{2}{3}`: "repeats nothing", `^*`: "repeats nothing", `(|+)`: "repeats nothing", `{2}`: "repeats nothing",
		`a{3,2}`: "most that is below", `a{1001}`: "repeats too much", `a{99999999999999999999}`: "repeats too much", `(a{40}){26}`: "repeats too much",
		`\x4`: "2 hexadecimal digits", `\u12`: "4 hexadecimal digits", `\u{110000}`: "without a character", `\ud800`: "half a surrogate", `\ud800\ud800`: "half a surrogate",
		`\01`: "octal", `\c1`: "without a letter", `(?<>a)`: "without a name", `(?<a`: "without a name",
		strings.Repeat("(", 51) + strings.Repeat(")", 51):                                          "nested too deep",
		strings.Repeat("(", 20) + `(abcdefghijklmnopqrstuvwxyz{40}){25}` + strings.Repeat(")", 20): "",
		`(` + strings.Repeat("a?b?", 25) + `){1000}`:                                               "states, at most 25000",
	} {
		_, err := compilePattern(pattern)
		if says == "" {
			require.NoError(t, err, pattern)
			continue
		}
		require.ErrorContains(t, err, says, pattern)
	}
}

// programStates is how many instructions the library makes of a pattern.
func programStates(t testing.TB, text string) int {
	tree, err := syntax.Parse(text, syntax.Perl)
	require.NoError(t, err)
	prog, err := syntax.Compile(tree.Simplify())
	require.NoError(t, err)
	states := 0
	for i := range prog.Inst {
		if prog.Inst[i].Op != syntax.InstCapture { // the matcher is never in one
			states++
		}
	}
	return states
}

// The states that are counted are those of the matcher: never fewer than a few less than it
// has, so that the bound on steps bounds time, and for what people write not many more.
func TestPatternStates(t *testing.T) {
	for _, pattern := range []string{
		`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, `^(a|a)*(a{1,500}b)$`, `^[\w.+-]+@[\w-]+\.[\w.-]+$`, `^(foo|bar|baz)$`, `(a?b+){3,7}`, `((a{3}){4}){5,9}`,
		`^[A-F0-9]{8}(-[A-F0-9]{4}){3}-[A-F0-9]{12}$`, `x{0}`, `(|a|)*`, `a{2,}`, `(ab?c?d?e?f?g?){1000}`,
	} {
		p, err := compilePattern(pattern)
		require.NoError(t, err)
		states := programStates(t, p.re.String())
		require.GreaterOrEqual(t, p.states+2, states, pattern)
		require.LessOrEqual(t, p.states, 2*states+4, pattern)
	}
}

// The library makes no second program of a pattern, which no weight would count.
func TestPatternsHaveOneProgram(t *testing.T) {
	for _, text := range []string{`^abc$`, `^[a-z]*$`, `^\w{1,900}$`, `^(a|b)c$`, `^(?:[^x]y)+$`} {
		p, err := compilePattern(text)
		require.NoError(t, err, text)
		require.True(t, reflect.ValueOf(p.re).Elem().FieldByName("onepass").IsNil(), text)
	}
	plain := regexp.MustCompile(`^[a-z]*$`)
	require.False(t, reflect.ValueOf(plain).Elem().FieldByName("onepass").IsNil(), "the library has become another: look again")
}

// A pattern that is taken is one for the library, and has no more states there than are
// counted.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{`^[Aa]{2,3}(?<x>b|\d)+?$`, `[^\w-]{3}`, `\u{1F600}|(c*)*`, `a{0}|{`, `[\s\S]+`} {
		f.Add(s, "Aab1")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		quoted, err := json.Marshal(pattern)
		require.NoError(t, err)
		if json.Unmarshal(quoted, &pattern) != nil { // UTF-8, as a schema's are
			return
		}
		parsed, err := parsePattern(pattern)
		if err != nil || parsed.states > 1000 || len(pattern) > maxPattern {
			return
		}
		p, err := compilePattern(pattern)
		require.NoError(t, err, "%q is taken, as %q", pattern, parsed.text)
		p.re.MatchString(text)
		require.GreaterOrEqual(t, p.states+2, programStates(t, p.re.String()))
	})
}
