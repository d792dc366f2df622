package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// timeline is the drawing: lanes of faults and replicas and charts over one axis
// of time.
type timeline struct {
	Width, Height px
	Left, Right   px
	PanelWidth    px
	Top, Bottom   px // of everything below the axis
	Ticks         []tick
	AxisTop       px
	AxisBottom    px
	Phases        []box
	Kinds         []kindLane
	Replicas      []replicaLane
	Bands         []box // faults, behind the charts
	BandsTop      px
	BandsClass    string
	Charts        []chart
	Violations    []box
	FaultsTitle   px // baseline of the heading, 0 for none
	ReplicasTitle px
	Omitted       int // faults that are not drawn
}

// box is a rectangle with a text to show for it.
type box struct {
	X, Y, W, H px
	Class      string
	Title      string
	Label      string // within, if there is room
	LabelX     px
	LabelY     px
}

type kindLane struct {
	Name  string
	Count string
	Class string
	Y     px // baseline of the name
	Boxes []box
}

type replicaLane struct {
	Name   string
	Class  string
	Y      px
	Note   string // traitors' strategy
	States []box
	Hits   []box
	Views  []tick // where the view changed
	// Where the label, and the mark of a view begin and end; the colour's place.
	ViewY, ViewTop, ViewBottom, SwatchY px
}

// chart is one panel with curves.
type chart struct {
	Title, Caption string
	Y, H           px // of the panel
	TitleY         px
	CaptionY       px
	Marks          []mark
	Curves         []curve
	Bars           []box
}

type mark struct {
	Y     px
	TextY px
	Label string
}

type curve struct {
	Class string
	Path  string
	Title string
}

// The most that is drawn; more would only be slower to look at.
const (
	maxDrawnFaults = 3000
	maxLanes       = 64
)

// kinds gives every kind of fault a number, for its colour.
type kinds struct {
	names []string
	index map[string]int
}

func kindsOf(r *Run) kinds {
	k := kinds{index: map[string]int{}}
	for i := range r.Faults {
		k.add(r.Faults[i].Kind)
	}
	for _, name := range sortedKeys(r.Injected) {
		k.add(name)
	}
	slices.Sort(k.names)
	for i, name := range k.names {
		k.index[name] = i
	}
	return k
}

func (k *kinds) add(name string) {
	if _, ok := k.index[name]; !ok {
		k.index[name] = 0
		k.names = append(k.names, name)
	}
}

// colours is how many colours for kinds and for replicas the style has.
const colours = 14

func (k *kinds) class(name string) string { return fmt.Sprintf("k%d", k.index[name]%colours) }

func replicaClass(i int) string { return fmt.Sprintf("r%d", i%colours) }

// states are the states that have a colour.
var states = map[State]bool{Up: true, Down: true, Paused: true, Follower: true, Traitor: true}

func stateClass(s State) string {
	if states[s] {
		return "s-" + string(s)
	}
	return "s-other"
}

// length is how long the axis is: to the end of the run, or of what happened.
func length(r *Run) time.Duration {
	if r.Duration > 0 {
		return r.Duration
	}
	var end time.Duration
	for i := range r.Replicas {
		for _, s := range r.Replicas[i].Samples {
			end = max(end, s.At)
		}
	}
	for _, f := range r.Faults {
		end = max(end, f.Begin, f.End)
	}
	for i := range r.Operations {
		end = max(end, r.Operations[i].End)
	}
	for _, b := range r.Buckets {
		end = max(end, b.End)
	}
	return end
}

// drawTimeline draws what there is of a run; nil if nothing has a time.
func drawTimeline(r *Run, buckets []Bucket) *timeline {
	a := axis{length(r)}
	if a.total <= 0 {
		return nil
	}
	d := &drawing{timeline: timeline{Width: width, Left: left, Right: right, PanelWidth: right - left, AxisTop: 16, Ticks: a.ticks()}, axis: a, run: r, kinds: kindsOf(r)}
	d.y = 24
	d.Top = d.y
	d.faults = slices.Clone(r.Faults)
	slices.SortStableFunc(d.faults, func(x, y Fault) int { return cmp.Compare(x.Begin, y.Begin) })
	if len(d.faults) > maxDrawnFaults {
		d.Omitted = len(d.faults) - maxDrawnFaults
		d.faults = d.faults[:maxDrawnFaults]
	}
	d.drawPhases()
	d.drawKinds()
	d.drawReplicas()
	d.BandsTop = d.y
	d.drawViews()
	d.drawHeights()
	d.drawThroughput(buckets)
	d.drawLatency(buckets)
	d.drawBands()
	d.drawViolations()
	d.Bottom = d.y
	d.AxisBottom = d.y + 14
	d.Height = d.y + 22
	return &d.timeline
}

// drawing is a timeline that is being drawn, from top to bottom.
type drawing struct {
	timeline
	axis   axis
	run    *Run
	kinds  kinds
	faults []Fault
	y      px
}

func (d *drawing) drawPhases() {
	for i, p := range d.run.Phases {
		b := d.box(p.Begin, p.End, d.y, 16, fmt.Sprintf("phase p%d", i%2))
		b.Title = fmt.Sprintf("%s: %s to %s", p.Name, span(p.Begin), span(p.End))
		b.fit(p.Name, 11)
		d.Phases = append(d.Phases, b)
	}
	if len(d.Phases) > 0 {
		d.y += 22
	}
}

// box is a stretch of time, at least so wide that it can be seen.
func (d *drawing) box(begin, end time.Duration, y, h px, class string) box {
	x, to := d.axis.x(begin), d.axis.x(max(begin, end))
	w := max(to-x, 2)
	return box{X: min(x, right-w), Y: y, W: w, H: h, Class: class}
}

// fit writes a label into the box if there is room for it.
func (b *box) fit(label string, size px) {
	if px(len([]rune(label)))*size*0.58+8 <= b.W {
		b.Label, b.LabelX, b.LabelY = label, b.X+b.W/2, b.Y+b.H/2+size*0.36
	}
}

func (d *drawing) drawKinds() {
	if len(d.faults) == 0 {
		return
	}
	d.y += 14
	d.FaultsTitle = d.y
	d.y += 8
	by := map[string][]Fault{}
	for _, f := range d.faults {
		by[f.Kind] = append(by[f.Kind], f)
	}
	for _, name := range d.kinds.names {
		list := by[name]
		if len(list) == 0 {
			continue
		}
		lane := kindLane{Name: shorten(name, 19), Count: fmt.Sprintf("%s: %d", name, len(list)), Class: d.kinds.class(name), Y: d.y + 10}
		for i := range list {
			b := d.box(list[i].Begin, list[i].End, d.y+1, 11, lane.Class)
			b.Title = d.faultText(&list[i])
			b.fit(d.who(list[i].Replicas), 9)
			lane.Boxes = append(lane.Boxes, b)
		}
		d.Kinds = append(d.Kinds, lane)
		d.y += 15
		if len(d.Kinds) == maxLanes {
			break
		}
	}
	d.y += 6
}

// who names replicas, "" for all.
func (d *drawing) who(ids []int) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = fmt.Sprint(id)
	}
	return strings.Join(text, ",")
}

func (d *drawing) faultText(f *Fault) string {
	text := f.Kind
	if len(f.Replicas) > 0 {
		text += " of " + d.who(f.Replicas)
	}
	text += ", " + span(f.Begin)
	if f.End > f.Begin {
		text += " to " + span(f.End)
	}
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	return text
}

func (d *drawing) drawReplicas() {
	if len(d.run.Replicas) == 0 {
		return
	}
	d.y += 14
	d.ReplicasTitle = d.y
	d.y += 8
	for i := range d.run.Replicas[:min(len(d.run.Replicas), maxLanes)] {
		r := &d.run.Replicas[i]
		lane := replicaLane{Name: shorten(replicaName(r), 17), Class: replicaClass(i), Y: d.y + 12, ViewY: d.y + 11.5, ViewTop: d.y + 1, ViewBottom: d.y + 15, SwatchY: d.y + 4}
		if r.Traitor {
			lane.Note = "traitor"
			if r.Strategy != "" {
				lane.Note = "traitor: " + r.Strategy
			}
		}
		d.states(&lane, samplesOf(r))
		for k := range d.faults {
			f := &d.faults[k]
			// What happens to everybody at once would hide the rest.
			if slices.Contains(f.Replicas, r.ID) {
				b := d.box(f.Begin, f.End, d.y+16, 5, d.kinds.class(f.Kind))
				b.Title = d.faultText(f)
				lane.Hits = append(lane.Hits, b)
			}
		}
		d.Replicas = append(d.Replicas, lane)
		d.y += 25
	}
	d.y += 4
}

func replicaName(r *Replica) string {
	if r.Name != "" {
		return r.Name
	}
	return fmt.Sprintf("replica %d", r.ID)
}

// samplesOf returns the samples in the order of time.
func samplesOf(r *Replica) []Sample {
	s := slices.Clone(r.Samples)
	slices.SortStableFunc(s, func(a, b Sample) int { return cmp.Compare(a.At, b.At) })
	return s
}

// states draws the stretches of one state, and where the view changed.
func (d *drawing) states(lane *replicaLane, samples []Sample) {
	for i := 0; i < len(samples); {
		k := i + 1
		for k < len(samples) && samples[k].State == samples[i].State {
			k++
		}
		end := d.axis.total
		if k < len(samples) {
			end = samples[k].At
		}
		b := d.box(samples[i].At, end, d.y+1, 14, stateClass(samples[i].State))
		b.Title = fmt.Sprintf("%s, %s from %s to %s, view %d, height %d", lane.Name, samples[i].State, span(samples[i].At), span(end), samples[k-1].View, samples[k-1].Height)
		if s := samples[i].State; s != Up && s != Traitor {
			b.fit(string(s), 9)
		}
		lane.States = append(lane.States, b)
		i = k
	}
	d.views(lane, samples)
}

// views marks where the view changed, with its number where there is room before
// the next mark or state.
func (d *drawing) views(lane *replicaLane, samples []Sample) {
	var next px = right
	for i := len(samples) - 1; i > 0; i-- {
		s, before := samples[i], samples[i-1]
		at := d.axis.x(s.At)
		if s.View > before.View && s.State != Down {
			t := tick{At: at}
			if label := fmt.Sprintf("v%d", s.View); next-at > px(6+6*len(label)) {
				t.Label = label
			}
			lane.Views = append(lane.Views, t)
			next = at
		}
		if s.State != before.State {
			next = at
		}
	}
	slices.Reverse(lane.Views)
}

// drawBands draws faults behind the charts.
func (d *drawing) drawBands() {
	if len(d.Charts) == 0 {
		return
	}
	// Many on each other would hide the curves.
	if d.BandsClass = "bands"; len(d.faults) > 25 {
		d.BandsClass = "bands many"
	}
	for i := range d.faults {
		f := &d.faults[i]
		b := d.box(f.Begin, f.End, d.BandsTop, d.y-d.BandsTop, d.kinds.class(f.Kind))
		b.Title = d.faultText(f)
		d.Bands = append(d.Bands, b)
	}
}

// drawViolations marks when a promise was broken.
func (d *drawing) drawViolations() {
	for _, v := range d.run.Violations[:min(len(d.run.Violations), 50)] {
		d.Violations = append(d.Violations, box{X: d.axis.x(v.At), Title: fmt.Sprintf("%s at %s", v.Invariant, span(v.At))})
	}
}

// shorten cuts a text for a narrow place.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
