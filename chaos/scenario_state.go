package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// States on disks, and snapshots that only name them.

var stateScenarios = []Scenario{
	{
		Name: "cosmos-snapshot-of-a-pruned-height", Origin: "Cosmos SDK", Bugs: []string{"Cosmos SDK #23638"}, Kind: Caught,
		Wrong:   "Which heights might be pruned was computed from the interval of snapshots. When that was changed, a height was pruned while the snapshot of it was still being made.",
		Differs: "A height stays for as long as a snapshot names it, whatever the intervals are, and is let go of by the list of the files that are left. The file is written, and the vote for its checkpoint leaves, when the height is on the disk: so a replica that crashes at any moment goes back to what it voted for, and asks nobody.",
		Rules:   "ARCHITECTURE: a snapshot of a state on the disk names it",
		Mutants: []string{"M41", "M42", "M44"},
		play:    func(a *act) { playNamedStates(a); playLostFolder(a) },
	},
}

// playNamedStates crashes replicas while the state of a checkpoint is being synced, while its
// snapshot waits for that, and while old ones are pruned.
func playNamedStates(a *act) {
	d := a.direct(func(o *Options) {
		behind(o)
		o.Stored, o.OnDisk, o.Disk, o.Storm = true, true, time.Millisecond, 5*time.Second
	})
	c := crashDuring(d, replica.WorkState, 100*time.Millisecond)
	r := d.play()
	a.holds(c.short == 0, "%d times a replica came back below its newest durable snapshot", c.short)
	a.holds(r.Transfers == 0, "%d states had to be fetched from others", r.Transfers)
	a.occurred(c.work > 3 && c.files > 3 && r.Sometimes[seenStateUnsynced] > 3 && r.Sometimes[seenStateWent] > 10,
		"crashes while a state is synced and while the log is pruned (%d, %d), of which %d took a part of the state, and %d starts with a state of the disk",
		c.work, c.files, r.Sometimes[seenStateUnsynced], r.Sometimes[seenStateWent])
	a.fact("%d crashes while the state of a checkpoint was being synced and %d while old ones were pruned: %d starts went on from the state that the newest snapshot names, and no state was transferred", c.work, c.files, r.Sometimes[seenStateWent])
	a.fact("%d blocks", r.Blocks)
}

// playLostFolder takes the folder of a replica's state, and then makes a part of what came back
// unreadable, while a traitor gives false parts.
func playLostFolder(a *act) {
	d := a.direct(func(o *Options) {
		inParts(o)
		o.OnDisk, o.Storm = true, 4*time.Second
		traitor(first, "falseparts")(o)
	})
	const victim = pbft.ReplicaID(3)
	d.at(600*time.Millisecond, func() {
		d.restart(victim, func(m *member) {
			m.disk.state.Clear()
			m.stateLost = true
		})
	})
	again, rotten, mended := time.Duration(0), false, time.Duration(0)
	d.watch(5*time.Millisecond, func() {
		m := d.replicas[victim]
		switch {
		case d.now < 700*time.Millisecond || m.up == nil || m.stateHurt():
		case again == 0:
			again = d.now
		case !rotten && d.now > 2*time.Second:
			rotten = m.disk.state.Rot(d.rng.IntN) != ""
			m.stateRots = rotten
			d.restart(victim, nil)
			d.after(50*time.Millisecond, m.scrub)
		case rotten && mended == 0:
			mended = d.now
		}
	})
	r := d.play()
	lies := d.deeds(first)
	a.occurred(lies > 0 && again > 0 && rotten, "a lost folder (%v), false parts (%d) and damage (%t)", again, lies, rotten)
	a.holds(r.Transfers > 0 && r.Sometimes[seenParts]+r.Sometimes[seenPartsRepaired] > 0, "no state was installed part by part (%d transfers)", r.Transfers)
	a.holds(mended > 0 && r.Sometimes[seenStateDamaged] > 0, "the damage is not made good (found %d times)", r.Sometimes[seenStateDamaged])
	a.fact("a replica lost the folder of its state and had it again at %v, part by part, in spite of %d lies of a traitor; of a part that could not be read later it was rid at %v", again.Round(time.Millisecond), lies, mended.Round(time.Millisecond))
}
