package real

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/parley-bft/parley/chaos/report"
)

// line is what matters of a line that a replica logged.
type line struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"msg"`
	Offence string    `json:"offence"`
	Culprit int       `json:"culprit"`
	Peer    int       `json:"peer"`
	Halted  bool      `json:"halted"`
	text    string
}

// maxLine bounds a line of a log.
const maxLine = 4 << 20

// readLog calls f for every line, those too that are no JSON: what Go's runtime
// says when a program panics.
func readLog(path string, f func(line)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	s := bufio.NewScanner(file)
	s.Buffer(make([]byte, 64<<10), maxLine)
	for s.Scan() {
		l := line{text: s.Text()}
		_ = json.Unmarshal(s.Bytes(), &l)
		f(l)
	}
	return s.Err()
}

// crashes are how lines begin that a Go program leaves when it breaks.
var crashes = [][]byte{[]byte("panic: "), []byte("fatal error: "), []byte("WARNING: DATA RACE"), []byte("SIGSEGV")}

// judgeLogs looks for what no replica may say: panics, alarms, and proofs against
// honest ones.
func (r *run) judgeLogs() {
	for i, n := range r.nodes {
		told := map[string]int{}
		err := readLog(n.log, func(l line) {
			tell := func(invariant string) {
				if told[invariant]++; told[invariant] <= maxExamples {
					r.broken(invariant, "%s logged: %s", name(i), l.text)
				}
			}
			switch {
			case l.Message == "PROOF OF MISBEHAVIOUR":
				if l.Culprit < 0 || l.Culprit >= len(r.nodes) || !r.nodes[l.Culprit].blamed {
					tell("accountability")
				}
			case strings.HasPrefix(l.Message, "A PEER LIED"):
				if l.Peer < 0 || l.Peer >= len(r.nodes) || !r.nodes[l.Peer].blamed && !r.nodes[l.Peer].rotten {
					tell("accountability")
				}
			case bytes.HasPrefix([]byte(l.Message), []byte("ALARM")):
				if !n.blamed && !n.rotten {
					tell("alarm")
				}
			case l.Level == "":
				for _, c := range crashes {
					if bytes.HasPrefix([]byte(l.text), c) {
						tell("panic")
					}
				}
			}
			if l.Level == "WARN" || l.Level == "ERROR" {
				r.sometimes("log: " + l.Message)
			}
		})
		if err != nil {
			r.note("the log of %s: %v", name(i), err)
		}
	}
}

// evidence are the proofs that replicas found, for the report.
func (r *run) evidence() (found []report.Evidence) {
	for i, n := range r.nodes {
		_ = readLog(n.log, func(l line) {
			if l.Message == "PROOF OF MISBEHAVIOUR" {
				found = append(found, report.Evidence{At: l.Time.Sub(r.recorder.began), Finder: i, Culprit: l.Culprit, Offence: l.Offence})
			}
		})
	}
	return found
}
