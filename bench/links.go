package main

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/pbft"
)

// link is what the simulator says of a cluster whose members are some way apart. Its
// clock is virtual, so these figures are about the protocol and the same on any machine:
// the processors cost nothing there.
type link struct {
	Replicas int     `json:"replicas"`
	Delay    float64 `json:"delayMillis"` // of a message, one way
	Latency  float64 `json:"latencyMillis"`
	// Delays is the latency in message delays. The least is five: request, proposal,
	// Prepare, Commit, reply.
	Delays   float64 `json:"delays"`
	Blocks   int     `json:"blocks"`
	Messages float64 `json:"messagesPerBlockAndReplica"`
}

// linkDelays are a network within a region, and one around the world, with the virtual
// time that some hundred operations of each client take there.
var linkDelays = []struct{ delay, time time.Duration }{
	{time.Millisecond, 2 * time.Second},
	{50 * time.Millisecond, 40 * time.Second},
}

// linkClients make a light load: what is to be seen is the way of one operation.
const linkClients = 4

// links runs simulated clusters of each size, with links of each delay.
func (b *bench) links(ctx context.Context) error {
	for _, d := range linkDelays {
		for _, n := range b.sizes {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			l, err := simulateLinks(n, d.delay, d.time)
			if err != nil {
				return err
			}
			b.results.Links = append(b.results.Links, l)
			b.say("n = %-3d links of %2.0f ms: %.1f ms an operation, %.1f delays", l.Replicas, l.Delay, l.Latency, l.Delays)
		}
	}
	return nil
}

func simulateLinks(n int, delay, during time.Duration) (link, error) {
	weights := make([]uint64, n)
	for i := range weights {
		weights[i] = 1
	}
	o := chaos.Options{
		Seed: 1, Weights: weights,
		Clients: linkClients, Keys: 64, Think: time.Nanosecond, Retry: 10 * time.Second, Life: time.Minute,
		Storm: during, HealAll: true,
		Network: chaos.Network{Delay: delay},
		Window:  32, CheckpointEvery: 256, Retain: 256, MaxBlockRequests: 1024,
		Timeouts: pbft.DefaultTimeouts(), Tick: 10 * time.Millisecond,
		Disk: 400 * time.Microsecond, Apply: 20 * time.Microsecond,
	}
	r := chaos.Run(o)
	if err := r.Err(); err != nil {
		return link{}, err
	}
	if r.Operations == 0 || r.Blocks == 0 || r.ViewChanges > 0 {
		return link{}, fmt.Errorf("%d replicas, links of %v: %d operations, %d blocks, view %d", n, delay, r.Operations, r.Blocks, r.ViewChanges)
	}
	latency := float64(linkClients) * millis(during) / float64(r.Operations)
	return link{
		Replicas: n, Delay: millis(delay), Latency: latency, Delays: latency / millis(delay),
		Blocks: r.Blocks, Messages: float64(r.Messages) / float64(r.Blocks) / float64(n),
	}, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
