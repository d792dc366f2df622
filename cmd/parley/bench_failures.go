package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
)

// benchFailures are the operations that had no result.
type benchFailures struct {
	errors     int64 // all of them
	unknown    int64 // those that may have run
	overloaded map[string]int64
	first      string
}

// Who turns operations down because too much waits.
const (
	refusedByClient   = "this client"          // its own queue is full
	refusedByDelay    = "this client, by time" // what is ahead takes longer than its MaxQueueing
	refusedByReplicas = "replicas"             // all their clients together ask too much
	refusedAsClient   = "replicas, per client" // this client has its share
	refusedAsSession  = "the sessions' table"  // no room for another client
)

func (f *benchFailures) add(err error) {
	f.errors++
	if f.first == "" {
		f.first = plain(err.Error())
	}
	if errors.Is(err, client.ErrOutcomeUnknown) {
		f.unknown++
	}
	if who := refuser(err); who != "" {
		if f.overloaded == nil {
			f.overloaded = make(map[string]int64)
		}
		f.overloaded[who]++
	}
}

// refuser is who was overloaded, "" if err is something else.
func refuser(err error) string {
	if !errors.Is(err, client.ErrOverloaded) {
		return ""
	}
	var refused *client.RefusedError
	var rejected *client.RejectedError
	var overloaded *client.OverloadedError
	switch {
	case errors.As(err, &overloaded) && overloaded.Limit > 0:
		return refusedByDelay
	case errors.As(err, &refused) && refused.Reason == api.Reason_REASON_CLIENT_BUSY:
		return refusedAsClient
	case errors.As(err, &refused):
		return refusedByReplicas
	case errors.As(err, &rejected):
		return refusedAsSession
	}
	return refusedByClient
}

func (f *benchFailures) merge(g *benchFailures) {
	f.errors += g.errors
	f.unknown += g.unknown
	if f.first == "" {
		f.first = g.first
	}
	for who, n := range g.overloaded {
		if f.overloaded == nil {
			f.overloaded = make(map[string]int64)
		}
		f.overloaded[who] += n
	}
}

// refusals says in words who turned how many down.
func refusals(overloaded map[string]int64) string {
	var parts []string
	for _, who := range slices.Sorted(maps.Keys(overloaded)) {
		parts = append(parts, fmt.Sprintf("%d by %s", overloaded[who], who))
	}
	return strings.Join(parts, ", ")
}
