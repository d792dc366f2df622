package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
)

const seeds = 6

// In every run the loyal generals agree, with their commander if he is loyal; play
// itself fails otherwise.
func TestEveryRun(t *testing.T) {
	camp, err := newCamp()
	require.NoError(t, err)
	for i, s := range scenes {
		t.Run(s.title, func(t *testing.T) {
			ends := make(map[string]int)
			proofs := 0
			for seed := range uint64(seeds) {
				placed := s.under(camp.commander)
				end, err := camp.play(placed, seed, func(string) {})
				require.NoError(t, err, "seed %d", seed)
				ends[end.order]++
				proofs += len(end.proven)
				switch i {
				case 0, 3: // a loyal commander
					require.Equal(t, attack, end.order)
					require.Zero(t, end.deposed, "nobody deposes a loyal commander here")
					require.Empty(t, end.proven)
				case 2:
					require.Positive(t, end.deposed, "no quorum has heard the same")
				}
			}
			require.Equal(t, seeds, ends[attack]+ends[retreat])
			if s.traitor == 0 {
				require.Positive(t, proofs, "contradictory orders met somewhere")
			}
		})
	}
}

func TestSameSeedSameStory(t *testing.T) {
	var first, again, other bytes.Buffer
	require.NoError(t, play(3, &first))
	require.NoError(t, play(3, &again))
	require.NoError(t, play(4, &other))
	require.Equal(t, first.String(), again.String())
	require.NotEqual(t, first.String(), other.String())
	for _, line := range []string{"retreat!", "attack!", "forges an order", "has proof against", "commanders deposed: 1"} {
		require.Contains(t, first.String(), line)
	}
}

// The traitor's lies differ from the truth, and their signatures are good.
func TestLiesAreSigned(t *testing.T) {
	camp, err := newCamp()
	require.NoError(t, err)
	start := pbft.StartBlock(camp.roster.ID, crypto.FirstEpoch)
	leader := pbft.ReplicaID(camp.commander)
	proposal := &pbft.PrePrepare{Block: pbft.NewBlock(pbft.Header{
		Cluster: camp.roster.ID, Epoch: crypto.FirstEpoch, Height: 1, Parent: start.Digest(), Proposer: leader, Time: 1,
	}, []*pbft.Request{camp.order(camp.commander, attack, 1000)})}
	vote := func(by pbft.ReplicaID) *pbft.Vote {
		return &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, Height: 1, Block: proposal.Digest()}, Signer: by}
	}
	check := func(traitor *traitor, to pbft.ReplicaID, m pbft.Message) pbft.Message {
		lie := pbft.Sign(camp.roster.ID, crypto.FirstEpoch, traitor.lie(to, m), traitor.keys)
		_, why := camp.verifier(int(to), start.Ref()).Verify(traitor.keys.Self, lie)
		require.Equal(t, pbft.NoDrop, why)
		return lie
	}
	deceived := (leader + 1) % generals

	commander := newTraitor(camp, int(leader), scenes[1].under(int(leader)).faces, nil)
	commander.faces[deceived] = retreat
	shown := check(commander, deceived, proposal).(*pbft.PrePrepare)
	require.Equal(t, retreat, string(shown.Requests[0].Ops[0]))
	require.Equal(t, shown.Digest(), check(commander, deceived, vote(leader)).(*pbft.Vote).Block, "he stands by each of his lies")
	require.Equal(t, proposal, commander.lie((leader+2)%generals, proposal))
	commander.faces[deceived] = silence
	require.Nil(t, commander.lie(deceived, proposal))

	lieutenant := newTraitor(camp, int(deceived), [generals]string{}, nil)
	one := check(lieutenant, leader, vote(deceived)).(*pbft.Vote).Block
	two := check(lieutenant, (leader+2)%generals, vote(deceived)).(*pbft.Vote).Block
	require.NotEqual(t, proposal.Digest(), one)
	require.NotEqual(t, one, two)
}

func TestJudge(t *testing.T) {
	const commander = 1
	for name, c := range map[string]struct {
		traitor int
		end     outcome
		ok      bool
	}{
		"agreement":                   {3, outcome{obeyed: [4]string{attack, attack, attack, retreat}}, true},
		"agreement under a traitor":   {1, outcome{obeyed: [4]string{retreat, silence, retreat, retreat}, proven: []int{1}}, true},
		"a loyal one differs":         {3, outcome{obeyed: [4]string{attack, attack, retreat, attack}}, false},
		"a loyal one does nothing":    {3, outcome{obeyed: [4]string{attack, silence, attack, attack}}, false},
		"not the commander's order":   {3, outcome{obeyed: [4]string{retreat, retreat, retreat, silence}}, false},
		"a loyal one is proven false": {3, outcome{obeyed: [4]string{attack, attack, attack, attack}, proven: []int{0}}, false},
	} {
		err := scene{traitor: c.traitor}.judge(&c.end, commander, attack)
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
}

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{
		New: func() statemachine.StateMachine { return &order{commander: crypto.PublicKey{1}} },
		Gen: func(r *rand.Rand) []byte {
			return []byte([]string{attack, retreat, "attack?", ""}[r.IntN(4)])
		},
		SplitInvariant: true,
	})
}

func TestOrders(t *testing.T) {
	o := &order{commander: crypto.PublicKey{1}}
	give := func(by byte, said string) statemachine.Result {
		return o.Apply(statemachine.Block{Ops: []statemachine.Op{{Client: crypto.PublicKey{by}, Data: []byte(said)}}})[0]
	}
	require.Equal(t, codeNotCommander, give(2, retreat).Code)
	require.Equal(t, statemachine.CodeMalformed, give(1, "surrender").Code)
	require.Equal(t, statemachine.OK([]byte(attack)), give(1, attack))
	require.Equal(t, statemachine.Reject(codeGiven, []byte(attack)), give(1, retreat))
	require.Error(t, o.Restore(strings.NewReader("surrender")))
	require.NoError(t, o.Restore(strings.NewReader(retreat)))
	require.Equal(t, retreat, o.given)
}
