package replica

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/transport"
)

// metrics are the server's instruments, in a registry of their own.
type metrics struct {
	registry *prometheus.Registry

	receivedMessages *prometheus.CounterVec
	receivedBytes    *prometheus.CounterVec
	sentMessages     *prometheus.CounterVec
	sentBytes        *prometheus.CounterVec
	drops            *prometheus.CounterVec
	malformedFrom    *prometheus.CounterVec
	rejectedRequests prometheus.Counter
	refused          *prometheus.CounterVec
	syncs            prometheus.Histogram
	writes           prometheus.Histogram
	batchRecords     prometheus.Histogram
	groupCommit      prometheus.Histogram
	blockRequests    prometheus.Histogram
	blockBytes       prometheus.Histogram
	executedRequests prometheus.Counter
	executedOps      prometheus.Counter
	alarms           prometheus.Counter
	evidence         prometheus.Counter
	queryPanics      prometheus.Counter
	divergences      prometheus.Counter
	healed           prometheus.Counter
	repairedKeys     prometheus.Counter
	repairBytes      prometheus.Counter
	scrubs           prometheus.Counter
	scrubDamages     prometheus.Counter
	stages           [Stages]prometheus.Observer
	lastSync         atomic.Int64 // ns
}

const namespace = "parley"

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	hist := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	}
	latency := prometheus.ExponentialBuckets(50e-6, 2, 18) // 50 us to 6.5 s
	sizes := prometheus.ExponentialBuckets(1, 2, 14)
	m := &metrics{
		registry:         prometheus.NewRegistry(),
		receivedMessages: vec("received_messages_total", "Messages from peers that decode, by kind.", "kind"),
		receivedBytes:    vec("received_bytes_total", "Their bytes, by kind.", "kind"),
		sentMessages:     vec("sent_messages_total", "Messages sent, a broadcast counted once, by kind.", "kind"),
		sentBytes:        vec("sent_bytes_total", "Their bytes, by kind.", "kind"),
		drops:            vec("dropped_messages_total", "Messages from peers not used, by kind and reason.", "kind", "reason"),
		malformedFrom:    vec("malformed_messages_total", "Messages that do not decode, by peer.", "peer"),
		rejectedRequests: counter("rejected_forwarded_requests_total", "Forwarded requests with a bad signature or size."),
		refused:          vec("refused_requests_total", "Requests of clients not taken into the pool, by reason.", "reason"),
		syncs:            hist("log_sync_seconds", "Time of a synced log write.", latency),
		writes:           hist("log_write_seconds", "Time of an unsynced log write.", latency),
		batchRecords:     hist("log_write_records", "Records in a log write.", sizes),
		groupCommit:      hist("log_write_batches", "Batches that share a log write.", sizes),
		blockRequests:    hist("block_requests", "Requests in an executed block.", sizes),
		blockBytes:       hist("block_bytes", "Size of an executed block.", prometheus.ExponentialBuckets(256, 4, 10)),
		executedRequests: counter("executed_requests_total", "Requests in executed blocks."),
		executedOps:      counter("executed_operations_total", "Operations in executed blocks."),
		alarms:           counter("alarms_total", "Things an operator must look at; see the log."),
		evidence:         counter("evidence_total", "Proofs of misbehaviour stored."),
		queryPanics:      counter("query_panics_total", "Queries at which the application panicked; see the log."),
		divergences:      counter("divergences_total", "Times that the state was found not to be the certified one; see GET /doctor."),
		healed:           counter("healed_total", "Times that the state was repaired after that."),
		repairedKeys:     counter("repaired_keys_total", "Keys of the application's state set or deleted by transfers of parts."),
		repairBytes:      counter("repair_received_bytes_total", "Bytes of the application's state received in parts."),
		scrubs:           counter("scrubs_total", "Times that all of the application's state on the disk was read."),
		scrubDamages:     counter("scrub_damages_total", "Damages that this found, at most 16 each time; see GET /doctor."),
	}
	m.registry.MustRegister(m.receivedMessages, m.receivedBytes, m.sentMessages, m.sentBytes, m.drops, m.malformedFrom,
		m.rejectedRequests, m.refused, m.syncs, m.writes, m.batchRecords, m.groupCommit, m.blockRequests, m.blockBytes,
		m.executedRequests, m.executedOps, m.alarms, m.evidence, m.queryPanics, m.divergences, m.healed, m.repairedKeys, m.repairBytes,
		m.scrubs, m.scrubDamages)
	stages := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "block_stage_seconds",
		Help:    "Time of a block from the stage before to this one, where it was waited for, by stage.",
		Buckets: prometheus.ExponentialBuckets(20e-6, 4, 10), // 20 us to 5 s
	}, []string{"stage"})
	for s := range m.stages {
		m.stages[s] = stages.WithLabelValues(Stage(s).String())
	}
	m.registry.MustRegister(stages)
	return m
}

func (m *metrics) received(k pbft.MessageKind, n int) {
	m.receivedMessages.WithLabelValues(k.String()).Inc()
	m.receivedBytes.WithLabelValues(k.String()).Add(float64(n))
}

func (m *metrics) sent(k pbft.MessageKind, n int) {
	m.sentMessages.WithLabelValues(k.String()).Inc()
	m.sentBytes.WithLabelValues(k.String()).Add(float64(n))
}

func (m *metrics) dropped(_ pbft.ReplicaID, msg pbft.Message, why pbft.Drop) {
	m.drops.WithLabelValues(msg.Kind().String(), why.String()).Inc()
}

func (m *metrics) rejected(requests int) { m.rejectedRequests.Add(float64(requests)) }

func (m *metrics) malformed(from pbft.ReplicaID) {
	m.malformedFrom.WithLabelValues(idLabel(from)).Inc()
}

func (m *metrics) logWrite(batches, records int, sync bool, took time.Duration) {
	if sync {
		m.syncs.Observe(took.Seconds())
		m.lastSync.Store(int64(took))
	} else {
		m.writes.Observe(took.Seconds())
	}
	m.batchRecords.Observe(float64(records))
	m.groupCommit.Observe(float64(batches))
}

func (m *metrics) executed(b *pbft.Block) {
	m.blockRequests.Observe(float64(len(b.Requests)))
	m.blockBytes.Observe(float64(b.Size()))
	m.executedRequests.Add(float64(len(b.Requests)))
	ops := 0
	for _, r := range b.Requests {
		ops += len(r.Ops)
	}
	m.executedOps.Add(float64(ops))
}

// passed takes in how long a block's stages took.
func (m *metrics) passed(t *StageTimes) {
	for s, took := range t.Steps() {
		if took > 0 {
			m.stages[s].Observe(took.Seconds())
		}
	}
}

// stateCollector turns what the protocol goroutine published last into metrics.
type stateCollector struct {
	s     *Server
	descs map[string]*prometheus.Desc
}

func newStateCollector(s *Server) *stateCollector {
	c := &stateCollector{s: s, descs: make(map[string]*prometheus.Desc)}
	add := func(name, help string, labels ...string) {
		c.descs[name] = prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	add("view", "Present view.")
	add("primary", "Primary of the present view.")
	add("committed_height", "Highest committed block.")
	add("executed_height", "Highest executed block.")
	add("stable_height", "Latest stable checkpoint.")
	add("oldest_height", "Lowest block that peers can get here.")
	add("pool_requests", "Requests waiting or proposed.")
	add("open", "1 if the view has committed its base.")
	add("suspects", "1 if this replica suspects the primary.")
	add("follower", "1 if this replica signs nothing.")
	add("halted", "1 if this replica stopped taking part.")
	add("diverged", "1 while the state here is not the certified one.")
	add("split", "1 while no certificate can exist, since the replicas came to different states.")
	add("transfer_chunks", "Chunks of the state transfer that are here.")
	add("queue_length", "What waits, by queue.", "queue")
	add("core_dropped_total", "Messages that the protocol did not use, by kind and reason.", "kind", "reason")
	add("core_dropped_requests_total", "Requests that the pool did not take, or did not keep, by reason.", "reason")
	add("core_dropped_newviews_total", "NewViews that are not kept for the blame walk, or no longer, by reason.", "reason")
	add("tally_dropped_total", "Votes that did not count, by kind and reason.", "kind", "reason")
	add("node_events_total", "Counted events of serving and state transfer.", "event")
	add("proposed_total", "Blocks proposed by this replica.")
	add("gather_pauses_total", "Times that the primary waited before it proposed, by whether what it waited for came.", "outcome")
	add("committed_total", "Blocks committed since the start.")
	add("view_changes_total", "Views left since the start.")
	add("suspicions_total", "Suspicions since the start, by cause.", "cause")
	add("peer_connected", "1 if messages flow to the peer.", "peer")
	add("peer_rtt_seconds", "Smoothed round trip.", "peer")
	add("peer_queued_messages", "Messages that wait to be sent.", "peer", "lane")
	add("peer_dropped_total", "Messages that were never sent, by reason.", "peer", "reason")
	add("peer_connections_refused_total", "Connections to the replica port that were turned away, by reason.", "reason")
	add("client_connections_refused_total", "Connections to the client port that were turned away, by reason.", "reason")
	add("client_connections", "Authenticated connections of clients.")
	add("client_sessions", "Open sessions of clients.")
	add("client_queue", "What clients have waiting for their signatures to be checked.", "unit")
	add("client_events_total", "What the client port has seen and done.", "event")
	add("client_refused_total", "Requests refused at the client port, by reason.", "reason")
	add("client_refused_unchecked_total", "Of these, those whose signatures were not looked at because their client has had its share, by reason.", "reason")
	return c
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	put := func(name string, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], t, v, labels...)
	}
	gauge := func(name string, v float64, labels ...string) { put(name, prometheus.GaugeValue, v, labels...) }
	count := func(name string, v uint64, labels ...string) {
		put(name, prometheus.CounterValue, float64(v), labels...)
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	st := c.s.Status()
	gauge("view", float64(st.View))
	gauge("primary", float64(st.Primary))
	gauge("committed_height", float64(st.Committed))
	gauge("executed_height", float64(st.Executed))
	gauge("stable_height", float64(st.Stable))
	gauge("oldest_height", float64(st.Oldest))
	gauge("pool_requests", float64(st.Pool))
	gauge("open", flag(st.Open))
	gauge("suspects", flag(st.Suspects))
	gauge("follower", flag(st.Follower))
	gauge("halted", flag(c.s.Err() != nil))
	gauge("diverged", flag(c.s.diverged.Load() != nil))
	gauge("split", flag(st.Split != 0))
	gauge("transfer_chunks", float64(st.TransferChunks))
	for name, n := range c.s.queueLengths() {
		gauge("queue_length", float64(n), name)
	}
	if p := c.s.published.Load(); p != nil {
		p.counters.DroppedBy(func(k pbft.MessageKind, why pbft.Drop, n uint64) {
			count("core_dropped_total", n, k.String(), why.String())
		})
		for d, n := range p.counters.DroppedRequest {
			if n > 0 {
				count("core_dropped_requests_total", n, pbft.Drop(d).String())
			}
		}
		for d, n := range p.counters.DroppedNewView {
			if n > 0 {
				count("core_dropped_newviews_total", n, pbft.Drop(d).String())
			}
		}
		for d := range p.node.Votes {
			if n := p.node.Votes[d]; n > 0 {
				count("tally_dropped_total", n, "Vote", pbft.Drop(d).String())
			}
			if n := p.node.CheckpointVotes[d]; n > 0 {
				count("tally_dropped_total", n, "CheckpointVote", pbft.Drop(d).String())
			}
		}
		for _, e := range []struct {
			name string
			n    uint64
		}{
			{"inadmissible", p.node.Inadmissible}, {"serve_limited", p.node.ServeLimited}, {"poisoned_chunk", p.node.PoisonedChunks},
			{"chunk_timeout", p.node.ChunkTimeouts}, {"unwanted_chunk", p.node.UnwantedChunks}, {"bad_manifest", p.node.BadManifests},
			{"transfer", p.node.Transfers},
		} {
			count("node_events_total", e.n, e.name)
		}
		count("proposed_total", p.counters.Proposed)
		count("gather_pauses_total", p.gather.filled, "filled")
		count("gather_pauses_total", p.gather.vain, "vain")
		count("committed_total", p.counters.Committed)
		count("view_changes_total", p.counters.ViewChanges)
		for cause, n := range p.counters.Suspicions {
			count("suspicions_total", n, pbft.Cause(cause).String())
		}
	}
	if f := c.s.clients.Load(); f != nil {
		n := (*f).clientCounters()
		gauge("client_connections", float64(n.Connections))
		gauge("client_sessions", float64(n.Sessions))
		gauge("client_queue", float64(n.QueuedRequests), "requests")
		gauge("client_queue", float64(n.QueuedBytes), "bytes")
		gauge("client_queue", float64(n.QueuedClients), "clients")
		for _, e := range []struct {
			name string
			n    uint64
		}{
			{"request", n.Requests}, {"verified", n.Verified}, {"from_cache", n.FromCache}, {"reply", n.Replies},
			{"unheard_reply", n.Unheard}, {"slow_reader", n.SlowReaders}, {"evicted_connection", n.Evicted},
			{"bad_handshake", n.BadHandshakes}, {"call", n.Calls}, {"busy_call", n.CallsBusy},
			{"slowed_session", n.Slowed},
		} {
			count("client_events_total", e.n, e.name)
		}
		for why, n := range n.TurnedAway {
			count("client_connections_refused_total", n, why)
		}
		for why, n := range n.Refused {
			count("client_refused_total", n, why)
		}
		for why, n := range n.Unchecked {
			count("client_refused_unchecked_total", n, why)
		}
	}
	if t, ok := c.s.transport.(transport.Refuser); ok {
		for why, n := range t.Refused() {
			count("peer_connections_refused_total", n, why)
		}
	}
	for _, p := range c.s.transport.Peers() {
		id := idLabel(p.ID)
		gauge("peer_connected", flag(p.Connected), id)
		gauge("peer_rtt_seconds", p.RTT.Seconds(), id)
		for l, q := range p.Queued {
			gauge("peer_queued_messages", float64(q.Messages), id, transport.Priority(l).String())
		}
		for why, n := range p.Dropped {
			if n > 0 {
				count("peer_dropped_total", n, id, transport.DropReason(why).String())
			}
		}
	}
}
