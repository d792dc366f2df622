package chaos

import (
	"errors"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// The rare situations that matter. Over many seeds each must come about: if one
// never does, the simulator does not test what it seems to.
const (
	seenCrashBeforeWrite   = "crash before a write"
	seenCrashAfterSync     = "crash after a sync, before anything left"
	seenCrashDuringRelease = "crash after a part of the messages left"
	seenCrashAfterRelease  = "crash before the node knew that they left"
	seenViewOnStart        = "view opened on the start block"
	seenViewOnPrepared     = "view opened on a block that was only prepared"
	seenViewOnCommitted    = "view opened on a committed block"
	seenTwoFailedViews     = "two views failed in a row"
	seenFullRotation       = "a whole rotation of views failed"
	seenTransfer           = "state transferred"
	seenTransferDamaged    = "transferred state was damaged"
	seenResumed            = "state transfer after a restart"
	seenPoison             = "wrong chunk found"
	seenBadShare           = "bad share found in an aggregate"
	seenRejoined           = "a replica that lost its disk votes again"
	seenEvidence           = "proof of misbehaviour"
	seenExpired            = "request expired"
	seenDuplicate          = "request answered from the sessions"
	seenEmptyBlock         = "block without requests"
	seenFlaggedBlock       = "block flagged as a checkpoint"
	seenFullWindow         = "window full of blocks that are not executed"
	seenOldViewVote        = "vote for a view that was left"
	seenReplayed           = "log replayed at a start"
	seenAllDown            = "all replicas down at once"
	seenGapFound           = "missing synced writes found"
	seenRotFound           = "damaged value found"
	seenDiskFull           = "stopped by a full disk"
	seenIOError            = "stopped by a disk error"
	seenPanic              = "stopped by a panic of the application"
	seenDiverged           = "found that its state is not the certified one"
	seenHealed             = "was healed of a state that was not the certified one"
	seenParts              = "state transferred part by part"
	seenPartsRepaired      = "wrong state repaired part by part"
	seenPartsFailed        = "parts of a state not to be had"
	seenFalsePart          = "false part of a state found"
	seenLapseHealed        = "was healed of a block that it executed wrongly"
	seenLapseLost          = "what it executed wrongly was gone before it knew"
	seenStateUnsynced      = "state that was not synced lost in a crash"
	seenStateWent          = "went on from a height that a snapshot names"
	seenStateAgain         = "lost state is there again"
	seenStateAside         = "damaged state set aside at a start"
	seenStateDamaged       = "damage found in the state"
	seenStateMended        = "damaged state repaired"
	seenRequestRefused     = "request refused for now"
	seenPrimaryAlone       = "primary restarted in its view"
	seenClockFarOff        = "clock off by a minute to ten years"
)

// Situations lists the names that Report.Sometimes counts.
func Situations() []string {
	all := []string{
		seenCrashBeforeWrite, seenCrashAfterSync, seenCrashDuringRelease, seenCrashAfterRelease, seenViewOnStart, seenViewOnPrepared,
		seenViewOnCommitted, seenTwoFailedViews, seenFullRotation, seenTransfer, seenTransferDamaged, seenResumed, seenPoison, seenBadShare,
		seenRejoined, seenEvidence, seenExpired, seenDuplicate, seenEmptyBlock, seenFlaggedBlock, seenFullWindow, seenOldViewVote,
		seenReplayed, seenAllDown, seenGapFound, seenRotFound, seenDiskFull, seenIOError, seenPanic, seenDiverged, seenHealed,
		seenParts, seenPartsRepaired, seenPartsFailed, seenFalsePart, seenLapseHealed, seenLapseLost, seenStateUnsynced, seenStateWent, seenStateAgain,
		seenStateAside, seenStateDamaged, seenStateMended, seenRequestRefused, seenPrimaryAlone, seenClockFarOff,
	}
	for _, st := range Strategies() {
		all = append(all, seenDeed+st.Name)
	}
	for _, b := range BadClients() {
		all = append(all, seenBadClient+b.Name)
	}
	return all
}

// seenDeed and a strategy: a traitor did what it names; seenBadClient and its name.
const (
	seenDeed      = "traitor "
	seenBadClient = "client "
)

// deeds counts the runs in which traitors and bad clients did what they are for.
func (s *Simulation) deeds() {
	for _, t := range s.Traitors() {
		if t.Deeds() > 0 {
			s.sometimes(seenDeed + t.Strategy)
		}
	}
	for _, b := range s.badClients {
		if b.deeds > 0 {
			s.sometimes(seenBadClient + b.Name)
		}
	}
}

// Missing lists the situations that none of the reports has seen.
func Missing(sometimes map[string]int) []string {
	return slices.DeleteFunc(Situations(), func(name string) bool { return sometimes[name] > 0 })
}

// sometimes counts a rare situation.
func (s *Simulation) sometimes(name string) {
	if name != "" {
		s.report.Sometimes[name]++
	}
}

var crashMarks = [crashPoints]string{
	beforeWrite: seenCrashBeforeWrite, afterSync: seenCrashAfterSync, duringRelease: seenCrashDuringRelease, afterRelease: seenCrashAfterRelease,
}

// stoppedFor counts why a replica stopped by itself.
func (s *Simulation) stoppedFor(err error) {
	var damage *replica.CorruptError
	switch {
	case errors.Is(err, replica.ErrDiskFull):
		s.sometimes(seenDiskFull)
	case errors.Is(err, errIO):
		s.sometimes(seenIOError)
	case errors.Is(err, statemachine.ErrApplicationPanic):
		s.sometimes(seenPanic)
	case errors.As(err, &damage) && damage.Key == "write-ahead log":
		s.sometimes(seenGapFound)
	case errors.As(err, &damage):
		s.sometimes(seenRotFound)
	}
}

// seesSent counts what is rare among messages.
func (p *process) seesSent(m pbft.Message) {
	s := p.s
	switch m := m.(type) {
	case *pbft.NewView:
		switch {
		case m.Certificate == nil:
			s.sometimes(seenViewOnStart)
		case m.Certificate.Phase == pbft.Prepare:
			s.sometimes(seenViewOnPrepared)
		default:
			s.sometimes(seenViewOnCommitted)
		}
	case *pbft.Vote:
		if m.View < p.node.Core().View() {
			s.sometimes(seenOldViewVote)
		}
	}
}

// seesStart counts what is rare about a start.
func (p *process) seesStart() {
	c := p.node.Core()
	p.following = c.IsFollower()
	if p.lives == 1 {
		return
	}
	p.resumes = p.disk.snapshots.Receiving()
	if p.disk.state != nil && p.sim.Restored() > 0 {
		p.s.sometimes(seenStateWent)
	}
	if c.Entered() && c.Primary() == p.id {
		p.s.sometimes(seenPrimaryAlone)
	}
}

// seesParts counts how an application got its state from peers.
func (p *process) seesParts(h pbft.Height, stats *statemachine.StateSyncStats, err error) {
	text := fmt.Sprintf("%d: %d keys of %d requests, %d bytes, %v", h, stats.Changed, stats.Requests, stats.Received, err)
	p.s.trace.event(p.s.now, "parts", int(p.id), -1, []byte(text), text)
	switch {
	case err != nil:
		p.s.sometimes(seenPartsFailed)
		return
	case stats.Changed > 0 && p.node.Core().Diverged() != nil:
		p.s.sometimes(seenPartsRepaired)
	case stats.Changed > 0:
		p.s.sometimes(seenParts)
	}
}

// seesStep counts what is rare among the states of a replica.
func (p *process) seesStep() {
	c := p.node.Core()
	p.stateOver()
	if k := c.FailedViews(); k != p.failedViews {
		p.failedViews = k
		switch {
		case k == p.s.schedule.Len():
			p.s.sometimes(seenFullRotation)
		case k == 2:
			p.s.sometimes(seenTwoFailedViews)
		}
	}
	if full := c.Tip().Height >= c.ExecutedHeight()+p.s.opts.Window; full && !p.windowFull {
		p.windowFull = true
		p.s.sometimes(seenFullWindow)
	} else if !full {
		p.windowFull = false
	}
	if f := c.IsFollower(); f != p.following {
		if !f {
			p.s.sometimes(seenRejoined)
			p.over(lostLog)
		}
		p.following = f
	}
}

// seesExecuted counts what is rare among blocks; replayed says that the replica is
// starting.
func (p *process) seesExecuted(b *pbft.Block, x *statemachine.Execution, replayed bool) {
	s := p.s
	if replayed {
		s.sometimes(seenReplayed)
		return
	}
	if len(b.Requests) == 0 {
		s.sometimes(seenEmptyBlock)
	}
	if b.Checkpoint {
		s.sometimes(seenFlaggedBlock)
	}
	for i := range x.Replies {
		switch x.Replies[i].Status {
		case statemachine.Expired:
			s.sometimes(seenExpired)
		case statemachine.Window, statemachine.Busy, statemachine.Early:
			s.sometimes(seenRequestRefused)
		}
	}
}
