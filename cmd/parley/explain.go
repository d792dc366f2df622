package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/access"
)

// explain returns an error's text for people, with a remedy where it has none.
func explain(err error) string {
	remedy := ""
	switch {
	case errors.Is(err, client.ErrOutcomeUnknown):
		remedy = "the operation may have run, or may run yet: read before you repeat it"
	case errors.Is(err, client.ErrUnavailable):
		remedy = "are the replicas running, and is this their cluster file? 'parley status' shows each of them"
	case errors.Is(err, client.ErrNotSent) && errors.Is(err, context.DeadlineExceeded):
		remedy = "give more time with --timeout"
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "another program listens there; is this replica running already? Stop it, or change the address in the cluster file (on every machine) or replica.json"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "this machine has no such address: correct it in the cluster file, or give the one to listen on with --listen and --client-listen"
	case errors.Is(err, replica.ErrLocked):
		remedy = "stop that process first"
	case errors.Is(err, replica.ErrDiskFull), errors.Is(err, replica.ErrCorrupt), errors.Is(err, replica.ErrIdentity), errors.Is(err, roster.ErrNotMember):
	case errors.Is(err, fs.ErrNotExist):
		remedy = "check the path; 'parley init --dir DIR' makes the files of a new cluster"
	case errors.Is(err, fs.ErrPermission):
		remedy = "run this as the owner of the file, or correct its owner and mode"
	case errors.Is(err, syscall.ENOSPC):
		remedy = "free some space and start again"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	text := strings.TrimSuffix(plain(err.Error()), "; ")
	if errors.Is(err, client.ErrQuery) {
		text = policyFirst(text)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		text, _, _ = strings.Cut(text, "; another process listens there") // ours says more
	}
	if remedy == "" {
		return text
	}
	if strings.Contains(text, "\n") {
		return text + "\n" + remedy
	}
	return text + ": " + remedy
}

// policyWords are in what a replica says whose policy refuses.
var policyWords = access.ErrRefused.Error() + ": rule "

// policyFirst begins with what the access policy says, if it is that which refused a query:
// who reports it and how is of no interest.
func policyFirst(text string) string {
	if i := strings.Index(text, policyWords); i > 0 {
		return text[i:]
	}
	return text
}

var (
	rpcWords  = regexp.MustCompile(`rpc error: code = \w+ desc = `)
	connWords = regexp.MustCompile(`connection error: desc = "(?:transport: )?(?:Error while dialing: )?([^"]*)"`)
	longHex   = regexp.MustCompile(`\b([0-9a-f]{8})[0-9a-f]{56}\b`)
)

// plain takes out of a message what only a programmer wants to read, and what a terminal
// would take for a command: some of the words may be a faulty replica's.
func plain(s string) string {
	s = visible(s)
	s = rpcWords.ReplaceAllString(s, "")
	s = connWords.ReplaceAllString(s, "$1")
	s = strings.ReplaceAll(s, "context deadline exceeded", "time ran out")
	s = strings.ReplaceAll(s, "dial tcp ", "")
	if strings.Contains(s, "too few replicas") {
		s = longHex.ReplaceAllString(s, "$1..")
		s = strings.ReplaceAll(s, "; replica-", "\n  replica-")
		s = strings.Replace(s, "connected are {}, ", "", 1)
	}
	return s
}

// visible shows what would move a terminal's cursor, colour it or write its title. Ends of
// lines stay.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
