package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
)

// replicaState is what one replica says about itself, or why it does not.
type replicaState struct {
	Replica   int                 `json:"replica"`
	Name      string              `json:"name"`
	Address   string              `json:"address"`
	Weight    uint64              `json:"weight"`
	Reachable bool                `json:"reachable"`
	Error     string              `json:"error,omitempty"`
	Status    *api.StatusResponse `json:"-"`
	Says      *jsonStatus         `json:"status,omitempty"`
}

// clusterState is what all replicas say, at about one moment.
type clusterState struct {
	Replicas []replicaState `json:"replicas"`
	// Primary and View are those of the highest view that replicas of more weight
	// than may be faulty are in, so that no single liar sets them.
	View    uint64 `json:"view"`
	Primary int    `json:"primary"`
	// Committed is the highest height that so much weight has committed.
	Committed uint64 `json:"committed"`
	Executed  uint64 `json:"executed"`
	Reachable int    `json:"reachable"`
}

// states asks every replica.
func (d *directory) states(ctx context.Context, timeout time.Duration) clusterState {
	s := clusterState{Replicas: make([]replicaState, d.roster.N()), Primary: -1}
	var wg sync.WaitGroup
	for i := range s.Replicas {
		m := d.roster.Member(crypto.ReplicaID(i))
		r := &s.Replicas[i]
		*r = replicaState{Replica: i, Name: m.Name, Address: m.ClientAddress, Weight: m.Weight}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			st, err := d.status(ctx, i)
			if err != nil {
				r.Error = plain(err.Error())
				return
			}
			r.Reachable, r.Status, r.Says = true, st, newJSONStatus(st)
		})
	}
	wg.Wait()
	s.summarise(d.roster.Cluster.FaultyWeight())
	return s
}

// weight is what the replicas that answered weigh together.
func (s *clusterState) weight() uint64 {
	up := uint64(0)
	for i := range s.Replicas {
		if s.Replicas[i].Reachable {
			up += s.Replicas[i].Weight
		}
	}
	return up
}

func (s *clusterState) summarise(faulty uint64) {
	s.View = s.believed(faulty, func(st *api.StatusResponse) uint64 { return st.View })
	s.Committed = s.believed(faulty, func(st *api.StatusResponse) uint64 { return st.Committed })
	s.Executed = s.believed(faulty, func(st *api.StatusResponse) uint64 { return st.Executed })
	votes := make(map[uint32]uint64)
	for i := range s.Replicas {
		r := &s.Replicas[i]
		if !r.Reachable {
			continue
		}
		s.Reachable++
		if r.Status.View == s.View {
			votes[r.Status.Primary] += r.Weight
		}
	}
	best := uint64(0)
	for i := range s.Replicas {
		if w := votes[uint32(i)]; w > best {
			best, s.Primary = w, i
		}
	}
}

// believed is the highest value that replicas weighing more than the faulty ones
// may have reached or passed.
func (s *clusterState) believed(faulty uint64, of func(*api.StatusResponse) uint64) uint64 {
	best := uint64(0)
	for i := range s.Replicas {
		if !s.Replicas[i].Reachable {
			continue
		}
		v, weight := of(s.Replicas[i].Status), uint64(0)
		for j := range s.Replicas {
			if r := &s.Replicas[j]; r.Reachable && of(r.Status) >= v {
				weight += r.Weight
			}
		}
		if weight > faulty && v > best {
			best = v
		}
	}
	return best
}

// condition says in a word or two what the replica is doing.
func condition(st *api.StatusResponse) string {
	switch {
	case st.Diverged != 0:
		return fmt.Sprintf("REPAIRING its state, which is not the certified one at checkpoint %d: see 'parley doctor'", st.Diverged)
	case st.Halted != "":
		return "HALTED: " + visible(st.Halted)
	case st.Split != 0:
		return fmt.Sprintf("NO CERTIFICATE for checkpoint %d, the replicas' states differ: see 'parley doctor'", st.Split)
	case st.Transfer != 0:
		return "fetching state"
	case st.Follower:
		return "follower"
	case !st.Open:
		return "changing view"
	case st.Suspects:
		return "suspects primary"
	}
	return "ok"
}

// jsonStatus is a replica's status for --json. Unlike the wire's form it leaves out
// no zeros.
type jsonStatus struct {
	View      uint64 `json:"view"`
	Primary   uint32 `json:"primary"`
	Open      bool   `json:"open"`
	Suspects  bool   `json:"suspects"`
	Follower  bool   `json:"follower"`
	Committed uint64 `json:"committed"`
	Executed  uint64 `json:"executed"`
	Stable    uint64 `json:"stable"`
	Oldest    uint64 `json:"oldest"`
	Snapshot  uint64 `json:"snapshot"`
	Pool      uint32 `json:"pool"`
	Transfer  uint64 `json:"transfer"`
	Peers     int    `json:"peersConnected"`
	Halted    string `json:"halted,omitempty"`
	Diverged  uint64 `json:"diverged,omitempty"`
	Split     uint64 `json:"split,omitempty"`
	Build     string `json:"build"`
}

func newJSONStatus(st *api.StatusResponse) *jsonStatus {
	j := &jsonStatus{
		View: st.View, Primary: st.Primary, Open: st.Open, Suspects: st.Suspects, Follower: st.Follower,
		Committed: st.Committed, Executed: st.Executed, Stable: st.Stable, Oldest: st.Oldest, Snapshot: st.Snapshot,
		Pool: st.Pool, Transfer: st.Transfer, Halted: st.Halted, Diverged: st.Diverged, Split: st.Split, Build: st.Build,
	}
	for _, p := range st.Peers {
		if p.Connected {
			j.Peers++
		}
	}
	return j
}
