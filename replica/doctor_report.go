package replica

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// DoctorReport is what a replica knows of the health of its own state.
type DoctorReport struct {
	Replica  pbft.ReplicaID `json:"replica"`
	Name     string         `json:"name"`
	Executed pbft.Height    `json:"executed"`
	Stable   pbft.Height    `json:"stable"`
	// Diverged is the checkpoint at which the state differs from the certified one now, 0
	// if as far as is known it does not.
	Diverged pbft.Height `json:"diverged,omitempty"`
	// Split is a checkpoint for which no certificate can exist, since the replicas came to
	// different states, 0 if there is none: since then nothing was certified.
	Split pbft.Height `json:"split,omitempty"`
	// Failed is why the replica stopped, empty if it did not.
	Failed string `json:"failed,omitempty"`
	// Cases are the divergences that this replica has had, the oldest first: the last 16.
	Cases []DoctorCase `json:"cases,omitempty"`
	// Scrub is the last time that all of the state on the disk was read, nil if it never was.
	Scrub *DoctorScrub `json:"scrub,omitempty"`
}

// DoctorScrub is what reading all of the state on the disk came to.
type DoctorScrub struct {
	At     time.Time   `json:"at"` // when it began
	Took   string      `json:"took"`
	Height pbft.Height `json:"height"`
	Keys   int         `json:"keys"`
	Bytes  int64       `json:"bytes"`
	// Damaged are the first damages that it found, More says that there are others. Each begins
	// a case.
	Damaged []string `json:"damaged,omitempty"`
	More    bool     `json:"more,omitempty"`
}

// DoctorStretch is a part of the storage that could not be read.
type DoctorStretch struct {
	File string `json:"file,omitempty"`
	// After and Before are the last key below and the first one above that could be read, nil
	// if there is none.
	After  *DoctorBytes `json:"after,omitempty"`
	Before *DoctorBytes `json:"before,omitempty"`
	Reason string       `json:"reason"`
}

// DoctorCase is one divergence.
type DoctorCase struct {
	Found time.Time `json:"found"`
	// Height is the checkpoint at which the state was another one, Agreed the last one
	// before at which it was not: it became wrong in between.
	Height pbft.Height `json:"height"`
	Agreed pbft.Height `json:"agreed"`
	Reason string      `json:"reason"`
	// Sides, if no certificate can exist, are the states that there are. The keys are then compared
	// with the first of them that is not this replica's, and may be wrong there.
	Sides []DoctorSide `json:"sides,omitempty"`
	// Parts are those of the state that differ: application, sessions, results, snapshot. It is
	// storage if nothing was compared, since the disk cannot be read or is not what was
	// written; Height is then what was executed by then.
	Parts []string `json:"parts,omitempty"`
	// Keys are the first keys of the application's state that differ, and how.
	Keys     []DoctorKey `json:"keys,omitempty"`
	MoreKeys bool        `json:"moreKeys,omitempty"`
	// Unreadable are the files that could not be read.
	Unreadable []DoctorStretch `json:"unreadable,omitempty"`
	// Note says why something is not known.
	Note string `json:"note,omitempty"`
	// Repairs are the attempts to repair the state, Healed is when that was done.
	Repairs []DoctorRepair `json:"repairs,omitempty"`
	Healed  *time.Time     `json:"healed,omitempty"`
}

// DoctorSide is a state at a checkpoint, and who has it.
type DoctorSide struct {
	Replicas []string `json:"replicas"`
	Here     bool     `json:"here,omitempty"` // this replica is among them
	State    string   `json:"state"`          // digest, in hex
	Results  string   `json:"results"`
}

// DoctorKey is a key whose value differs.
type DoctorKey struct {
	Key   DoctorBytes  `json:"key"`
	Here  *DoctorBytes `json:"here,omitempty"`  // nil: no such key here, or it cannot be read
	There *DoctorBytes `json:"there,omitempty"` // nil: there should be no such key
	// Damaged: the storage changed the value, no operation did.
	Damaged bool `json:"damaged,omitempty"`
	// Written is the height of the block that wrote the key here last, 0 if unknown.
	Written pbft.Height `json:"written,omitempty"`
	// Operation is the one that did, nil if it is not known or there was none.
	Operation *DoctorOperation `json:"operation,omitempty"`
}

// DoctorOperation names an operation.
type DoctorOperation struct {
	Block   pbft.Height `json:"block"`
	Digest  string      `json:"digest"` // of the block, in hex
	Client  string      `json:"client"` // key, in hex
	Seq     uint64      `json:"seq"`
	Index   int         `json:"index"`   // in its request; -1: the beginning or end of the block
	Request string      `json:"request"` // digest, in hex
	Data    DoctorBytes `json:"data"`
}

// DoctorRepair is one attempt.
type DoctorRepair struct {
	At time.Time `json:"at"`
	// Base is the checkpoint whose state was installed, Replayed how many blocks above it
	// were executed again. 0 is the state before the first block, which was kept.
	Base     pbft.Height `json:"base"`
	Replayed int         `json:"replayed"`
	// Whole: all of the snapshot was transferred, or a local copy used. Otherwise
	// only what differs was: Changed keys, of which Damaged had been changed by the
	// storage, in so many bytes and requests.
	Whole    bool  `json:"whole,omitempty"`
	Changed  int   `json:"changed"`
	Damaged  int   `json:"damaged"`
	Received int64 `json:"received"`
	Sent     int64 `json:"sent"`
	Requests int   `json:"requests"`
}

// WhatToDoAboutSplit is for the operators of replicas that came to different states.
const WhatToDoAboutSplit = "nothing is certified any more, no replica can repair itself, and blocks are ordered only until the log is full (logMax above the last snapshot): " +
	"find out from the operations that are named what depends on more than the state and the block (maps walked over, clocks, random numbers, versions or configurations that differ), " +
	"stop all replicas, install the same corrected program on all of them, and start them: each executes the log again from the last certified snapshot"

// maxShownBytes is how much of a value a report has.
const maxShownBytes = 256

// DoctorBytes are bytes in a report: text if they are printable, hexadecimal otherwise,
// and of long ones only the beginning.
type DoctorBytes struct {
	Text string `json:"text,omitempty"`
	Hex  string `json:"hex"`
	Size int    `json:"size"`
}

func doctorBytes(b []byte) DoctorBytes {
	d := DoctorBytes{Size: len(b)}
	if len(b) > maxShownBytes {
		b = b[:maxShownBytes]
	}
	d.Hex = hex.EncodeToString(b)
	if q := strconv.QuoteToASCII(string(b)); len(b) > 0 && len(q) == len(b)+2 {
		d.Text = string(b)
	}
	return d
}

func (d DoctorBytes) String() string {
	text := d.Text
	if text == "" && d.Size > 0 {
		text = "0x" + d.Hex
	}
	if d.Size > maxShownBytes {
		return fmt.Sprintf("%s... (%d bytes)", text, d.Size)
	}
	if text == "" {
		return `""`
	}
	return text
}
