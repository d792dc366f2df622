package replica

import (
	"errors"
	"slices"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// What the doctor notes of damage.

// partStorage is the part of a state that is not what it was where the disk changed it.
const partStorage = "storage"

// mended notes what was found to be damaged, once the rest can be read again. It is called by
// the runner.
func (d *doctor) mended(v *pbft.Divergence, cause error, stats *statemachine.StateSyncStats) {
	c := DoctorCase{Found: d.s.cfg.Now(), Height: v.Height(), Agreed: v.Agreed, Reason: cause.Error(), Parts: []string{partStorage}}
	for _, u := range stats.Unreadable {
		c.Unreadable = append(c.Unreadable, doctorStretch(&u))
	}
	known := errors.Is(cause, errFoundBefore) && slices.ContainsFunc(d.all(), func(c DoctorCase) bool {
		return c.Healed == nil && slices.Contains(c.Parts, partStorage)
	})
	d.s.logger.Error("DAMAGED STATE", "executed", c.Height, "agreed", c.Agreed, "values", stats.Damaged, "reason", c.Reason)
	for i := range c.Unreadable {
		u := &c.Unreadable[i]
		d.s.logger.Error("DAMAGED FILE", "file", u.File, "after", u.After.show(), "before", u.Before.show(), "reason", u.Reason)
	}
	if known {
		d.present(func(x *DoctorCase) {
			x.Unreadable = append(slices.Clone(x.Unreadable), c.Unreadable...)
			x.Unreadable = x.Unreadable[:min(len(x.Unreadable), statemachine.MaxUnreadable)]
		})
		return
	}
	d.add(c)
}

func (d *doctor) add(c DoctorCase) {
	d.change(func(cases []DoctorCase) []DoctorCase { return append(slices.Clone(cases), c) })
}

func doctorStretch(u *statemachine.UnreadableStretch) DoctorStretch {
	out := DoctorStretch{File: u.File, Reason: u.Reason}
	for _, x := range []struct {
		from []byte
		to   **DoctorBytes
	}{{u.After, &out.After}, {u.Before, &out.Before}} {
		if x.from != nil {
			b := doctorBytes(x.from)
			*x.to = &b
		}
	}
	return out
}

// lost adds the keys that a repair got because they were lost here.
func (c *DoctorCase) lost(stats *statemachine.StateSyncStats) (added []DoctorKey) {
	c.Keys = slices.Clone(c.Keys)
	for i := range stats.Lost {
		x := &stats.Lost[i]
		known := slices.ContainsFunc(c.Keys, func(k DoctorKey) bool { return k.Key == doctorBytes(x.Key) })
		if known || len(c.Keys) >= maxFoundKeys {
			continue
		}
		there := doctorBytes(x.There)
		added = append(added, DoctorKey{Key: doctorBytes(x.Key), There: &there, Damaged: true})
		c.Keys = append(c.Keys, added[len(added)-1])
	}
	c.MoreKeys = c.MoreKeys || stats.Damaged > len(c.Keys)
	return added
}

// setAside notes that what the disk had of the state was of no use.
func (d *doctor) setAside(cause error, where string) {
	d.add(DoctorCase{
		Found: d.s.cfg.Now(), Reason: cause.Error(), Parts: []string{partStorage},
		Note: "none of it could be used: it was set aside as " + where + ", and the state is made anew from a snapshot, the log or the other replicas",
	})
}

// lastScrub is the last scrub that came to an end, nil if there was none.
func (d *doctor) lastScrub() *DoctorScrub {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.scrub
}

func (d *doctor) scrubbed(x *DoctorScrub) {
	d.mu.Lock()
	d.scrub = x
	d.mu.Unlock()
	d.change(func(cases []DoctorCase) []DoctorCase { return cases })
}
