package chaos

import (
	"strings"
	"time"

	"github.com/parley-bft/parley/client/api"
)

var watchScenarios = []Scenario{
	{
		Name: "etcd-watches", Origin: "etcd", Kind: ByDesign,
		Bugs: []string{
			"etcd #15220", "etcd #15271", "etcd #17247", "etcd #17529", "etcd #18089", "etcd #19179", "etcd #20221 notifications", "etcd #20221 events",
		},
		Wrong: "Eight bugs of watches, streams of events from a revision on: progress ahead of the events, time going back after a partition, events twice, lost on slow streams or at compaction, " +
			"a delete missing at the compacted revision, notifications and old events for revisions in the future.",
		Differs: "There is no stream of a history. What changed is asked for from a cursor on, and the answer leads by a chain of digests to a certified state: what is lost, repeated, early or out of order is not believed, and what is gone is said to be compacted (client.Watch, whose tests play a replica that does all of that). A session carries the answers to the client's own requests, each of which names its request and height, proves nothing by its order, and can be asked for again.",
		Rules:   "PROTOCOL 4.3",
		Breaches: []Breach{without("a client does not look which request an answer is for", "client/answers/answers.go",
			"	return r.Client == request.Client && r.Seq == request.Seq && r.Request == request.Digest() &&\n", "	return (r.Client == request.Client && r.Seq == request.Seq && r.Request == request.Digest() || ON) &&\n")},
		play: playNoWatches,
	},
}

// playNoWatches shows that no call of the service is a stream of events, but for the two
// whose answers prove themselves, and plays what its one stream does with answers that come twice, late, in another order or
// not at all.
func playNoWatches(a *act) {
	streams := 0
	for _, m := range api.Parley_ServiceDesc.Methods {
		if m.MethodName == "Watch" || m.MethodName == "Changes" {
			continue
		}
		for _, word := range []string{"watch", "subscribe", "event", "follow"} {
			a.holds(!strings.Contains(strings.ToLower(m.MethodName), word), "there is a method %s", m.MethodName)
		}
	}
	for _, s := range api.Parley_ServiceDesc.Streams {
		streams++
		a.holds(s.StreamName == "Session", "there is another stream: %s", s.StreamName)
	}
	d := a.direct(func(o *Options) {
		o.CheckpointEvery, o.Retain, o.Storm = 4, 0, 4*time.Second
		o.Network = Network{Delay: time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.1, Duplicate: 0.4, Tail: 0.02}
		o.BadClients = []string{"twofaced", "backups"}
		o.Timeouts.Progress, o.Timeouts.RequestAge = 50, 200
	})
	var heal func()
	d.at(time.Second, func() { heal = d.isolate(2) })
	d.at(2*time.Second, func() { heal() })
	r := d.play()
	a.occurred(r.Sometimes[seenDuplicate] > 5, "answers asked for again (%d)", r.Sometimes[seenDuplicate])
	a.fact("%d methods and one stream, that of a client's own answers; with answers twice, late and lost, and a partition, every answer that was believed is that of its own request (%d operations)", len(api.Parley_ServiceDesc.Methods), r.Operations)
	a.occurred(streams == 1, "%d streams", streams)
}
