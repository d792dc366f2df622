package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func draw(t testing.TB, r *Run) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Render(&b, r))
	return b.String()
}

// has and hasNot do not print the whole page.
func has(t testing.TB, page, piece string) {
	t.Helper()
	require.True(t, strings.Contains(page, piece), "the page does not have %s", piece)
}

func hasNot(t testing.TB, page, piece string) {
	t.Helper()
	require.False(t, strings.Contains(page, piece), "the page has %s", piece)
}

// What a person looks for is on the page.
func TestPage(t *testing.T) {
	html := draw(t, demo(42))
	for _, piece := range []string{
		`<header class="verdict v-pass">`,
		`<h1>Passed<span>swarm, seed 42</span></h1>`,
		`A simulated cluster · 4 replicas · replica 2 (equivocate) is a traitor`,
		`<code>parley chaos replay 42</code>`,
		`<p class="value">16s</p><p class="note">virtual, in 11ms: 1` + "\u202f" + `454 times as fast</p>`,
		`<text class="name" x="116" y="`,
		`<title>partition of 0, 1.2s to 2.8s</title>`,
		`<title>replica 3, down from 3.5s to 4.3s, view 1, height `,
		`<i class="dot k0"></i>crash</td><td class="n">2</td><td class="n">1.4s</td><td class="n">800ms</td><td>1, 3</td>`,
		`<tr class="never"><td>transfer during a view change</td><td class="n"><span class="badge">never fired</span></td></tr>`,
		`<summary>1 were not in this run</summary>`,
		`<tr class="absent"><td>two snapshots at once<small>needs a slow disk</small></td></tr>`,
		`<p class="never">1 that should have been there never were.</p>`,
		`<td>worst memory of a replica</td><td class="n">3.242` + "\u202f" + `MiB</td>`,
		`<td>network.loss</td><td><code>0.05</code></td>`,
		`<td class="n">3s</td><td>2 <span class="badge">a traitor</span></td><td>1</td><td>two proposals<small>view 1 height 12</small></td>`,
		`<text class="view" x="`,
		`<path class="line r3" d="M`,
		`<rect class="bar o-ok"`,
		`<path class="line l-p99" d="M`,
	} {
		has(t, html, piece)
	}
	hasNot(t, html, "ZgotmplZ")
	hasNot(t, html, `class="broken"`)
	hasNot(t, html, "<iframe")
}

// The page loads nothing: it names no address, and its policy allows its own
// script and style only.
func TestPageStandsAlone(t *testing.T) {
	r := demo(1)
	r.HistoryPage = HistoryPageFile
	html := draw(t, r)
	for _, address := range regexp.MustCompile(`(?i)(?:src|href)="([^"'\s>)]+)`).FindAllStringSubmatch(html, -1) {
		require.Regexp(t, `^[a-z.]+$`, address[1], "an address that is no file of the folder: %s", address[0])
	}
	for _, loads := range []string{"http://", "https://", "url(", "@import", "import("} {
		hasNot(t, html, loads)
	}
	_, rest, ok := strings.Cut(html, "<style>")
	require.True(t, ok)
	style, rest, _ := strings.Cut(rest, "</style>")
	_, rest, ok = strings.Cut(rest, "<script>")
	require.True(t, ok)
	script, _, _ := strings.Cut(rest, "</script>")
	for _, text := range []string{style, script} {
		has(t, strings.ReplaceAll(html, "&#43;", "+"), "&#39;"+sourceHash(text)+"&#39;")
	}
	has(t, html, `data-src="history.html"`)
}

func TestVerdicts(t *testing.T) {
	broken := []Violation{{At: 7 * time.Second, Invariant: "agreement", Text: "two blocks"}, {At: 7 * time.Second, Invariant: "agreement", Text: "again"}}
	for _, c := range []struct {
		verdict    Verdict
		violations []Violation
		culprit    int
		says       []string
	}{
		{Pass, nil, 2, []string{"v-pass", "Everything that is promised was kept."}},
		{Broken, broken, 2, []string{"v-violation", "What is promised was not kept: agreement.", "<pre>two blocks</pre>", `<g class="broke"><title>agreement at 7s</title>`}},
		{Pass, broken, 2, []string{"v-violation"}}, // whoever says so
		{Undecided, nil, 2, []string{"v-undecided", "not all of it was judged"}},
		{Beyond, broken, 2, []string{"v-beyond", "agreement fell, as it may. The evidence names 1 traitor and nobody honest."}},
		{Beyond, broken, 1, []string{"names an honest replica", "honest!"}},
		{Beyond, nil, 2, []string{"nothing was broken all the same"}},
		{"", nil, 2, []string{"No verdict"}},
	} {
		r := demo(3)
		r.Verdict, r.Violations, r.Evidence[0].Culprit = c.verdict, c.violations, c.culprit
		html := draw(t, r)
		for _, s := range c.says {
			has(t, html, s)
		}
	}
}

// Texts come from replicas, clients and options: none becomes a part of the page.
func TestHostileTexts(t *testing.T) {
	evil := `"><script>alert(1)</script>'</title></style></svg><img src=x onerror=alert(1)>` + "\x00\xff\u2028{{.}}"
	r := demo(5)
	plain := draw(t, r)
	r.Title, r.Program, r.TraceHash = evil, evil, evil
	r.Notes, r.Reproduce = []string{evil}, []string{evil}
	r.HistoryPage = "javascript:alert(1)"
	r.Violations = []Violation{{Invariant: evil, Text: evil}}
	for i := range r.Replicas {
		r.Replicas[i].Name, r.Replicas[i].Strategy = evil, evil
		r.Replicas[i].Samples[3].State = State(evil)
	}
	for i := range r.Faults {
		r.Faults[i].Kind, r.Faults[i].Detail = evil, evil
	}
	r.Phases[0].Name = evil
	r.Operations[0].Op, r.Operations[0].Outcome = OpName(evil), Outcome(evil)
	r.Coverage = []Counter{{Name: evil, Doc: evil}}
	r.Numbers = []Number{{Name: evil, Value: 1, Unit: evil}}
	r.Evidence = []Evidence{{Offence: evil, Text: evil}}
	r.Options = json.RawMessage(fmt.Sprintf(`{%q:%q}`, "</script>", "<script>"))
	html := draw(t, r)
	for _, tag := range []string{"<script", "</script", "<img", "</style", "</svg"} {
		require.Equal(t, strings.Count(plain, tag), strings.Count(html, tag), "%s came from a text", tag)
	}
	hasNot(t, html, "javascript:")
	has(t, html, "&lt;script&gt;alert(1)&lt;/script&gt;")
	_, data, _ := strings.Cut(html, `id="data">`)
	data, _, _ = strings.Cut(data, "</script>")
	var cursor cursorData
	require.NoError(t, json.Unmarshal([]byte(data), &cursor))
	require.Len(t, cursor.Replicas, 4)
}

// A run of which little is known is a page too.
func TestSparseRuns(t *testing.T) {
	has(t, draw(t, &Run{}), "No verdict")
	hasNot(t, draw(t, &Run{Verdict: Pass}), "<svg")
	html := draw(t, &Run{Verdict: Pass, Duration: time.Minute, Replicas: []Replica{{ID: 7}}, Buckets: []Bucket{{End: time.Minute, OK: 60, P50: time.Millisecond, P99: time.Second, Max: time.Second}}})
	has(t, html, "replica 7")
	has(t, html, "Throughput")
	hasNot(t, html, ">Height<")
}

// Long runs stay small enough to be looked at.
func TestLongRun(t *testing.T) {
	r := &Run{Verdict: Pass, Duration: time.Hour, Kind: Real}
	for i := range 13 {
		x := Replica{ID: i}
		for k := range 36000 {
			x.Samples = append(x.Samples, Sample{At: time.Duration(k) * 100 * time.Millisecond, State: []State{Up, Down}[k/1000%2], View: uint64(k / 50), Height: uint64(k * 3)})
		}
		r.Replicas = append(r.Replicas, x)
	}
	for k := range 20000 {
		r.Faults = append(r.Faults, Fault{Kind: fmt.Sprint("kind ", k%20), Begin: time.Duration(k) * 100 * time.Millisecond, End: time.Duration(k)*100*time.Millisecond + time.Second, Replicas: []int{k % 13}})
	}
	html := draw(t, r)
	require.Less(t, len(html), 8<<20)
	has(t, html, "17000 later faults are not drawn")
	has(t, html, "19000 more are in metrics.json")
}

// FuzzPage draws whatever a folder may say.
func FuzzPage(f *testing.F) {
	for _, r := range []*Run{{}, demo(1)} {
		r.Replicas, r.Operations = r.Replicas[:min(1, len(r.Replicas))], nil
		for i := range r.Replicas {
			r.Replicas[i].Samples = r.Replicas[i].Samples[:20]
		}
		data, err := json.Marshal(r)
		require.NoError(f, err)
		f.Add(data, []byte(`{"a":{"b":[1]}}`), []byte(`[{"client":-1,"op":"read","begin":5,"end":3,"outcome":"ok"}]`))
	}
	f.Add([]byte(`{"duration":-5,"faults":[{"begin":-9223372036854775808,"end":9223372036854775807}],"replicas":[{"samples":[{"at":9223372036854775807,"view":18446744073709551615,"height":18446744073709551615}]}],"buckets":[{"begin":5,"end":-5,"ok":-3}]}`), []byte(`nonsense`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, metrics, options, history []byte) {
		var r Run
		if json.Unmarshal(metrics, &r) != nil || json.Unmarshal(history, &r.Operations) != nil {
			return
		}
		r.Options = options
		hasNot(t, draw(t, &r), "ZgotmplZ")
		require.NoError(t, WriteRegisters(&bytes.Buffer{}, r.Operations))
		require.NoError(t, WriteTransactions(&bytes.Buffer{}, r.Operations))
	})
}
