package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/parley-bft/parley/replica"
)

// heal ends all faults. Nemeses have healed what they did already, unless they
// failed or a replica ended by itself.
func (r *run) heal() error {
	r.net.heal()
	if r.net.hosts.cables() {
		for i := range r.nodes {
			if err := r.net.hosts.unplug(i, false); err != nil {
				return err
			}
		}
	}
	for i, n := range r.nodes {
		n.signal(sigCont)
		if err := r.cluster.disks[i].free(); err != nil && !errors.Is(err, errNotHere) {
			return err
		}
		if !n.running() {
			if err := r.start(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// calm demands that every client gets an answer to something that it began after
// everything was healed.
func (r *run) calm() {
	ctx := context.Background()
	healed := r.recorder.now()
	lag := -1
	if r.await(ctx, r.opts.Patience, func(context.Context) bool {
		for _, u := range r.load.clients {
			if time.Duration(u.after.Load()) <= healed {
				lag = u.id
				return false
			}
		}
		return true
	}) {
		r.say("all clients have answers %.2f s after the last fault", (r.recorder.now() - healed).Seconds())
		return
	}
	for i := range r.nodes {
		r.describe(i)
	}
	r.broken("progress", "client %d has no answer %v after everything was healed", lag, r.opts.Patience)
}

// rejoin demands that those who lost their disks vote again. There is load still:
// a replica votes above what was ordered before its loss, so in a cluster where
// nothing happens it takes until views have changed by themselves.
func (r *run) rejoin() {
	who := ""
	if !r.await(context.Background(), r.opts.Patience, func(ctx context.Context) bool {
		who = ""
		for i, n := range r.nodes {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			s, err := n.status(ctx)
			cancel()
			if err == nil && s.Follower {
				who = name(i)
			}
		}
		return who == ""
	}) {
		for i := range r.nodes {
			r.describe(i)
		}
		r.broken("availability", "%s, which lost its disk, does not vote %v after everything was healed", who, r.opts.Patience)
	}
}

// settle demands that all replicas get level with each other, and vote.
func (r *run) settle() {
	begin := time.Now()
	why := ""
	if !r.await(context.Background(), r.opts.Patience, func(ctx context.Context) bool {
		why = r.unsettled(ctx)
		return why == ""
	}) {
		for i := range r.nodes {
			r.describe(i)
		}
		r.broken("availability", "%v after everything was healed and the load ended: %s", r.opts.Patience, why)
		return
	}
	r.say("all replicas are level and vote %.2f s after the load", time.Since(begin).Seconds())
}

// unsettled says what is not well yet.
func (r *run) unsettled(ctx context.Context) string {
	var first replica.Status
	for i, n := range r.nodes {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		s, err := n.status(ctx)
		cancel()
		switch {
		case err != nil:
			return fmt.Sprintf("%s does not answer: %v", name(i), err)
		case s.Halted != "":
			return fmt.Sprintf("%s has halted: %s", name(i), s.Halted)
		case s.Follower:
			return fmt.Sprintf("%s does not vote", name(i))
		case s.Executed != s.Committed:
			return fmt.Sprintf("%s has executed %d of %d blocks", name(i), s.Executed, s.Committed)
		case i > 0 && s.Committed != first.Committed:
			return fmt.Sprintf("%s has committed %d blocks, %s %d", name(i), s.Committed, name(0), first.Committed)
		}
		if i == 0 {
			first = s
		}
	}
	return ""
}

// wipe takes a stopped replica's data.
func (r *run) wipe(i int) error { return os.RemoveAll(r.cluster.disks[i].data()) }

// rejoined waits until a replica that lost its disk votes again.
func (r *run) rejoined(ctx context.Context, i int) bool {
	return r.await(ctx, r.opts.Patience, func(ctx context.Context) bool {
		s, err := r.nodes[i].status(ctx)
		return err == nil && !s.Follower
	})
}
