package chaos

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
	"github.com/parley-bft/parley/statemachine/ledger/ledgertest"
)

// breaking has, for every invariant, what its check must not let pass: what a replica does
// or says, a second into a run in which all is well.
var breaking = map[Invariant]func(s *Simulation, p *process){
	Agreement: func(s *Simulation, p *process) {
		other := pbft.NewBlock(pbft.Header{Cluster: s.cluster, Height: 2, Time: 7}, nil)
		s.judge.executed(p, other, &statemachine.Execution{})
	},
	Validity: func(s *Simulation, p *process) {
		key := s.clients[0].key.Public()
		r := pbft.NewRequest(key, 1<<40, 1, 0, nil)
		b := pbft.NewBlock(pbft.Header{Cluster: s.cluster, Height: 1 << 40}, []*pbft.Request{r})
		s.judge.answers.executed(p, b, []statemachine.Reply{{Request: r.Digest(), Client: key, Seq: r.Seq, Status: statemachine.Expired}})
	},
	ExactlyOnce: func(s *Simulation, p *process) {
		r := &statemachine.Reply{Request: crypto.Hash("chaos/test", nil)}
		s.judge.once(p, 5, r)
		s.judge.once(p, 6, r)
	},
	Certificates: func(s *Simulation, p *process) {
		few := crypto.NewBitmap(len(s.replicas))
		few.Set(1)
		s.judge.certs.certificate(p, &pbft.Certificate{Statement: pbft.Statement{Phase: pbft.Prepare, Height: 9}, Signers: few})
	},
	Bases: func(s *Simulation, p *process) {
		s.judge.bases.entered(p, &pbft.NewView{View: 3})
	},
	Equivocation: func(s *Simulation, p *process) {
		for _, newView := range []pbft.Digest{{1}, {2}} {
			s.judge.watch.sent(p.id, &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, View: 5, NewView: newView, Height: 9}, Signer: p.id})
		}
	},
	Persistence: func(s *Simulation, p *process) {
		s.judge.durable(p, &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: pbft.Claim{View: 7}, Signer: p.id}})
	},
	Determinism: func(s *Simulation, p *process) {
		s.judge.statement(p, pbft.CheckpointStatement{Height: 1 << 40})
		s.judge.statement(p, pbft.CheckpointStatement{Height: 1 << 40, State: crypto.Digest{1}})
	},
	Transfers: func(s *Simulation, p *process) {
		b := *p.node.Core().SnapshotBundle()
		s.judge.agreed[b.Height()] = pbft.Digest{1}
		s.judge.installed(p, &b)
	},
	Results: func(s *Simulation, _ *process) {
		w := ledgertest.New(s.cluster, []crypto.PublicKey{s.clients[0].key.Public()})
		c := &modelCheck{s: s, model: ledgertest.NewModel(w), next: 1, waiting: map[pbft.Height]playedBlock{}}
		// A transfer of nothing, which a ledger would refuse.
		op := ledger.Do(&ledger.Transfer{Asset: "EUR", From: "c0", To: "p0"})
		q := pbft.NewRequest(s.clients[0].key.Public(), 1, 1, 1, [][]byte{op})
		c.executed(pbft.NewBlock(pbft.Header{Cluster: s.cluster, Height: 1}, []*pbft.Request{q}),
			[]statemachine.Reply{{Status: statemachine.Executed, Results: []statemachine.Result{statemachine.OK(make([]byte, 16+1+8))}}})
	},
	Replies: func(s *Simulation, _ *process) {
		s.judge.answers.believed(0, &statemachine.Reply{Request: crypto.Hash("chaos/test", nil), Status: statemachine.Executed})
	},
	Linearizability: func(s *Simulation, _ *process) {
		h := &s.judge.history
		h.End(h.Begin(0, Op{Kind: OpGet, Key: "k"}, 1), Outcome{Found: true, Value: "never written"}, 2)
	},
	Monotonicity: func(s *Simulation, p *process) {
		s.judge.lives[p.id].committed += 1000
		s.judge.observe(p)
	},
	Watermarks: func(s *Simulation, p *process) {
		s.judge.window(p, &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, Height: p.node.Core().ExecutedHeight() + s.opts.Window + 1}, Signer: p.id})
	},
	Framing:        func(s *Simulation, p *process) { s.judge.culprits(p, []pbft.ReplicaID{2}) },
	Accountability: func(s *Simulation, _ *process) { s.judge.culpritsOf(&Fork{}, s.judge.verifier(), nil) },
	Bounds: func(s *Simulation, p *process) {
		for h := range uint64(1000) {
			p.disk.image[pbft.RecordKey{Kind: pbft.RecordChain, Height: 1<<40 + h}] = nil
		}
		for i := 0; i < 100_000 && len(s.report.Violations) == 0; i++ {
			if p.sim.Pending(replica.WorkDisk) > 0 {
				s.until(s.now+time.Millisecond, nil)
			}
			s.judge.bounds.observe(p)
		}
	},
	Health:   func(_ *Simulation, p *process) { p.failed(errors.New("for no reason")) },
	Liveness: func(s *Simulation, _ *process) { s.busy.events = maxEvents*16 - 1; s.busy.count(s, s.now) },
}

// Every invariant on the list has a check, and the check says so when it is broken.
func TestEveryInvariantCanFire(t *testing.T) {
	require.Len(t, breaking, len(Invariants()))
	for _, inv := range Invariants() {
		t.Run(string(inv), func(t *testing.T) {
			o := calm()
			s, err := NewSimulation(o)
			require.NoError(t, err)
			require.NotNil(t, breaking[inv])
			s.after(time.Second, func() {
				p := s.replicas[1].up
				require.Positive(t, p.node.Core().SnapshotHeight())
				require.Empty(t, s.report.Violations)
				breaking[inv](s, p)
			})
			r := s.Run()
			require.NotEmpty(t, r.Violations)
			require.Equal(t, inv, r.Invariant(), fmt.Sprint(r.Violations))
		})
	}
}
