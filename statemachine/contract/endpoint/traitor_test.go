//go:build chaos

package endpoint_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// puppetHost is where a traitor lives: see chaos.PuppetHost.
type puppetHost struct {
	replica.Strings
	began time.Time
}

func (h puppetHost) Now() time.Duration               { return time.Since(h.began) }
func (h puppetHost) Clock() pbft.Time                 { return h.Strings.Clock() }
func (h puppetHost) After(d time.Duration, do func()) { h.Strings.After(d, do) }
func (h puppetHost) Node() *replica.Node              { return h.Strings.Node() }
func (h puppetHost) Transmit(to pbft.ReplicaID, m pbft.Message, raw []byte) {
	h.Strings.Transmit(to, m, raw)
}

// TestStoryAmongTraitors tells the story on clusters in which one replica, with keys of
// its own and everything that a server has, plays a strategy of the simulator's traitors
// over real connections: it proposes different blocks to different replicas, votes twice,
// and lies.
//
//	go test -tags chaos ./statemachine/contract/endpoint -run Traitors
func TestStoryAmongTraitors(t *testing.T) {
	for _, strategy := range []string{"equivocate", "chameleon", "lie"} {
		t.Run(strategy, func(t *testing.T) {
			story := contracttest.NewStory(contract.DevChainID, contracttest.StoryFee)
			filler := contracttest.NewWallet(contract.DevChainID, "filler")
			g := &contract.Genesis{ChainID: contract.DevChainID, BaseFee: 1e9, Alloc: rich(append(story.Wallets(), filler)...)}
			c, traitor := startTraitors(t, g, strategy)
			tell(c, story)
			require.Positive(t, traitor(), "it did nothing")
		})
	}
}

// startTraitors starts four replicas of which the first primary is a traitor.
func startTraitors(t *testing.T, g *contract.Genesis, strategy string) (*cluster, func() int) {
	c := &cluster{t: t, ctx: t.Context(), filler: contracttest.NewWallet(g.ChainID, "filler")}
	c.filler.FeeCap = contracttest.StoryFee
	description := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "traitors", Nonce: crypto.Hash("test", []byte(t.Name())), Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: crypto.DefaultParameters(), Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	var keys []*keyfile.Replica
	var doors []net.Listener
	for i := range 4 {
		k, err := keyfile.GenerateReplica(rand.Reader)
		require.NoError(t, err)
		door, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		keys, doors = append(keys, k), append(doors, door)
		description.Members = append(description.Members, k.Public().Member(fmt.Sprintf("r%d", i), door.Addr().String(), fmt.Sprintf("127.0.0.1:%d", i+1)))
	}
	ros, err := roster.New(description)
	require.NoError(t, err)
	first := pbft.NewSchedule(ros.Weights()).Primary(crypto.FirstEpoch, 0)

	var traitor *chaos.Traitor
	for i := range ros.N() {
		dir := t.TempDir()
		id, err := replica.IdentityOf(ros, keys[i].Public())
		require.NoError(t, err)
		require.NoError(t, replica.InitDataDir(dir, id))
		clients, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		m := newMachine(t, g)
		cfg := replica.Config{
			Roster: ros, Keys: keys[i], DataDir: dir, Machine: m, Logger: slog.New(slog.DiscardHandler),
			PeerListener: doors[i], ClientListener: clients,
		}
		var s *replica.Server
		if i != int(first) {
			s, err = replica.Start(c.ctx, cfg)
		} else {
			s, err = replica.StartPuppet(c.ctx, cfg, func(p replica.Strings) replica.Puppeteer {
				traitor, err = chaos.NewTraitor(strategy, chaos.PuppetConfig{
					Core: p.Core, Schedule: pbft.NewSchedule(ros.Weights()), Verifier: p.Verifier, Keys: p.Keys, Tick: p.Tick,
					Machine: func() statemachine.StateMachine { return newMachine(t, g) }, Limits: p.Limits, Seed: 1, Host: puppetHost{p, time.Now()},
				})
				require.NoError(t, err)
				return traitor
			})
		}
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Stop(context.Background()) })
		if i != int(first) {
			c.machines = append(c.machines, m)
			c.serve(m, s)
		}
	}
	return c, func() int { return traitor.Deeds() }
}
