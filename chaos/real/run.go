package real

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/parley-bft/parley/chaos/report"
)

// run is a run under way.
type run struct {
	opts     Options
	folder   *report.Folder
	net      *network
	cluster  *cluster
	nodes    []*node
	load     *load
	recorder *recorder
	singled  []int // replicas that may be faulty in this run
	next     string
	lock     *os.File // says that the run's folder is in use
	deck     []string // strategies of traitors that are to come
	notes    []string
	// printed by the nemeses of counted runs
	counted, goal int

	mu         sync.Mutex
	faults     []report.Fault
	violations []report.Violation
	samples    [][]report.Sample
	phases     []report.Phase
	coverage   map[string]uint64
	died       chan struct{} // closed at the first violation that ends the run
	diedOnce   sync.Once
	ending     bool
}

// Run runs a cluster under faults and judges it. An error says that the run itself
// failed; what the cluster did wrong is in the outcome. When ctx ends the faults do,
// and what was done so far is judged.
func Run(ctx context.Context, o Options) (out *Outcome, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	folder, err := report.Create(o.Dir)
	if err != nil {
		return nil, err
	}
	r := &run{opts: o, folder: folder, recorder: newRecorder(), coverage: map[string]uint64{}, died: make(chan struct{}), samples: make([][]report.Sample, o.Replicas)}
	defer func() { err = errors.Join(err, folder.Close()) }()
	started := time.Now()
	if err := r.prepare(); err != nil {
		r.tearDown()
		return nil, err
	}
	defer r.tearDown()
	if err := r.live(ctx); err != nil {
		return nil, err
	}
	return r.finish(started)
}

// prepare makes the network, the files and nothing that runs but proxies.
func (r *run) prepare() error {
	n := r.opts.Replicas
	rng := rand.New(rand.NewPCG(r.opts.Seed, 1))
	r.singled = rng.Perm(r.opts.Replicas)[:r.opts.faulty()]
	for _, s := range sweep(append(leftovers(), r.opts.Dir)) {
		r.say("removed what an earlier run had left: %s", s)
	}
	var h hosts
	if Contained() {
		if err := furnish(); err != nil {
			return err
		}
	}
	if Contained() && !r.opts.Loopback {
		c, err := newCabled(n)
		if err != nil {
			r.note("no network namespaces, all on loopback: %v", err)
		} else {
			h = c
		}
	}
	if h == nil {
		l, err := newLoopback(n)
		if err != nil {
			return err
		}
		h = l
	}
	var err error
	if r.net, err = newNetwork(h, n); err != nil {
		return err
	}
	dir := filepath.Join(r.opts.Dir, "cluster")
	if r.lock, err = lockFolder(r.opts.Dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if r.cluster, err = makeCluster(dir, r.opts.Application, r.net, Contained()); err != nil {
		return err
	}
	for i := range n {
		r.nodes = append(r.nodes, &node{id: i, log: r.cluster.log(i), admin: h.admin(i), state: report.Down})
	}
	r.next = r.opts.Next
	if r.next == "" {
		r.next = filepath.Join(dir, "parley-next")
		if err := copyProgram(r.opts.Program, r.next); err != nil {
			return err
		}
	}
	where := "on loopback"
	if h.cables() {
		where = "each with a network namespace"
	}
	power, full := r.cluster.disks[0].can()
	switch {
	case power:
		where += ", each with an ext4 file system on a loop device"
	case full:
		where += ", each with a tmpfs"
	}
	r.say("%d replicas of %s, %s; %d clients, %d operations/s; seed %d; %v may be faulty", n, r.opts.Application, where, r.opts.Clients, r.opts.Rate, r.opts.Seed, r.singled)
	return nil
}

func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o700)
}

// live starts everything, lets nemeses strike, heals and stops.
func (r *run) live(ctx context.Context) (err error) {
	background, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	defer func() {
		cancel()
		group.Wait()
		if r.load != nil {
			err = errors.Join(err, r.load.close())
		}
	}()
	for i := range r.nodes {
		if err := r.start(i); err != nil {
			return err
		}
	}
	dial, cancelDial := context.WithTimeout(ctx, r.opts.Patience)
	defer cancelDial()
	if r.load, err = newLoad(dial, r.cluster.roster, r.opts.Clients, r.opts.Seed, r.recorder, r.broken); err != nil {
		return fmt.Errorf("the cluster does not serve clients: %w%s", err, r.lastWords())
	}
	group.Go(func() { r.sample(background) })
	group.Go(func() { r.progress(background) })
	group.Go(func() { r.load.pace(background, r.opts.Rate) })
	clients, stopClients := context.WithCancel(background)
	var users sync.WaitGroup
	for _, u := range r.load.clients {
		users.Go(func() { r.load.run(clients, u) })
	}
	defer stopClients()
	defer users.Wait()
	defer stopClients()

	r.phase("storm")
	err = r.storm(ctx)
	r.phase("calm")
	if healed := r.heal(); err == nil {
		err = healed
	}
	if err != nil {
		return err
	}
	well := func() bool { return !r.broke("progress") && !r.broke("availability") }
	for _, demand := range []func(){r.calm, r.rejoin} {
		if well() {
			demand()
		}
	}
	stopClients()
	users.Wait()
	if well() {
		r.settle()
	}
	r.phase("")
	return nil
}

// storm is the time of faults.
func (r *run) storm(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-r.died:
			cancel()
		case <-ctx.Done():
		}
	}()
	// It works before it is harmed.
	if !r.progressed(ctx, 5*r.opts.Clients, r.opts.Patience) {
		if ctx.Err() == nil {
			r.broken("progress", "no operations complete at the start")
		}
		return nil
	}
	rng := func(k uint64) *rand.Rand { return rand.New(rand.NewPCG(r.opts.Seed, k)) }
	switch {
	case r.opts.Kills > 0:
		return r.manyKills(ctx, rng(2))
	case r.opts.PowerCuts > 0:
		return r.manyPowerCuts(ctx, rng(2))
	}
	chosen, err := choose(r.opts.Nemeses)
	if err != nil {
		return err
	}
	lists, err := r.possible(chosen)
	if err != nil {
		return err
	}
	timed, done := context.WithTimeout(ctx, r.opts.Duration)
	defer done()
	var group sync.WaitGroup
	var errs [2]error
	for k, list := range lists {
		group.Go(func() {
			if errs[k] = r.rage(timed, list, rng(uint64(2+k))); errs[k] != nil {
				done()
			}
		})
	}
	group.Wait()
	<-timed.Done()
	return errors.Join(errs[0], errs[1])
}

// possible leaves out what cannot be done here, and says so. If nothing is left of what
// was chosen, a run without any fault must not pass for one with them.
func (r *run) possible(chosen []*nemesis) (lists [2][]*nemesis, err error) {
	left := 0
	for _, n := range chosen {
		if why := n.lacks; why != nil {
			if why := why(r); why != "" {
				r.note("%s is left out: %s", n.name, why)
				err = fmt.Errorf("%w: %s: %s", ErrImpossible, n.name, why)
				continue
			}
		}
		k := 0
		if n.network {
			k = 1
		}
		lists[k] = append(lists[k], n)
		left++
	}
	if left > 0 {
		err = nil
	}
	return lists, err
}

// start starts a replica's usual program.
func (r *run) start(i int) error { return r.startWith(i, r.opts.Program) }

func (r *run) startWith(i int, program string) error {
	return r.launch(i, launch{program: program, args: []string{"start", "--until-stdin-closes", "--dir", r.cluster.home(i)}})
}

func (r *run) launch(i int, l launch) error {
	_, err := r.nodes[i].start(r.net.hosts, l, r.unexpected)
	r.trace("%s starts: %s %v", name(i), filepath.Base(l.program), l.args)
	return err
}

// tearDown ends all processes and gives everything back.
func (r *run) tearDown() {
	r.mu.Lock()
	r.ending = true
	r.mu.Unlock()
	var group sync.WaitGroup
	for _, n := range r.nodes {
		group.Go(func() {
			n.signal(sigCont)
			n.stop(5 * time.Second)
		})
	}
	group.Wait()
	if r.net != nil {
		_ = r.net.close()
	}
	if r.cluster != nil {
		if r.kept() {
			r.keepDisks()
		}
		r.cluster.close()
		if !r.kept() {
			r.removeData()
		}
	}
	if r.lock != nil {
		_ = r.lock.Close()
	}
}

// kept is that the data of the replicas may tell what went wrong.
func (r *run) kept() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.violations) > 0
}

// keepDisks copies what is in file systems that are about to go.
func (r *run) keepDisks() {
	for i, d := range r.cluster.disks {
		if _, own := d.can(); own {
			_ = os.CopyFS(filepath.Join(r.cluster.home(i), "kept"), os.DirFS(d.data()))
		}
	}
}

func (r *run) removeData() {
	for i := range r.cluster.disks {
		_ = os.RemoveAll(filepath.Join(r.cluster.home(i), "disk"))
	}
	if r.opts.Next == "" {
		_ = os.Remove(r.next)
	}
}
