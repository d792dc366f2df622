package real

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func init() {
	register(&nemesis{name: "full", doc: "the disks of some replicas are full", lacks: noRoom, strike: full})
	register(&nemesis{name: "power", doc: "power cut of one replica: what it did not sync is gone", lacks: noPower, strike: func(ctx context.Context, r *run, rng *rand.Rand) error {
		return r.powerCut(ctx, rng, []int{r.victim(rng)}, "power")
	}})
	register(&nemesis{name: "power-all", doc: "power cut of all replicas at once", lacks: noPower, strike: func(ctx context.Context, r *run, rng *rand.Rand) error {
		return r.powerCut(ctx, rng, r.some(rng, len(r.nodes)), "power-all")
	}})
	register(&nemesis{name: "wipe", doc: "a replica loses its disk", harms: true, strike: wipe})
	register(&nemesis{name: "rot", doc: "bytes in a replica's files change, or go", harms: true, strike: rot})
}

func noPower(r *run) string {
	if power, _ := r.cluster.disks[0].can(); !power {
		return "a power cut takes ext4 on a loop device, for which one must be root, in namespaces"
	}
	return ""
}

func noRoom(r *run) string {
	if _, full := r.cluster.disks[0].can(); !full {
		return "it takes a file system for each replica, which is not permitted here"
	}
	return ""
}

// full leaves no room. Replicas stop by themselves then, and come back when there is.
func full(ctx context.Context, r *run, rng *rand.Rand) error {
	victims := []int{r.victim(rng)}
	if rng.IntN(3) == 0 {
		victims = r.some(rng, len(r.nodes))
	}
	end := r.fault("full", victims, "no room on the disk")
	defer end()
	for _, v := range victims {
		r.excuse(v, "its disk is full")
		if err := r.cluster.disks[v].fill(); err != nil {
			return err
		}
	}
	hold(ctx, rng, time.Second, 6*time.Second)
	for _, v := range victims {
		if !r.nodes[v].running() {
			r.sometimes("a replica stopped because its disk was full")
		}
		// Room comes back to the operator who ends the replica first, if it runs still:
		// a log that ends with a failed write is what the next start must cope with.
		r.nodes[v].kill()
		if err := r.cluster.disks[v].free(); err != nil {
			return err
		}
		r.excuse(v, "")
	}
	return r.startAll(ctx, victims)
}

// excuse says why a replica may end by itself, or that it may not.
func (r *run) excuse(v int, why string) {
	n := r.nodes[v]
	n.set(func() { n.excused = why })
}

// powerCut stops the file systems first, as a power cut does: processes that go on
// for a moment cannot sync anything any more.
func (r *run) powerCut(ctx context.Context, rng *rand.Rand, victims []int, kind string) error {
	end := r.fault(kind, victims, "the power is cut")
	defer end()
	for _, v := range victims {
		r.excuse(v, "it has no power")
	}
	for _, v := range victims {
		if err := r.cluster.disks[v].cut(); err != nil {
			return err
		}
	}
	r.killAll(victims)
	for _, v := range victims {
		if err := r.cluster.disks[v].restore(); err != nil {
			return err
		}
		r.excuse(v, "")
	}
	if rng != nil {
		hold(ctx, rng, 0, time.Second)
	}
	return r.startAll(ctx, victims)
}

// wipe takes a disk away. The replica comes back as a follower.
func wipe(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.unlucky(rng)
	end := r.fault("wipe", []int{v}, "its disk is lost")
	defer end()
	r.nodes[v].kill()
	return r.renew(ctx, v)
}

// renew starts a stopped replica with no disk and waits until it votes.
func (r *run) renew(ctx context.Context, v int) error {
	if err := r.wipe(v); err != nil {
		return err
	}
	if err := r.start(v); err != nil {
		return err
	}
	if !r.answers(ctx, v) {
		return nil
	}
	begin := time.Now()
	if r.rejoined(ctx, v) {
		r.say("%s, which lost its disk, votes again after %.2f s", name(v), time.Since(begin).Seconds())
		r.sometimes("a replica that lost its disk votes again")
	} else if ctx.Err() == nil {
		r.note("%s, which lost its disk, did not vote after %v under faults", name(v), r.opts.Patience)
	}
	return nil
}

// rot damages files of a replica while it does not run. It must refuse to start, or
// do no harm; then its disk is replaced.
func rot(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.unlucky(rng)
	n := r.nodes[v]
	n.kill()
	// What it forgets without knowing it may contradict, and proofs of that are right.
	n.set(func() { n.blamed = true })
	what, err := damage(r.cluster.disks[v].data(), rng)
	if err != nil {
		return err
	}
	end := r.fault("rot", []int{v}, "%s", what)
	defer end()
	r.excuse(v, "its files are damaged")
	if err := r.start(v); err != nil {
		return err
	}
	if r.answers(ctx, v) {
		hold(ctx, rng, time.Second, 4*time.Second)
	}
	if n.running() {
		r.sometimes("a replica runs with damaged files")
		n.kill()
	} else {
		r.sometimes("a replica refuses damaged files")
		r.trace("%s refuses: %s", name(v), lastLine(n.log))
	}
	r.excuse(v, "")
	return r.renew(ctx, v)
}

// damage changes one file below a folder and says what it did.
func damage(dir string, rng *rand.Rand) (string, error) {
	var files []string
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			files = append(files, path)
		}
		return nil
	}); err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "there is nothing to damage", nil
	}
	slices.Sort(files)
	path := files[rng.IntN(len(files))]
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	short, err := filepath.Rel(dir, path)
	if err != nil {
		return "", err
	}
	what := rotten(data, rng)
	if what.gone {
		return short + " is gone", os.Remove(path)
	}
	return fmt.Sprintf("%s of %d bytes: %s", short, len(data), what.text), os.WriteFile(path, what.data, 0o600)
}

// decay is what became of a file.
type decay struct {
	text string
	data []byte
	gone bool
}

func rotten(data []byte, rng *rand.Rand) decay {
	at := rng.IntN(len(data))
	switch rng.IntN(6) {
	case 0:
		return decay{text: "gone", gone: true}
	case 1:
		return decay{text: fmt.Sprintf("cut off at %d", at), data: data[:at]}
	case 2:
		size := min(4096, len(data)-at)
		clear(data[at : at+size])
		return decay{text: fmt.Sprintf("%d zeros at %d", size, at), data: data}
	case 3:
		other := rng.IntN(len(data))
		size := min(512, len(data)-max(at, other))
		for k := range size {
			data[at+k], data[other+k] = data[other+k], data[at+k]
		}
		return decay{text: fmt.Sprintf("%d bytes at %d and %d swapped", size, at, other), data: data}
	}
	flips := 1 + rng.IntN(8)
	for range flips {
		data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
	}
	return decay{text: fmt.Sprintf("%d bits flipped", flips), data: data}
}
