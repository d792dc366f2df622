package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

//go:embed page.css
var styleText string

//go:embed page.js
var scriptText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Render draws a run as one HTML page that needs no other file and no network. It
// links to the files of the run's folder.
func Render(w io.Writer, r *Run) error {
	return render(w, r, func(string) bool { return true })
}

// policy lets the page load nothing and run only its own script. Frames are for
// porcupine's drawing.
var policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; frame-src 'self' file:; base-uri 'none'; form-action 'none'",
	sourceHash(styleText), sourceHash(scriptText))

func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func render(w io.Writer, r *Run, there func(file string) bool) error {
	return pageTemplate.Execute(w, newPage(r, there))
}

// page is what the template shows.
type page struct {
	Policy string
	Style  template.CSS
	Script template.JS

	Run       *Run
	Title     string
	Subtitle  string
	Class     string // of the verdict
	Heading   string
	Sentence  string
	Tiles     []tile
	Timeline  *timeline
	Buckets   []Bucket
	Data      *cursorData
	Kinds     []kindRow
	Faults    []faultRow
	FaultsOut int // rows left out
	Counters  []counterRow
	Absent    []counterRow // counters that may be 0, and are
	Never     int          // expected counters that never fired
	Numbers   []row
	Ops       []opRow
	Evidence  []evidenceRow
	Options   []row
	Files     []file
	Broken    []violationRow
	Porcupine string
}

type tile struct{ Name, Value, Note, Class string }

type row struct{ Name, Value string }

type kindRow struct {
	Name, Class          string
	Count                string
	Total, Longest, Whom string
}

type faultRow struct{ At, Lasted, Kind, Class, Whom, Detail string }

type counterRow struct {
	Name, Doc, Count string
	Class            string
	Mark             string
}

type opRow struct {
	Op                  string
	All, OK, Fail, Open string
	P50, P99, Max       string
}

type evidenceRow struct{ At, Finder, Culprit, Offence, Text, Class, Mark string }

type violationRow struct{ At, Invariant, Text string }

type file struct{ Name, What string }

const (
	defaultBuckets = 130
	maxFaultRows   = 1000
)

func newPage(r *Run, there func(string) bool) *page {
	p := &page{Policy: policy, Style: template.CSS(styleText), Script: template.JS(scriptText), Run: r}
	p.Buckets = r.Buckets
	if len(p.Buckets) == 0 {
		p.Buckets = Buckets(r.Operations, length(r), defaultBuckets)
	}
	p.Timeline = drawTimeline(r, p.Buckets)
	p.Data = newCursorData(r, p.Buckets)
	p.judge(r)
	p.title(r)
	p.faults(r)
	p.counters(r)
	p.operations(r)
	p.evidence(r)
	p.tiles(r)
	for _, n := range r.Numbers {
		p.Numbers = append(p.Numbers, row{n.Name, figure(n)})
	}
	p.Options = flatten(r.Options)
	p.files(r, there)
	return p
}

func (p *page) judge(r *Run) {
	var names []string
	for _, v := range r.Violations {
		p.Broken = append(p.Broken, violationRow{span(v.At), v.Invariant, v.Text})
		if v.Invariant != "" && !slices.Contains(names, v.Invariant) {
			names = append(names, v.Invariant)
		}
	}
	what := strings.Join(names, ", ")
	if what == "" {
		what = "a promise"
	}
	p.Class = string(r.Verdict)
	switch {
	case r.Verdict == Beyond:
		p.Heading = "Beyond the bound"
		p.Sentence = "More replicas lied than are promised to be tolerated, and nothing was broken all the same."
		if len(r.Violations) > 0 {
			p.Sentence = fmt.Sprintf("More replicas lied than are promised to be tolerated: %s fell, as it may. %s.", what, p.guilty(r))
		}
	case len(r.Violations) > 0 || r.Verdict == Broken:
		p.Class, p.Heading, p.Sentence = string(Broken), "Broken", "What is promised was not kept: "+what+"."
	case r.Verdict == Undecided:
		p.Heading, p.Sentence = "Undecided", "Nothing is known to be broken, but not all of it was judged."
	case r.Verdict == Pass:
		p.Heading, p.Sentence = "Passed", "Everything that is promised was kept."
	default:
		p.Class, p.Heading, p.Sentence = string(Undecided), "No verdict", "The run was not judged."
	}
}

// guilty says whom the evidence names.
func (p *page) guilty(r *Run) string {
	named, framed := map[int]bool{}, false
	for _, e := range r.Evidence {
		named[e.Culprit] = true
		framed = framed || !traitor(r, e.Culprit)
	}
	switch {
	case framed:
		return "The evidence names an honest replica, which it must never"
	case len(named) == 0:
		return "No evidence was found"
	case len(named) == 1:
		return "The evidence names 1 traitor and nobody honest"
	}
	return fmt.Sprintf("The evidence names %d traitors and nobody honest", len(named))
}

func traitor(r *Run, id int) bool {
	for i := range r.Replicas {
		if r.Replicas[i].ID == id {
			return r.Replicas[i].Traitor
		}
	}
	return false
}

func (p *page) title(r *Run) {
	kind := "A cluster"
	switch r.Kind {
	case Simulated:
		kind = "A simulated cluster"
	case Real:
		kind = "Real processes"
	}
	p.Title = fmt.Sprintf("seed %d", r.Seed)
	if r.Title != "" {
		p.Title = r.Title + ", " + p.Title
	}
	parts := []string{kind}
	if n := len(r.Replicas); n > 0 {
		parts = append(parts, fmt.Sprintf("%d replicas", n))
		var lie []string
		for i := range r.Replicas {
			if x := &r.Replicas[i]; x.Traitor {
				text := fmt.Sprint(x.ID)
				if x.Strategy != "" {
					text += " (" + x.Strategy + ")"
				}
				lie = append(lie, text)
			}
		}
		switch len(lie) {
		case 0:
			parts = append(parts, "all of them honest")
		case 1:
			parts = append(parts, "replica "+lie[0]+" is a traitor")
		default:
			parts = append(parts, "replicas "+strings.Join(lie, ", ")+" are traitors")
		}
	}
	if !r.Started.IsZero() {
		parts = append(parts, r.Started.UTC().Format("2006-01-02 15:04 MST"))
	}
	if r.Program != "" {
		parts = append(parts, r.Program)
	}
	p.Subtitle = strings.Join(parts, " · ")
}

func (p *page) faults(r *Run) {
	k := kindsOf(r)
	rows := map[string]*kindRow{}
	whom := map[string]map[int]bool{}
	total, longest, n := map[string]time.Duration{}, map[string]time.Duration{}, map[string]int{}
	for i := range r.Faults {
		f := &r.Faults[i]
		d := max(0, f.End-f.Begin)
		n[f.Kind]++
		total[f.Kind] += d
		longest[f.Kind] = max(longest[f.Kind], d)
		if whom[f.Kind] == nil {
			whom[f.Kind] = map[int]bool{}
		}
		for _, id := range f.Replicas {
			whom[f.Kind][id] = true
		}
		if len(p.Faults) < maxFaultRows {
			p.Faults = append(p.Faults, faultRow{At: span(f.Begin), Lasted: lasted(d), Kind: f.Kind, Class: k.class(f.Kind), Whom: list(f.Replicas), Detail: f.Detail})
		}
	}
	p.FaultsOut = len(r.Faults) - len(p.Faults)
	for name, times := range r.Injected {
		n[name] = max(n[name], times)
	}
	for _, name := range k.names {
		rows[name] = &kindRow{Name: name, Class: k.class(name), Count: count(n[name]), Total: lasted(total[name]), Longest: lasted(longest[name]), Whom: list(slices.Sorted(maps.Keys(whom[name])))}
	}
	slices.SortStableFunc(k.names, func(a, b string) int { return cmp.Compare(n[b], n[a]) })
	for _, name := range k.names {
		p.Kinds = append(p.Kinds, *rows[name])
	}
}

func lasted(d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	return span(d)
}

func list(ids []int) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = fmt.Sprint(id)
	}
	return strings.Join(text, ", ")
}

// counters puts those that never fired first.
func (p *page) counters(r *Run) {
	for _, c := range r.Coverage {
		x := counterRow{Name: c.Name, Doc: c.Doc, Count: count(c.Count)}
		if c.Count == 0 && !c.Expected {
			p.Absent = append(p.Absent, x)
			continue
		}
		if c.Count == 0 {
			x.Class, x.Mark = "never", "never fired"
			p.Never++
		}
		p.Counters = append(p.Counters, x)
	}
	slices.SortStableFunc(p.Counters, func(a, b counterRow) int { return cmp.Compare(len(b.Class), len(a.Class)) })
}

func (p *page) operations(r *Run) {
	type sums struct {
		outcomes map[Outcome]int
		took     []time.Duration
	}
	by := map[OpName]*sums{}
	for i := range r.Operations {
		o := &r.Operations[i]
		for _, name := range []OpName{o.Op, ""} {
			s := by[name]
			if s == nil {
				s = &sums{outcomes: map[Outcome]int{}}
				by[name] = s
			}
			if o.Outcome == OK {
				s.took = append(s.took, o.Latency())
			}
			s.outcomes[known(o.Outcome)]++
		}
	}
	names := slices.Sorted(maps.Keys(by))
	if len(names) > 0 {
		names = append(names[1:], names[0]) // the sum last
	}
	for _, name := range names {
		s := by[name]
		slices.Sort(s.took)
		x := opRow{Op: string(name), OK: count(s.outcomes[OK]), Fail: count(s.outcomes[Failed]), Open: count(s.outcomes[Unknown]), All: count(s.outcomes[OK] + s.outcomes[Failed] + s.outcomes[Unknown])}
		if name == "" {
			x.Op = "all"
		}
		x.P50, x.P99, x.Max = lasted(Quantile(s.took, 0.5)), lasted(Quantile(s.took, 0.99)), lasted(Quantile(s.took, 1))
		p.Ops = append(p.Ops, x)
	}
}

// known makes three outcomes of any.
func known(o Outcome) Outcome {
	if o == OK || o == Failed {
		return o
	}
	return Unknown
}

func (p *page) evidence(r *Run) {
	for _, e := range r.Evidence {
		x := evidenceRow{At: span(e.At), Culprit: fmt.Sprint(e.Culprit), Finder: fmt.Sprint(e.Finder), Offence: e.Offence, Text: e.Text, Mark: "a traitor"}
		if e.Finder < 0 {
			x.Finder = "–"
		}
		if !traitor(r, e.Culprit) {
			x.Class, x.Mark = "never", "honest!"
		}
		p.Evidence = append(p.Evidence, x)
	}
}

func (p *page) files(r *Run, there func(string) bool) {
	for _, f := range []file{
		{TraceFile, "everything that happened, a line each"},
		{OptionsFile, "what the run was made of"},
		{HistoryFile, "what the clients did and saw"},
		{RegistersFile, "the same as Jepsen writes it, for Knossos"},
		{TransactionsFile, "the same as transactions, for Elle"},
		{MetricsFile, "timelines, faults, counters, verdict"},
	} {
		if there(f.Name) {
			p.Files = append(p.Files, f)
		}
	}
	// Only a file of this folder: never an address.
	if h := r.HistoryPage; h == HistoryPageFile && there(h) {
		p.Porcupine = h
		p.Files = append(p.Files, file{h, "porcupine's drawing of the history"})
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
