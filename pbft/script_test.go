package pbft

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/parley-bft/parley/crypto"
)

// TestScripts runs the situations in testdata: a command, then what must be seen.
// testdata/README.md explains the commands. What matters most in a script stands in
// a "require" command, which no -rewrite can talk away.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t, s.d = t, d
			s.lines = nil
			s.command()
			if s.w != nil {
				s.healthy()
			}
			return strings.Join(s.lines, "\n")
		})
	})
}

// script is a world with names, a log of what was sent, and traitors whose moves
// the commands spell out.
type script struct {
	t *testing.T
	d *datadriven.TestData
	w *world

	names    *aliases
	blocks   map[string]*PrePrepare
	newViews map[string]*NewView
	certs    map[string]*Certificate
	requests map[string]*Request
	nextReq  int

	// What was sent on the network, by anybody.
	votes  map[Statement]map[ReplicaID]*Vote
	claims map[View]map[ReplicaID]*ViewChange
	points map[CheckpointStatement]map[ReplicaID]*CheckpointVote

	traitors map[ReplicaID]bool
	rules    []filter
	delays   []filter
	slow     []latency
	decoded  map[*byte]Message
	sentAt   map[*byte]int // tick at which a packet was first seen waiting
	ticks    int
	expected bool // alarms are expected
	lines    []string
	effects  []effect
	before   map[ReplicaID]snapshot
}

// effect is something that a node did, for the output.
type effect struct {
	at   ReplicaID
	what string
}

// snapshot is what is compared before and after each event.
type snapshot struct {
	view               View
	entered, open      bool
	suspects           uint32
	stable             Height
	follower, transfer bool
	dropped            [messageKinds][Drops]uint64
	requests           [Drops]uint64
}

// filter selects packets.
type filter struct {
	from, to, kind, block []string
	view                  []string
}

func (s *script) printf(format string, args ...any) {
	s.lines = append(s.lines, strings.TrimRight(fmt.Sprintf(format, args...), " \n"))
}

// errorf fails the test. While scripts are rewritten it only writes the failure into
// the output, to be seen there.
func (s *script) errorf(format string, args ...any) {
	s.printf("FAILED: "+format, args...)
	if f := flag.Lookup("rewrite"); f == nil || f.Value.String() != "true" {
		s.t.Errorf(format, args...)
	}
}

func (s *script) note(at ReplicaID, format string, args ...any) {
	s.effects = append(s.effects, effect{at, fmt.Sprintf(format, args...)})
}

// args of the command.

func (s *script) strings(key string) []string {
	a, ok := s.d.Arg(key)
	if !ok {
		return nil
	}
	return a.Vals
}

func (s *script) has(key string) bool { return s.d.HasArg(key) }

func (s *script) text(key, otherwise string) string {
	if v := s.strings(key); len(v) == 1 {
		return v[0]
	}
	return otherwise
}

func (s *script) number(key string, otherwise int) int {
	v := s.text(key, "")
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		s.t.Fatalf("%s: %s=%s is no number", s.d.Pos, key, v)
	}
	return n
}

func (s *script) ids(key string) []ReplicaID {
	var out []ReplicaID
	for _, v := range s.strings(key) {
		n, err := strconv.Atoi(v)
		if err != nil || s.w != nil && n >= s.w.n() {
			s.t.Fatalf("%s: %s=%s is no replica", s.d.Pos, key, v)
		}
		out = append(out, ReplicaID(n))
	}
	return out
}

// nodes are those named as bare arguments; all honest ones that are up if none is.
func (s *script) nodes() []*testNode {
	var out []*testNode
	for _, a := range s.d.CmdArgs {
		if n, err := strconv.Atoi(a.Key); err == nil && len(a.Vals) == 0 {
			out = append(out, s.w.nodes[n])
		}
	}
	for _, id := range s.ids("nodes") {
		out = append(out, s.w.nodes[id])
	}
	if out == nil {
		for _, n := range s.w.nodes {
			if n.up && !s.traitors[n.id] {
				out = append(out, n)
			}
		}
	}
	return out
}

func (s *script) duration(key string) time.Duration {
	d, err := time.ParseDuration(s.text(key, "0s"))
	if err != nil {
		s.t.Fatalf("%s: %v", s.d.Pos, err)
	}
	return d
}

func (s *script) command() {
	commands := map[string]func(){
		"cluster": s.cluster, "traitor": s.traitor, "submit": s.submit, "queue": s.queue,
		"deliver": s.deliver, "drop": s.drop, "settle": s.settle, "run": s.run, "until": s.until,
		"crash": s.crash, "restart": s.restart, "wipe": s.wipe, "hold-execution": s.hold, "release": s.release,
		"lose": s.lose, "corrupt": s.corrupt, "delay": s.delay, "latency": s.latency, "crash-at": s.crashAt, "expect-fork": s.expectFork, "blame": s.blame, "heal": s.heal, "isolate": s.isolate, "partition": s.partition, "clock": s.clock, "skew": s.skew,
		"block": s.block, "cert": s.cert, "claim": s.claim, "newview": s.newView, "send": s.send,
		"state": s.state, "describe": s.describe, "require": s.require, "evidence": s.evidence, "log": s.log, "expect-alarms": s.expectAlarms,
	}
	f := commands[s.d.Cmd]
	if f == nil {
		s.t.Fatalf("%s: unknown command %s", s.d.Pos, s.d.Cmd)
	}
	if s.w == nil && s.d.Cmd != "cluster" {
		s.t.Fatalf("%s: no cluster yet", s.d.Pos)
	}
	f()
	s.flush("")
	if s.lines == nil {
		s.printf("ok")
	}
}

// healthy fails the test on what no script may bring about: disagreement, an honest
// node that contradicts itself or is accused, an alarm.
func (s *script) healthy() {
	for _, b := range s.w.broken {
		if !s.has("fork") { // expect-fork comes next
			s.errorf("%s: %s", s.d.Pos, s.rename(b))
		}
	}
	for _, n := range s.w.nodes {
		for _, a := range n.alarms {
			if !s.expected {
				s.errorf("%s: replica %d: alarm %s", s.d.Pos, n.id, a)
			}
		}
		for _, e := range n.evidence {
			if !s.traitors[e.Culprit] {
				s.errorf("%s: an honest replica is accused: %v", s.d.Pos, e)
			}
		}
	}
}

func (s *script) expectAlarms() { s.expected = true }

func (s *script) cluster() {
	weights := equalWeights(s.number("n", 4))
	if list := s.strings("weights"); list != nil {
		weights = nil
		for _, v := range list {
			x, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				s.t.Fatalf("%s: %v", s.d.Pos, err)
			}
			weights = append(weights, x)
		}
	}
	*s = script{t: s.t, d: s.d, blocks: map[string]*PrePrepare{}, newViews: map[string]*NewView{}, certs: map[string]*Certificate{},
		requests: map[string]*Request{}, votes: map[Statement]map[ReplicaID]*Vote{}, claims: map[View]map[ReplicaID]*ViewChange{},
		points: map[CheckpointStatement]map[ReplicaID]*CheckpointVote{}, traitors: map[ReplicaID]bool{}, sentAt: map[*byte]int{}, decoded: map[*byte]Message{}, before: map[ReplicaID]snapshot{}}
	s.w = newWorld(weights, 1, func(c *Config) {
		c.Window = Height(s.number("window", int(c.Window)))
		c.CheckpointEvery = Height(s.number("checkpoint-every", int(c.CheckpointEvery)))
		c.LogMax = Height(s.number("log-max", int(2*c.CheckpointEvery+c.Window)))
		c.Retain = Height(s.number("retain", int(c.Retain)))
		c.MaxBlockRequests = s.number("block-requests", c.MaxBlockRequests)
		c.MaxPoolPerClient = s.number("pool-per-client", c.MaxPoolPerClient)
		c.Timeouts.RotateEvery = s.number("rotate-every", 0)
		c.Timeouts.ReceiptDelay = s.number("receipt-delay", c.Timeouts.ReceiptDelay)
		c.Timeouts.RequestAge = s.number("request-age", c.Timeouts.RequestAge)
		c.Timeouts.Progress = s.number("progress", c.Timeouts.Progress)
		if s.has("checkpoint-gap") {
			c.MinCheckpointGap = s.duration("checkpoint-gap")
		}
	})
	s.names = newAliases(s.w.base.Start.Digest())
	s.w.honest = func(id ReplicaID) bool { return !s.traitors[id] }
	s.w.onSend = func(from ReplicaID, m Message) { s.record(from, m) }
	s.w.watch()
	s.w.onDrop = func(at ReplicaID, m Message, why Drop) {
		if why != DropDuplicate && why != DropHeight && why != DropOldView {
			s.note(at, "drops %s: %v", s.sketch(m), why)
		}
	}
	s.w.trace = s.onTrace
	s.w.settle(nil)
	s.w.tick()
	s.w.settle(nil)
	for _, n := range s.w.nodes {
		s.before[n.id] = s.look(n)
	}
	s.printf("n=%d quorum=%d blocking=%d window=%d checkpoint-every=%d", s.w.n(), s.w.quorums.QuorumWeight(), s.w.quorums.BlockingWeight(), s.w.base.Window, s.w.base.CheckpointEvery)
}

// onTrace takes what the world tells and puts it into the script's words.
func (s *script) onTrace(format string, args ...any) {
	switch format {
	case "%d executes %v":
		b := args[1].(*Block)
		s.note(args[0].(ReplicaID), "executes %s", s.blockText(b))
	case "%d installs %v":
		s.note(args[0].(ReplicaID), "installs the state at %s", s.names.ref(args[1].(BlockRef)))
	case "%d repairs from %v":
		s.note(args[0].(ReplicaID), "repairs its state from %s", s.names.ref(args[1].(BlockRef)))
	case "%d begins anew":
		s.note(args[0].(ReplicaID), "begins with the first block once more")
	case "%d healed %d":
		s.note(args[0].(ReplicaID), "is healed of the divergence at %d", args[1])
	case "%d ALARM %s":
		s.note(args[0].(ReplicaID), "ALARM %s", s.rename(args[1].(string)))
	case "%d %v":
		s.note(args[0].(ReplicaID), "%v", args[1])
	case "%d refuses %s: %v":
		s.note(args[0].(ReplicaID), "refuses %v", args[2])
	}
}

// rename puts names in the place of the digests in a text.
func (s *script) rename(text string) string {
	for d, n := range s.names.of { // replacements do not overlap
		text = strings.ReplaceAll(text, d.String(), n)
	}
	return text
}

// record keeps what goes over the network, for traitors to use, and names things.
func (s *script) record(from ReplicaID, m Message) {
	switch m := m.(type) {
	case *PrePrepare:
		s.nameBlock(m)
	case *Blocks:
		for _, p := range m.Blocks {
			s.nameBlock(p)
		}
	case *Vote:
		if s.votes[m.Statement] == nil {
			s.votes[m.Statement] = map[ReplicaID]*Vote{}
		}
		s.votes[m.Statement][m.Signer] = m
	case *CheckpointVote:
		if s.points[m.CheckpointStatement] == nil {
			s.points[m.CheckpointStatement] = map[ReplicaID]*CheckpointVote{}
		}
		s.points[m.CheckpointStatement][m.Signer] = m
	case *ViewChange:
		s.keepClaim(m)
	case *NewView:
		s.nameNewView(m)
	}
}

func (s *script) keepClaim(m *ViewChange) {
	if s.claims[m.View] == nil {
		s.claims[m.View] = map[ReplicaID]*ViewChange{}
	}
	s.claims[m.View][m.Signer] = m
}

func (s *script) nameBlock(p *PrePrepare) string {
	name := s.names.give(p.Digest(), strconv.Itoa(int(p.Height)))
	if old := s.blocks[name]; old == nil || old.Signature == (crypto.Signature{}) {
		s.blocks[name] = p
	}
	return name
}

func (s *script) nameNewView(n *NewView) string {
	name := s.names.give(n.Digest(), fmt.Sprintf("N%d", n.View))
	if s.newViews[name] == nil {
		s.newViews[name] = n
	}
	return name
}

func (s *script) requestName(r *Request) string {
	if n, ok := s.names.of[r.Digest()]; ok {
		return n
	}
	return "r?"
}

func (s *script) requestList(rs []*Request) string {
	var out []string
	for _, r := range rs {
		out = append(out, s.requestName(r))
	}
	return strings.Join(out, " ")
}

func (s *script) blockText(b *Block) string {
	text := s.nameBlock(&PrePrepare{Block: b}) + " [" + s.requestList(b.Requests) + "]"
	if b.Checkpoint {
		text += " flagged"
	}
	return text
}

// kindOf is the name of a message in filters and output.
func kindOf(m Message) string {
	switch m := m.(type) {
	case *Vote:
		return m.Phase.String()
	case *Certificate:
		return m.Phase.String() + "QC"
	case *CheckpointVote:
		return "Checkpoint"
	}
	return m.Kind().String()
}

// sketch is a message in one short line.
func (s *script) sketch(m Message) string {
	k := kindOf(m)
	switch m := m.(type) {
	case *PrePrepare:
		return fmt.Sprintf("%s v%d %s", k, m.View, s.blockText(m.Block))
	case *Vote:
		return fmt.Sprintf("%s v%d %s%s", k, m.View, s.names.ref(m.Ref()), s.under(m.NewView))
	case *Certificate:
		return fmt.Sprintf("%s v%d %s%s", k, m.View, s.names.ref(m.Ref()), s.under(m.NewView))
	case *CheckpointVote:
		return fmt.Sprintf("%s %s", k, s.names.ref(BlockRef{m.Height, m.Block}))
	case *Bundle:
		return fmt.Sprintf("%s %s", k, s.names.ref(m.Ref()))
	case *ViewChange:
		return fmt.Sprintf("%s v%d claims %v %s", k, m.View, m.High, s.names.ref(m.Ref()))
	case *NewView:
		base, _ := Base(m)
		var who []string
		for _, c := range m.Claims {
			who = append(who, fmt.Sprint(c.Signer))
		}
		return fmt.Sprintf("%s v%d %s base %s from %s", k, m.View, s.nameNewView(m), s.names.ref(base), strings.Join(who, ","))
	case *Status:
		text := fmt.Sprintf("%s v%d", k, m.View)
		for _, f := range []struct {
			on   bool
			name string
		}{{m.Entered, "entered"}, {m.Open, "open"}, {m.Suspect, "SUSPECT"}, {m.Follower, "follower"}, {m.Reply, "reply"}} {
			if f.on {
				text += " " + f.name
			}
		}
		return fmt.Sprintf("%s tip:%s high:%v committed:%d executed:%d stable:%d", text, s.names.ref(m.Tip), m.High, m.Committed, m.Executed, m.Stable)
	case *Heartbeat:
		return fmt.Sprintf("%s v%d", k, m.View)
	case *GetBlocks:
		if m.Digest.IsZero() {
			return fmt.Sprintf("%s from %d", k, m.From)
		}
		return fmt.Sprintf("%s %s down to %d", k, s.names.ref(BlockRef{m.Height, m.Digest}), m.From)
	case *Blocks:
		var out []string
		for _, p := range m.Blocks {
			out = append(out, s.nameBlock(p))
		}
		text := k + " " + strings.Join(out, " ")
		if m.Certificate != nil {
			text += " under " + s.sketch(m.Certificate)
		}
		return text
	case *Forward:
		return fmt.Sprintf("%s %s", k, s.requestList(m.Requests))
	case *Evidence:
		return fmt.Sprintf("%s %v by %d", k, m.Offence, m.Culprit)
	}
	return k
}

func (s *script) under(d Digest) string {
	if d.IsZero() {
		return ""
	}
	return " under " + s.names.name(d)
}

// look reads what is compared.
func (s *script) look(n *testNode) snapshot {
	c := n.core
	return snapshot{c.View(), c.Entered(), c.Open(), c.suspicion.mask, c.Stable(), c.IsFollower(), c.transfer != nil, c.counters.Dropped, c.counters.DroppedRequest}
}

// compare notes what changed at a node.
func (s *script) compare(n *testNode) {
	if !n.up {
		return
	}
	old, now := s.before[n.id], s.look(n)
	s.before[n.id] = now
	if now.view != old.view {
		old.entered, old.open, old.suspects = false, false, 0
		s.note(n.id, "is in view %d", now.view)
	}
	if now.entered && !old.entered {
		name := s.names.name(n.core.durable.NewView)
		s.note(n.id, "entered view %d by %s", now.view, name)
	}
	if now.open && !old.open {
		s.note(n.id, "view %d is open", now.view)
	}
	for why := range SuspicionCauses {
		bit := uint32(1) << why
		if now.suspects&bit != 0 && old.suspects&bit == 0 {
			s.note(n.id, "suspects: %v", why)
		}
		if now.suspects&bit == 0 && old.suspects&bit != 0 {
			s.note(n.id, "withdraws: %v", why)
		}
	}
	if now.stable != old.stable {
		s.note(n.id, "checkpoint %d is stable", now.stable)
	}
	if now.transfer && !old.transfer {
		s.note(n.id, "asks for the state at %d", n.core.transfer.Height())
	}
	if old.follower && !now.follower {
		s.note(n.id, "takes part again")
	}
	for k := range now.dropped {
		for d := range now.dropped[k] {
			if now.dropped[k][d] > old.dropped[k][d] && Drop(d) != DropDuplicate && Drop(d) != DropOldView && MessageKind(k) != KindHeartbeat {
				s.note(n.id, "drops %v: %v", MessageKind(k), Drop(d))
			}
		}
	}
	for d := range now.requests {
		if now.requests[d] > old.requests[d] && Drop(d) != DropDuplicate {
			s.note(n.id, "drops a request: %v", Drop(d))
		}
	}
}

// flush prints the effects, those of several nodes on one line.
func (s *script) flush(label string) {
	var order []string
	who := map[string][]string{}
	for _, e := range s.effects {
		if who[e.what] == nil {
			order = append(order, e.what)
		}
		if id := fmt.Sprint(e.at); !slices.Contains(who[e.what], id) {
			who[e.what] = append(who[e.what], id)
		}
	}
	s.effects = nil
	for _, what := range order {
		slices.Sort(who[what])
		s.printf("%s  %s: %s", label, strings.Join(who[what], ","), what)
	}
}

func (s *script) decode(p packet) Message {
	if m := s.decoded[&p.data[0]]; m != nil {
		return m
	}
	_, m, err := Decode(p.data)
	if err != nil {
		s.t.Fatalf("%s: %v", s.d.Pos, err)
	}
	s.decoded[&p.data[0]] = m
	return m
}

// match tells whether a packet is meant. An empty filter means all.
func (s *script) match(f *filter, p packet) bool {
	m := s.decode(p)
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	ref, view := "", ""
	switch m := m.(type) {
	case *PrePrepare:
		ref, view = s.names.ref(m.Ref()), fmt.Sprint(m.View)
	case *Vote:
		ref, view = s.names.ref(m.Ref()), fmt.Sprint(m.View)
	case *Certificate:
		ref, view = s.names.ref(m.Ref()), fmt.Sprint(m.View)
	case *CheckpointVote:
		ref = s.names.ref(BlockRef{m.Height, m.Block})
	case *ViewChange:
		view = fmt.Sprint(m.View)
	case *NewView:
		view = fmt.Sprint(m.View)
	case *Status:
		view = fmt.Sprint(m.View)
	}
	return in(f.from, fmt.Sprint(p.from)) && in(f.to, fmt.Sprint(p.to)) && in(f.kind, kindOf(m)) && in(f.block, ref) && in(f.view, view)
}

// latency makes the packets of a filter arrive late.
type latency struct {
	filter
	ticks int
}

func (s *script) filterArgs() *filter {
	return &filter{from: s.strings("from"), to: s.strings("to"), kind: s.strings("kind"), block: s.strings("block"), view: s.strings("view")}
}

func (s *script) lost(p packet) bool {
	for i := range s.rules {
		if s.match(&s.rules[i], p) {
			return true
		}
	}
	return !s.w.nodes[p.to].up
}

// shown tells whether the delivery of a message is printed.
type shown func(Message) bool

func showBut(hidden ...string) shown {
	return func(m Message) bool { return !slices.Contains(hidden, kindOf(m)) }
}

func showOnly(kinds ...string) shown {
	return func(m Message) bool { return slices.Contains(kinds, kindOf(m)) }
}

// round delivers some packets and prints them together, then what came of them.
func (s *script) round(packets []packet, show shown, label string) {
	type group struct {
		from []string
		to   string
		what string
	}
	var lines []group
	to := map[string][]string{}
	for _, p := range packets {
		if m := s.decode(p); show(m) {
			key := fmt.Sprintf("%d\x00%s", p.from, s.sketch(m))
			if to[key] == nil {
				lines = append(lines, group{[]string{fmt.Sprint(p.from)}, key, s.sketch(m)})
			}
			if id := fmt.Sprint(p.to); !slices.Contains(to[key], id) {
				to[key] = append(to[key], id)
			}
		}
	}
	var merged []group
	for _, g := range lines {
		ids := to[g.to]
		slices.Sort(ids)
		g.to = strings.Join(ids, ",")
		if len(ids) == s.w.n()-1 {
			g.to = "*"
		}
		i := slices.IndexFunc(merged, func(x group) bool {
			return x.what == g.what && x.to == g.to && (g.to == "*" || !strings.Contains(g.to, ",") && !slices.Contains(x.from, g.to))
		})
		if i >= 0 {
			merged[i].from = append(merged[i].from, g.from...)
			continue
		}
		merged = append(merged, g)
	}
	for _, g := range merged {
		s.printf("%s%s->%s %s", label, strings.Join(g.from, ","), g.to, g.what)
	}
	for _, p := range packets {
		s.receive(p)
	}
	s.flush(label)
}

func (s *script) receive(p packet) {
	n := s.w.nodes[p.to]
	if !n.up {
		return
	}
	switch m := s.decode(p).(type) {
	case *Vote:
		if why := n.verifier.CheckVote(p.from, m); why != NoDrop {
			s.note(n.id, "refuses %s: %v", s.sketch(m), why)
		}
	case *CheckpointVote:
		if why := n.verifier.CheckCheckpointVote(p.from, m); why != NoDrop {
			s.note(n.id, "refuses %s: %v", s.sketch(m), why)
		}
	}
	n.receive(p)
	s.compare(n)
}

// take removes the packets that match from the queue; lost ones vanish. late: also
// those that are held up.
func (s *script) take(f *filter, late bool) []packet {
	var out, rest []packet
	for _, p := range s.w.queue {
		switch {
		case !s.match(f, p) || !late && s.waits(p):
			rest = append(rest, p)
		case !s.lost(p):
			out = append(out, p)
		}
	}
	s.w.queue = rest
	return out
}

// waits tells whether a packet is held up.
func (s *script) waits(p packet) bool {
	for i := range s.delays {
		if s.match(&s.delays[i], p) {
			return true
		}
	}
	for i := range s.slow {
		if l := &s.slow[i]; s.match(&l.filter, p) {
			at, ok := s.sentAt[&p.data[0]]
			if !ok {
				at = s.ticks
				s.sentAt[&p.data[0]] = at
			}
			return s.ticks < at+l.ticks
		}
	}
	return false
}

func (s *script) queue() {
	s.list(s.w.queue)
	if s.lines == nil {
		s.printf("empty")
	}
}

func (s *script) list(packets []packet) {
	var order []string
	to := map[string][]string{}
	for _, p := range packets {
		key := fmt.Sprintf("%d->%%s %s", p.from, s.sketch(s.decode(p)))
		if to[key] == nil {
			order = append(order, key)
		}
		to[key] = append(to[key], fmt.Sprint(p.to))
	}
	for _, key := range order {
		s.printf(key, strings.Join(to[key], ","))
	}
}

func (s *script) deliver() {
	packets := s.take(s.filterArgs(), true)
	s.round(packets, s.show(showBut()), "")
	if len(packets) == 0 {
		s.errorf("%s: nothing to deliver", s.d.Pos)
	}
}

func (s *script) drop() {
	packets := s.take(s.filterArgs(), true)
	s.list(packets)
	if len(packets) == 0 {
		s.errorf("%s: nothing to drop", s.d.Pos)
	}
}

// show reads which deliveries to print.
func (s *script) show(otherwise shown) shown {
	if s.has("quiet") {
		return showOnly()
	}
	if kinds := s.strings("show"); kinds != nil {
		return showOnly(kinds...)
	}
	return otherwise
}

// pump delivers until nothing is under way.
func (s *script) pump(show shown, label string) {
	for rounds := 0; len(s.w.queue) > 0; rounds++ {
		if rounds > 500 {
			s.t.Fatalf("%s: the messages never end", s.d.Pos)
		}
		packets := s.take(&filter{}, false)
		if packets == nil {
			return
		}
		s.round(packets, show, label)
	}
}

func (s *script) settle() { s.pump(s.show(showBut("Status", "Heartbeat")), "") }

// tick lets one unit of time pass for everybody.
func (s *script) tick(label string) {
	s.w.now += Time(10 * time.Millisecond)
	s.ticks++
	for _, n := range s.w.nodes {
		if n.up {
			n.tick()
			s.compare(n)
		}
	}
	s.flush(label)
}

func (s *script) run() {
	ticks := s.number("ticks", 1)
	s.pump(s.show(showOnly()), "")
	for i := range ticks {
		label := fmt.Sprintf("+%d ", i+1)
		s.tick(label)
		if s.has("hold") {
			continue
		}
		s.pump(s.show(showOnly()), label)
	}
}

// until lets time pass until the conditions hold at the nodes.
func (s *script) until() {
	s.pump(s.show(showOnly()), "")
	limit := s.number("max", 300)
	for i := range limit {
		if s.unmet() == "" {
			s.printf("after %d ticks", i)
			return
		}
		label := fmt.Sprintf("+%d ", i+1)
		s.tick(label)
		s.pump(s.show(showOnly()), label)
	}
	s.errorf("%s: not within %d ticks: %s", s.d.Pos, limit, s.unmet())
}

// unmet returns what does not hold, or nothing.
func (s *script) unmet() string {
	for _, n := range s.nodes() {
		c := n.core
		values := map[string]string{
			"view": fmt.Sprint(c.View()), "committed": fmt.Sprint(c.Committed()), "executed": fmt.Sprint(c.ExecutedHeight()), "stable": fmt.Sprint(c.Stable()),
			"tip": s.names.ref(c.Tip()), "block": s.names.ref(c.CommittedRef()), "high": fmt.Sprintf("%d/%d", c.High().View, c.High().Height),
			"open": fmt.Sprint(c.Open()), "entered": fmt.Sprint(c.Entered()), "suspects": fmt.Sprint(c.Suspecting()), "follower": fmt.Sprint(c.IsFollower()),
			"pool": fmt.Sprint(c.PoolLen()), "held": fmt.Sprint(len(c.order)), "failed": fmt.Sprint(c.timers.failed), "transfers": fmt.Sprint(n.transfers),
			"timeout": fmt.Sprint(c.timeout()), "view-changes": fmt.Sprint(c.counters.ViewChanges), "seen": fmt.Sprint(len(c.seen)),
			"proposed": fmt.Sprint(c.counters.Proposed), "diverged": fmt.Sprint(c.Diverged() != nil), "repairs": fmt.Sprint(n.repairs), "evidence": fmt.Sprint(len(n.evidence)), "voted": fmt.Sprintf("%d/%s", c.durable.VotedView, s.names.ref(c.durable.Voted)),
			"base": s.names.ref(c.base), "oldest": fmt.Sprint(c.Oldest()), "uncertified": fmt.Sprint(uncertified(c)),
		}
		for _, a := range s.d.CmdArgs {
			if a.Key == "nodes" || a.Key == "max" || a.Key == "show" || a.Key == "quiet" || len(a.Key) <= 2 && len(a.Vals) == 0 {
				continue
			}
			key, least := strings.CutPrefix(a.Key, "min-")
			got, ok := values[key]
			want := "true"
			if len(a.Vals) == 1 {
				want = a.Vals[0]
			}
			if !ok {
				s.t.Fatalf("%s: unknown condition %s", s.d.Pos, a.Key)
			}
			if least {
				x, _ := strconv.Atoi(got)
				y, _ := strconv.Atoi(want)
				if x >= y {
					continue
				}
			} else if got == want {
				continue
			}
			return fmt.Sprintf("replica %d has %s=%s, wanted %s", n.id, key, got, want)
		}
	}
	return ""
}

// require fails the test unless the conditions hold, whatever -rewrite does.
func (s *script) require() {
	if bad := s.unmet(); bad != "" {
		s.errorf("%s: %s", s.d.Pos, bad)
	}
}

func (s *script) submit() {
	targets := s.ids("to")
	count := s.number("n", 1)
	for range count {
		s.nextReq++
		name := s.text("name", fmt.Sprintf("r%d", s.nextReq))
		deadline := ^Time(0) >> 1
		if s.has("lives") {
			deadline = s.w.now.Add(s.duration("lives"))
		}
		op := name + strings.Repeat(".", s.number("size", 0))
		r := s.w.requestUntil(uint64(s.number("client", 1)), uint64(s.number("seq", s.nextReq)), op, deadline)
		s.requests[name] = r
		s.names.set(r.Digest(), name)
		if s.has("nobody") {
			continue
		}
		for _, n := range s.w.nodes {
			if n.up && (targets == nil || slices.Contains(targets, n.id)) {
				n.submit(r)
				s.compare(n)
			}
		}
	}
}

func (s *script) crash() {
	for _, n := range s.nodes() {
		n.crash()
		if s.has("loses-sent") {
			s.w.queue = slices.DeleteFunc(s.w.queue, func(p packet) bool { return p.from == n.id })
		}
	}
}

func (s *script) restart() {
	for _, n := range s.nodes() {
		n.start(s.has("follower"))
		s.before[n.id] = snapshot{view: n.core.View(), entered: n.core.Entered(), open: n.core.Open(), stable: n.core.Stable(), follower: n.core.IsFollower()}
		s.compare(n)
	}
}

func (s *script) wipe() {
	for _, n := range s.nodes() {
		n.wipe()
	}
}

func (s *script) hold() {
	for _, n := range s.nodes() {
		n.noApply = true
	}
}

func (s *script) release() {
	for _, n := range s.nodes() {
		n.noApply = false
		var out Output
		n.execute(&out)
		n.perform(&out)
		n.advance()
		s.compare(n)
	}
}

func (s *script) lose() { s.rules = append(s.rules, *s.filterArgs()) }

// corrupt changes the application state of a node, or what the first execution of the
// next block will make of it.
func (s *script) corrupt() {
	for _, n := range s.nodes() {
		if s.has("once") {
			n.wrongAt = n.core.ExecutedHeight() + 1
			continue
		}
		for h := range n.state {
			n.state[h] = crypto.Hash("corrupt")
		}
	}
}

// delay keeps packets in the queue until "heal", latency for some ticks.
func (s *script) delay() { s.delays = append(s.delays, *s.filterArgs()) }

func (s *script) latency() {
	s.slow = append(s.slow, latency{*s.filterArgs(), s.number("ticks", 1)})
}

func (s *script) heal() { s.rules, s.delays, s.slow = nil, nil, nil }

// crashAt stops a node within one of its next outputs: the first that writes
// records (or whose messages have the kind "with"). "records" of them are on disk, what may leave
// before the sync has left if "sent" is given, the rest is lost.
func (s *script) crashAt() {
	id, keep, sent, with := s.nodes()[0].id, s.number("records", 0), s.has("sent"), s.text("with", "")
	s.w.boundary = func(n *testNode, o *Output) bool {
		if n.id != id || !hasKind(o, with) {
			return false
		}
		s.w.boundary = nil
		n.write(o.Records[:min(keep, len(o.Records))])
		if sent {
			for _, e := range o.Send {
				n.send(e, false)
			}
		}
		n.crash()
		s.note(id, "crashes")
		return true
	}
}

func hasKind(o *Output, kind string) bool {
	for _, list := range [][]Envelope{o.Send, o.Durable} {
		for _, e := range list {
			if kindOf(e.Message) == kind {
				return true
			}
		}
	}
	return kind == "" && len(o.Records) > 0
}

// expectFork accepts what more than F traitors did.
func (s *script) expectFork() {
	s.expected = true
	if len(s.w.broken) == 0 {
		s.errorf("%s: no fork", s.d.Pos)
	}
	for _, b := range s.w.broken {
		s.printf("%s", s.rename(b))
	}
	s.w.broken = nil
}

// blame walks back from two CommitQCs with what the logs of the honest nodes hold.
func (s *script) blame() {
	h := newKitHistory()
	h.add(&s.w.base.Start.Header)
	for _, n := range s.nodes() {
		for r := range n.records() {
			switch r.Key.Kind {
			case RecordBlock:
				p, _ := DecodeRecordBlock(r.Value)
				h.add(&p.Header)
			case RecordNewView:
				nv, _ := DecodeRecordNewView(r.Value)
				h.add(nv)
			case RecordCommit, RecordHigh:
				q, _ := DecodeRecordCertificate(r.Value)
				h.add(q)
			}
		}
	}
	var pair []*Certificate
	for _, n := range s.nodes() {
		_, q, err := DecodeRecordCommitted(n.log[RecordKey{Kind: RecordCommitted}])
		if err == nil {
			pair = append(pair, q)
		}
	}
	proofs, err := Blame(s.w.nodes[0].verifier, pair[0], pair[1], h)
	if err != nil {
		s.errorf("%v", err)
		return
	}
	guilty := crypto.NewBitmap(s.w.n())
	for _, e := range proofs {
		guilty.Set(e.Culprit)
		s.printf("%v", e)
		if !s.traitors[e.Culprit] {
			s.errorf("%d is innocent", e.Culprit)
		}
	}
	if !s.w.quorums.IsBlocking(guilty) {
		s.errorf("only %v are guilty", guilty.IDs())
	}
}

func (s *script) isolate() {
	for _, n := range s.nodes() {
		id := []string{fmt.Sprint(n.id)}
		s.rules = append(s.rules, filter{from: id}, filter{to: id})
	}
}

// partition cuts everything between the groups a and b.
func (s *script) partition() {
	a, b := s.strings("a"), s.strings("b")
	s.rules = append(s.rules, filter{from: a, to: b}, filter{from: b, to: a})
}

// clock moves everybody's clock.
func (s *script) clock() { s.w.now = s.w.now.Add(s.duration("by")) }

// skew sets how far the clocks of some nodes are off.
func (s *script) skew() {
	for _, n := range s.nodes() {
		n.skew = s.duration("by")
	}
}

func (s *script) evidence() {
	for _, n := range s.nodes() {
		for _, e := range n.evidence {
			s.note(n.id, "holds %v", e)
		}
	}
	if len(s.effects) == 0 {
		s.printf("none")
	}
}

// state prints a line for each node, one for all that are alike.
func (s *script) state() {
	for _, n := range s.nodes() {
		c := n.core
		stage := "left"
		switch {
		case c.Open():
			stage = "open"
		case c.Entered():
			stage = "entered"
		}
		text := fmt.Sprintf("v%d %s tip:%s high:%v committed:%s executed:%d stable:%d voted:v%d/%s", c.View(), stage, s.names.ref(c.Tip()), c.High(),
			s.names.ref(c.CommittedRef()), c.ExecutedHeight(), c.Stable(), c.durable.VotedView, s.names.ref(c.durable.Voted))
		if c.PoolLen() > 0 {
			text += fmt.Sprintf(" pool:%d", c.PoolLen())
		}
		if len(c.order) > 0 {
			var held []string
			for _, e := range c.order {
				held = append(held, s.nameBlock(e.proposal))
			}
			text += " held:" + strings.Join(held, ",")
		}
		if c.IsFollower() {
			text += " follower"
		}
		if c.Suspecting() {
			text += " suspects"
		}
		s.note(n.id, "%s", text)
	}
}

func (s *script) describe() {
	for _, n := range s.nodes() {
		for _, line := range strings.Split(strings.TrimSpace(n.core.Describe()), "\n") {
			s.printf("%s", s.rename(line))
		}
	}
}

// log prints which records a node has.
func (s *script) log() {
	for _, n := range s.nodes() {
		var out []string
		for r := range n.records() {
			out = append(out, s.rename(r.Key.String()))
		}
		s.printf("%d: %s", n.id, strings.Join(out, " "))
	}
}

// uncertified is how many votes for checkpoints somebody may still need.
func uncertified(c *Core) int {
	n := 0
	for _, s := range c.statements {
		if !s.certified {
			n++
		}
	}
	return n
}
