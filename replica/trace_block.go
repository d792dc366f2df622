package replica

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Stage is a point that a block passes on its way through a replica.
type Stage int

// The stages, in the order in which a block passes them when every replica is as quick
// as the others. Received, Checked, Offered and the two of the reply are those of the
// block's first request, which is the one that waited longest for the block.
const (
	StageReceived        Stage = iota // from its client, by this replica
	StageChecked                      // its signature is good
	StageOffered                      // taken up by the protocol goroutine
	StageProposal                     // cut by the primary; arrived at a backup
	StageVerified                     // by a backup, all signatures in it
	StageBlockDurable                 // the block is on the disk
	StagePrepareSent                  // signed and given to the transport
	StagePrepared                     // a quorum's Prepares, of it or a descendant
	StagePreparedDurable              // that certificate is on the disk
	StageCommitSent                   // signed and given to the transport
	StageCommitted                    // a quorum's Commits, of it or a descendant
	StageExecuting                    // its turn has come
	StageExecuted                     // the application is done with it
	StageReplyQueued                  // for the client's stream
	StageReplyWritten                 // given to the client's stream
	Stages                            // how many there are
)

var stageNames = [Stages]string{
	"received", "checked", "offered", "proposal", "verified", "blockDurable", "prepareSent", "prepared",
	"preparedDurable", "commitSent", "committed", "executing", "executed", "replyQueued", "replyWritten",
}

func (s Stage) String() string { return stageNames[s] }

// StageTimes say when a block passed each stage: since the replica's tracing began
// (TraceReport.Began), by its monotonic clock; 0 where it did not.
type StageTimes [Stages]time.Duration

// NotWaitedFor stands for a stage in StageTimes.Steps that took no part.
const NotWaitedFor time.Duration = -1

// Steps takes the time between the first stage and the last apart: what each stage
// took since the one before. The sum is the whole.
//
// Only stages that were waited for count, others are NotWaitedFor: a replica whose disk
// is slow hears of the others' quorum before its own vote has left, and then that vote
// held up nothing. So a stage counts if it was passed no later than the next one that
// counts, seen from the end.
func (t *StageTimes) Steps() (steps [Stages]time.Duration) {
	next := Stages // the stage after, that counts
	for s := Stages - 1; s >= 0; s-- {
		steps[s] = NotWaitedFor
		if t[s] == 0 || next < Stages && t[s] > t[next] {
			continue
		}
		if next < Stages {
			steps[next] = t[next] - t[s]
		}
		steps[s], next = 0, s
	}
	return steps
}

// MarshalJSON implements json.Marshaler: an object with the stages that were passed, in
// their order, in nanoseconds.
func (t StageTimes) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for s, at := range t {
		if at == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%d", stageNames[s], int64(at))
	}
	return append(b, '}'), nil
}

// UnmarshalJSON implements json.Unmarshaler. It skips stages that it does not know: they
// are those of another version.
func (t *StageTimes) UnmarshalJSON(data []byte) error {
	var times map[string]time.Duration
	if err := json.Unmarshal(data, &times); err != nil {
		return err
	}
	*t = StageTimes{}
	for s, name := range stageNames {
		t[s] = times[name]
	}
	return nil
}

// BlockTrace is when a block passed the stages of a replica, and what the block holds.
type BlockTrace struct {
	Height     pbft.Height    `json:"height"`
	View       pbft.View      `json:"view"` // in which it was proposed
	Proposer   pbft.ReplicaID `json:"proposer"`
	Requests   int            `json:"requests"`
	Operations int            `json:"operations"`
	Bytes      int            `json:"bytes"`
	// Syncs is how many synced writes the log has had up to the execution of the block,
	// and Batches how many batches of the protocol shared them.
	Syncs   uint64     `json:"syncs"`
	Batches uint64     `json:"batches"`
	Times   StageTimes `json:"times"`

	block    pbft.Digest
	held     bool // by the core
	finished bool
}

// pass notes a stage that is passed for the first time.
func (b *BlockTrace) pass(s Stage, at time.Duration) {
	if b.Times[s] == 0 {
		b.Times[s] = at
	}
}

// TraceReport is what one replica has noted.
type TraceReport struct {
	Replica pbft.ReplicaID `json:"replica"`
	Name    string         `json:"name"`
	View    pbft.View      `json:"view"`
	Primary pbft.ReplicaID `json:"primary"`
	// Began is when the zero of all times was.
	Began  time.Time    `json:"began"`
	Blocks []BlockTrace `json:"blocks"`
}

// traced takes a block that has passed its last stage.
func (s *Server) traced(b BlockTrace) {
	s.metrics.passed(&b.Times)
	if s.cfg.Traced != nil {
		s.cfg.Traced(b)
	}
}

// Trace returns what was noted of the last blocks that were executed, up to so many.
// It is nil if Config.TraceBlocks switched that off.
func (s *Server) Trace(blocks int) *TraceReport {
	if s.trace == nil {
		return nil
	}
	r := &TraceReport{
		Replica: s.self, Name: s.cfg.Roster.Member(s.self).Name, Began: s.trace.begin, Blocks: s.trace.last(max(blocks, 0)),
	}
	if p := s.published.Load(); p != nil {
		r.View, r.Primary = p.view, p.primary
	}
	return r
}
