package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/replica"
)

// tracedRole is what those blocks come to that a replica proposed, or that it did not.
type tracedRole struct {
	Role   string `json:"role"` // primary or backup
	Blocks int    `json:"blocks"`
	First  uint64 `json:"firstHeight"`
	Last   uint64 `json:"lastHeight"`

	Requests       float64 `json:"requestsPerBlock"`
	Operations     float64 `json:"operationsPerBlock"`
	Bytes          float64 `json:"bytesPerBlock"`
	Syncs          float64 `json:"syncsPerBlock"`
	BatchesPerSync float64 `json:"batchesPerSync"`

	Stages []tracedStage `json:"stages"`
	Total  tracedStage   `json:"total"`
}

// tracedStage is how long a stage took since the one before.
type tracedStage struct {
	Stage string `json:"stage"`
	// Begins is set if all blocks began with this stage, so that none was before.
	Begins bool `json:"begins,omitempty"`
	// Blocks waited for the stage; it may have been passed by others too.
	Blocks int     `json:"blocks"`
	Median float64 `json:"medianMillis"`
	P90    float64 `json:"p90Millis"`
	P99    float64 `json:"p99Millis"`
	Share  float64 `json:"share"` // of the time of all blocks
}

// stageLabels are the stages for people.
var stageLabels = [replica.Stages]string{
	replica.StageReceived: "received", replica.StageChecked: "signature checked", replica.StageOffered: "taken up",
	replica.StageProposal: "proposal received", replica.StageVerified: "proposal verified",
	replica.StageBlockDurable: "block durable", replica.StagePrepareSent: "Prepare sent", replica.StagePrepared: "prepared",
	replica.StagePreparedDurable: "prepared, durable", replica.StageCommitSent: "Commit sent", replica.StageCommitted: "committed",
	replica.StageExecuting: "execution begun", replica.StageExecuted: "executed",
	replica.StageReplyQueued: "reply queued", replica.StageReplyWritten: "reply written",
}

func stageLabel(s replica.Stage, role string) string {
	if s == replica.StageProposal && role == rolePrimary {
		return "proposed"
	}
	return stageLabels[s]
}

const (
	rolePrimary = "primary"
	roleBackup  = "backup"
)

// summariseTrace takes the blocks of a replica together, for each role that it had.
func summariseTrace(r *replica.TraceReport) []tracedRole {
	var roles []tracedRole
	for _, role := range []string{rolePrimary, roleBackup} {
		s := newTraceSummary(role)
		for i := range r.Blocks {
			if b := &r.Blocks[i]; (b.Proposer == r.Replica) == (role == rolePrimary) {
				var before *replica.BlockTrace
				if i > 0 && r.Blocks[i-1].Height+1 == b.Height {
					before = &r.Blocks[i-1]
				}
				s.add(b, before)
			}
		}
		if s.role.Blocks > 0 {
			roles = append(roles, s.end())
		}
	}
	return roles
}

// traceSummary collects the blocks of one role.
type traceSummary struct {
	role                        tracedRole
	requests, operations, bytes int
	syncs, batches, neighbours  int
	took                        [replica.Stages][]time.Duration
	passed, first               [replica.Stages]int
	totals                      []time.Duration
}

func newTraceSummary(role string) *traceSummary { return &traceSummary{role: tracedRole{Role: role}} }

// add takes a block, and the one before it if that is known.
func (s *traceSummary) add(b, before *replica.BlockTrace) {
	if s.role.Blocks == 0 {
		s.role.First = uint64(b.Height)
	}
	s.role.Blocks, s.role.Last = s.role.Blocks+1, uint64(b.Height)
	s.requests += b.Requests
	s.operations += b.Operations
	s.bytes += b.Bytes
	if before != nil {
		s.syncs += int(b.Syncs - before.Syncs)
		s.batches += int(b.Batches - before.Batches)
		s.neighbours++
	}
	total, begun := time.Duration(0), false
	for stage, took := range b.Times.Steps() {
		if b.Times[stage] != 0 {
			s.passed[stage]++
		}
		switch {
		case took == replica.NotWaitedFor:
		case !begun:
			begun = true
			s.first[stage]++
		default:
			s.took[stage] = append(s.took[stage], took)
			total += took
		}
	}
	s.totals = append(s.totals, total)
}

func (s *traceSummary) end() tracedRole {
	r := s.role
	each := func(sum, n int) float64 {
		if n == 0 {
			return 0
		}
		return float64(sum) / float64(n)
	}
	r.Requests, r.Operations, r.Bytes = each(s.requests, r.Blocks), each(s.operations, r.Blocks), each(s.bytes, r.Blocks)
	r.Syncs, r.BatchesPerSync = each(s.syncs, s.neighbours), each(s.batches, s.syncs)
	whole := sumOf(s.totals)
	for stage := range replica.Stages {
		if s.passed[stage] > 0 {
			t := newTracedStage(stageLabel(stage, r.Role), s.took[stage], whole)
			t.Begins = s.first[stage] > 0 && len(s.took[stage]) == 0
			r.Stages = append(r.Stages, t)
		}
	}
	r.Total = newTracedStage("total", s.totals, whole)
	return r
}

func newTracedStage(name string, took []time.Duration, whole time.Duration) tracedStage {
	t := tracedStage{Stage: name, Blocks: len(took)}
	if len(took) == 0 {
		return t
	}
	slices.Sort(took)
	t.Median, t.P90, t.P99 = millisAt(took, 0.5), millisAt(took, 0.9), millisAt(took, 0.99)
	if whole > 0 {
		t.Share = float64(sumOf(took)) / float64(whole)
	}
	return t
}

// millisAt is a quantile of sorted values: the smallest that so large a part does not
// exceed.
func millisAt(sorted []time.Duration, q float64) float64 {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return float64(sorted[i].Nanoseconds()) / 1e6
}

func sumOf(all []time.Duration) (sum time.Duration) {
	for _, d := range all {
		sum += d
	}
	return sum
}

// shareBar is the share for people, with a mark for each 4 %.
func shareBar(share float64) string {
	return strings.TrimRight(fmt.Sprintf("%5.1f%% %s", 100*share, strings.Repeat("#", int(math.Round(share*25)))), " ")
}

func printTraces(out io.Writer, replicas []tracedReplica, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(struct {
			Replicas []tracedReplica `json:"replicas"`
		}{replicas})
	}
	for i := range replicas {
		r := &replicas[i]
		if i > 0 {
			fmt.Fprintln(out)
		}
		switch {
		case r.Error != "":
			fmt.Fprintf(out, "%s: UNREACHABLE: %s\n", r.Name, r.Error)
		case len(r.Roles) == 0:
			fmt.Fprintf(out, "%s: has executed no block since it was started\n", r.Name)
		}
		for j := range r.Roles {
			if j > 0 {
				fmt.Fprintln(out)
			}
			if err := printRole(out, r.Name, &r.Roles[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

func printRole(out io.Writer, name string, r *tracedRole) error {
	fmt.Fprintf(out, "%s, %s: %d blocks, %d to %d; %.1f requests, %.1f operations and %.1f KiB a block; %.2f syncs a block, %.2f batches a sync\n",
		name, r.Role, r.Blocks, r.First, r.Last, r.Requests, r.Operations, r.Bytes/1024, r.Syncs, r.BatchesPerSync)
	t := newTable(out, "STAGE", "BLOCKS", "MEDIAN MS", "P90", "P99", " SHARE")
	row := func(s *tracedStage, share string) {
		t.row(s.Stage, s.Blocks, fmt.Sprintf("%.3f", s.Median), fmt.Sprintf("%.3f", s.P90), fmt.Sprintf("%.3f", s.P99), share)
	}
	for i := range r.Stages {
		switch s := &r.Stages[i]; {
		case s.Begins:
			t.row(s.Stage, "-", "-", "-", "-", "    -")
		case s.Blocks == 0:
			t.row(s.Stage, 0, "-", "-", "-", "    -")
		default:
			row(s, shareBar(s.Share))
		}
	}
	row(&r.Total, "100.0%")
	return t.render()
}
