package chaos

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/client/answers"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// user is a simulated client: it signs a request, sends it to one replica and
// later to all, and believes of the answers what the real client believes (package
// client/answers).
type user struct {
	s    *Simulation
	id   int
	key  crypto.KeySigner
	seq  uint64
	made int // operations begun
	open *openRequest
	// left is how many operations are still to be answered after the storm; -1 before.
	left int
	done bool
}

// openRequest is a request without an outcome.
type openRequest struct {
	request *pbft.Request
	op      Op
	history int
	since   time.Duration
	after   pbft.Height // the highest block of an answer that was known when it was made
	tries   int
	answers answers.Answers
}

func newUser(s *Simulation, id int) *user {
	return &user{s: s, id: id, key: s.sym.Client(uint64(id)), left: -1}
}

// finalOperations is how many operations each client must get answered after the
// storm.
const finalOperations = 3

// final tells the client that the storm is over.
func (u *user) final() {
	u.left = finalOperations
	if u.open == nil {
		u.next()
	}
}

// next begins an operation.
func (u *user) next() {
	if u.open != nil || u.done {
		return
	}
	var op Op
	var data []byte
	switch {
	case u.s.world != nil && (!u.s.keyed || u.s.rng.IntN(2) == 0):
		data = u.s.world.Operation(u.s.rng, u.id, statemachine.Time(u.s.clock()))
		op = Op{Kind: OpOther, New: string(data)}
	case u.s.opts.Operation != nil:
		data = u.s.opts.Operation(u.s.rng, u.id, u.made)
		op = Op{Kind: OpOther, New: string(data)}
	default:
		op = u.operation()
		data = op.Encode()
	}
	u.made++
	u.seq++
	life := u.s.opts.Life
	if u.left >= 0 {
		life = maxLife / 2
	}
	r := pbft.NewRequest(u.key.Public(), u.seq, u.seq, u.s.clock().Add(life), [][]byte{data})
	d := r.Digest()
	sig, ok := crypto.SignatureOf(u.key.Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: u.s.cluster}, d[:]))
	if !ok {
		panic("chaos: a symbolic client's signature has a wrong size")
	}
	o := &openRequest{request: r.WithSignature(sig), op: op, since: u.s.now, after: u.s.judge.model.acked, answers: answers.New(len(u.s.replicas))}
	u.s.judge.answers.request(o.request)
	o.history = u.s.judge.history.Begin(u.id, op, int64(u.s.now))
	u.open = o
	u.s.trace.event(u.s.now, "request", u.id, -1, d[:], op.String())
	u.send(o)
}

// operation draws an operation; every value is written once at most.
func (u *user) operation() Op {
	rng := u.s.rng
	op := Op{Kind: OpKind(rng.IntN(3)), Key: fmt.Sprintf("k%d", rng.IntN(u.s.opts.Keys)), New: fmt.Sprintf("%d.%d", u.id, u.made)}
	if op.Kind == OpSwap {
		op.Old = u.s.judge.recent(op.Key)
	}
	return op
}

// send sends the request, and again until it has an outcome.
func (u *user) send(o *openRequest) {
	if u.open != o {
		return
	}
	if u.s.clock() > o.request.Deadline {
		// Perhaps nobody says any more what became of it.
		u.end(nil)
		return
	}
	if o.tries == 0 {
		u.s.network.request(pbft.ReplicaID(u.s.rng.IntN(len(u.s.replicas))), o.request)
	} else {
		for i := range u.s.replicas {
			u.s.network.request(pbft.ReplicaID(i), o.request)
		}
	}
	o.tries++
	u.s.after(u.s.opts.Retry*time.Duration(min(o.tries, 4)), func() { u.send(o) })
}

// reply takes what one replica says.
func (u *user) reply(from pbft.ReplicaID, r *statemachine.Reply) {
	o := u.open
	if o == nil || !answers.Fits(o.request, r) {
		return
	}
	if o.answers.Hear(u.s.quorums, from, answers.Key(r)) {
		u.outcome(r)
	}
}

// outcome takes what a blocking set says.
func (u *user) outcome(r *statemachine.Reply) {
	o, j := u.open, u.s.judge
	d := r.Digest()
	u.s.trace.event(u.s.now, "outcome", u.id, -1, d[:], r.Status.String())
	j.answers.believed(u.id, r)
	switch answers.Of(r.Status) {
	case answers.Ran:
		u.ran(r)
	case answers.Never:
		j.history.Never(o.history)
		u.end(nil)
	case answers.Again:
		o.answers.Forget()
	case answers.Unknown:
		u.s.fail("client %d is told %v of its open request %v", u.id, r.Status, o.request)
	}
}

// ran takes the results.
func (u *user) ran(r *statemachine.Reply) {
	o, j := u.open, u.s.judge
	out, err := o.op.Read(r.Results[0])
	if err != nil {
		u.s.fail("client %d: %v", u.id, err)
		return
	}
	j.history.End(o.history, out, int64(u.s.now))
	j.model.acknowledged(u.id, j.ran[r.Request], o.after)
	if o.op.Kind != OpOther {
		j.wrote(o.op, out)
	}
	u.end(r)
}

// end closes the open request; r is its answer, nil if it has none.
func (u *user) end(r *statemachine.Reply) {
	// One that was made in the storm does not count.
	fresh := u.open.since >= u.s.opts.Storm
	u.open = nil
	if u.left > 0 && r != nil && fresh {
		u.left--
	}
	if u.left == 0 {
		u.done = true
		return
	}
	think := u.s.opts.Think
	if u.left < 0 {
		think = u.s.exp(think)
	}
	u.s.after(think, u.next)
}
