package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteRegisters writes operations as a history of Jepsen's: registers by key, as
// its tests with independent keys have them and Knossos checks them:
//
//	{:type :invoke, :process 0, :f :write, :value ["k" "v"], :time 120, :index 0}
//
// Completions are :ok, :fail (it did not run) or :info (it may run at any time). A
// Swap is a :cas of [old new]; one that did not swap is a :fail, what it read
// instead is lost. A client whose operation is :info goes on as another process.
func WriteRegisters(w io.Writer, ops []Operation) error {
	return writeEDN(w, ops, func(o *Operation, done bool) (f, value string, failed bool) {
		key := ednString(o.Key)
		switch o.Op {
		case Read:
			v := "nil"
			if done && o.Found {
				v = ednString(o.Value)
			}
			return "read", "[" + key + " " + v + "]", false
		case Write:
			return "write", "[" + key + " " + ednString(o.New) + "]", false
		case Swap:
			return "cas", "[" + key + " [" + ednString(o.Old) + " " + ednString(o.New) + "]]", done && !o.Swapped
		}
		return "", "", false
	})
}

// WriteTransactions writes operations as transactions over registers, as Elle's
// rw-register checker takes them:
//
//	{:type :ok, :process 0, :f :txn, :value [[:r "k" nil] [:w "k" "v"]], :time 120, :index 1}
//
// A Swap that swapped reads and writes; one that did not only reads. One of which
// nobody knows is left out of the outcomes: its write stays :info.
func WriteTransactions(w io.Writer, ops []Operation) error {
	return writeEDN(w, ops, func(o *Operation, done bool) (f, value string, failed bool) {
		key := ednString(o.Key)
		read := func(v string) string { return "[:r " + key + " " + v + "]" }
		write := "[:w " + key + " " + ednString(o.New) + "]"
		seen := "nil"
		if done && o.Found {
			seen = ednString(o.Value)
		}
		switch {
		case o.Op == Read:
			return "txn", "[" + read(seen) + "]", false
		case o.Op == Write:
			return "txn", "[" + write + "]", false
		case o.Op == Swap && done && o.Swapped:
			return "txn", "[" + read(ednString(o.Old)) + " " + write + "]", false
		case o.Op == Swap && done:
			return "txn", "[" + read(seen) + "]", false
		case o.Op == Swap:
			return "txn", "[" + read("nil") + " " + write + "]", false
		}
		return "", "", false
	})
}

// ednEvent is an invocation or a completion.
type ednEvent struct {
	at      time.Duration
	op      int
	process int
	done    bool
}

// writeEDN writes the events of operations in order. form gives the :f and the
// :value of an event, with what is known once it is done, and whether an outcome
// that is OK means that nothing happened. An empty f leaves the operation out.
func writeEDN(w io.Writer, ops []Operation, form func(o *Operation, done bool) (f, value string, failed bool)) error {
	out := bufio.NewWriter(w)
	for i, e := range ednEvents(ops) {
		o := &ops[e.op]
		kind := "invoke"
		f, value, failed := form(o, e.done && o.Outcome == OK)
		if e.done {
			switch {
			case o.Outcome == Failed || o.Outcome == OK && failed:
				kind = "fail"
			case o.Outcome == OK:
				kind = "ok"
			default:
				kind = "info"
			}
		}
		fmt.Fprintf(out, "{:type :%s, :process %d, :f :%s, :value %s, :time %d, :index %d}\n", kind, e.process, f, value, e.at.Nanoseconds(), i)
	}
	return out.Flush()
}

// ednEvents orders what happened. At the same time, invocations come first: the
// operations were concurrent.
func ednEvents(ops []Operation) []ednEvent {
	var order []int
	var last time.Duration
	for i := range ops {
		switch ops[i].Op {
		case Read, Write, Swap:
			order = append(order, i)
			last = max(last, ops[i].Begin, ops[i].End)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ops[a].Begin, ops[b].Begin) })
	lanes := newLanes(ops)
	var events []ednEvent
	for _, i := range order {
		o := &ops[i]
		end := o.End
		if o.Outcome != OK && o.Outcome != Failed {
			end = max(last, end)
		}
		end = max(end, o.Begin)
		p := lanes.process(o, end)
		events = append(events, ednEvent{o.Begin, i, p, false}, ednEvent{end, i, p, true})
	}
	slices.SortStableFunc(events, func(a, b ednEvent) int {
		if c := cmp.Compare(a.at, b.at); c != 0 {
			return c
		}
		return cmp.Compare(btoi(a.done), btoi(b.done))
	})
	return events
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lanes gives every operation a process: one does one thing at a time, and nothing
// more after an unknown outcome. A client's first process has the client's number.
type lanes struct {
	next int
	of   map[int][]*lane // by client
}

type lane struct {
	process int
	free    time.Duration // it is, after this
	used    bool
}

func newLanes(ops []Operation) *lanes {
	l := &lanes{of: map[int][]*lane{}}
	for i := range ops {
		if c := ops[i].Client; l.of[c] == nil && c >= 0 {
			l.of[c] = []*lane{{process: c}}
			l.next = max(l.next, c+1)
		}
	}
	return l
}

func (l *lanes) process(o *Operation, end time.Duration) int {
	known := o.Outcome == OK || o.Outcome == Failed
	for i, x := range l.of[o.Client] {
		if x.used && x.free >= o.Begin {
			continue
		}
		x.free, x.used = end, true
		if !known {
			l.of[o.Client] = slices.Delete(l.of[o.Client], i, i+1)
		}
		return x.process
	}
	p := l.next
	l.next++
	if known {
		l.of[o.Client] = append(l.of[o.Client], &lane{process: p, free: end, used: true})
	}
	return p
}

// ednString quotes a string. Bytes that are no UTF-8 appear in hexadecimal, after
// U+FFFD.
func ednString(s string) string {
	if !utf8.ValidString(s) {
		s = fmt.Sprintf("\uFFFD%x", s)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if r < 0x20 || r == 0x7f || r == '\u2028' || r == '\u2029' {
				fmt.Fprintf(&b, `\u%04x`, r)
				continue
			}
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
