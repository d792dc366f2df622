package replica

import "github.com/parley-bft/parley/pbft"

// Host does for a [Node] what takes time, or touches the world. Its methods are
// called by the goroutine that the Node runs on and must not call back into the
// Node before they return, nor block; answers come as events later.
type Host interface {
	// Persist writes the batch's records to the log, syncs them (unless Durable is
	// empty: see [Batch]), then signs and sends the batch's envelopes, then reports
	// with [Node.Persisted]. Batches are written in order and each is released only
	// after all before it are durable.
	Persist(b *Batch)

	// Send signs (pbft.Sign) and sends a message to a peer, or to all peers for
	// pbft.Everyone; not to this replica itself.
	Send(to pbft.ReplicaID, m pbft.Message)

	// Execute runs committed blocks in order, after those of earlier calls; the host
	// reports with [Node.Executed] and, at checkpoints, [Node.Checkpointed].
	Execute(blocks []*pbft.Block)

	// Aggregate runs Verifier.Aggregate and reports with [Node.Aggregated].
	Aggregate(p *pbft.Pending)
	// AggregateCheckpoint is the same for [Node.AggregatedCheckpoint].
	AggregateCheckpoint(p *pbft.CheckpointPending)

	// Distrust tells that a vote of a member had a bad signature, which shows only when
	// something is made of it: [Node.Vote] takes votes that are not verified. Those of
	// this member are to be verified first from now on, where that is cheaper than
	// finding bad ones later.
	Distrust(member pbft.ReplicaID)

	// Serve answers a peer from the disk: see [Serving]. Reports with [Node.Served].
	Serve(s *Serving)

	// Admissible tells whether the executed sessions would let a request run; the
	// reason is NoDrop if so. It is also asked for requests that other replicas
	// forward and for those that wait in the pool.
	Admissible(r *pbft.Request) pbft.Drop
	// Refused reports a request that an Offer brought and the pool did not take, or,
	// with DropDisplaced, one that waited there and made room for another.
	Refused(r *pbft.Request, why pbft.Drop)

	// Stable reports a new stable checkpoint whose records are in a batch.
	Stable(b *pbft.Bundle)
	// Prune reports that the records of a stable snapshot are durable, and with them
	// those of its blocks: older snapshots are not needed any more. Before that a crash
	// could take the log back below it.
	Prune(snapshot pbft.Height)
	// Evidence reports a new proof, Alarm what an operator must hear. With a Divergence
	// the state here is wrong: nothing is answered from it any more; Execute and Install
	// wait until the host stands still, which it reports with [Node.StandsStill]. With a
	// Split the state here is as good as anybody's, and nobody knows whose is right.
	Evidence(e *pbft.Evidence)
	Alarm(a pbft.Alarm)
	// ForgetWrong deletes what was written of the wrong state, and reports with
	// [Node.Forgotten]. It comes after [Node.StandsStill], once the records say that no
	// checkpoint vote rests on that any more.
	ForgetWrong()
	// BeginAnew makes the state the one that the application began with, executes the
	// whole log again, and reports with [Node.Begun], or with [Node.CannotBegin].
	BeginAnew()
	// Healed reports that the state is right again: blocks are executed, and clients
	// answered.
	Healed(d *pbft.Divergence)

	// Answered takes a part of the state that a peer sent, if the host asked for it.
	Answered(from pbft.ReplicaID, m *pbft.State)

	// OpenTransfer looks for what an earlier attempt at the snapshot of this bundle
	// has left, forgets all others, and reports with [Node.TransferOpened].
	OpenTransfer(b *pbft.Bundle)
	// SaveManifest keeps the manifest of the transfer, which has been checked, and
	// reports with [Node.ManifestSaved].
	SaveManifest(height pbft.Height, data []byte)
	// CheckChunk compares a chunk with the manifest and keeps it if it is the right
	// one. Reports with [Node.ChunkChecked].
	CheckChunk(height pbft.Height, index uint32, from pbft.ReplicaID, data []byte)
	// Install verifies the whole snapshot, makes it durable under its final name,
	// and then replaces the application's state by it: nothing of the present state
	// is touched before. Blocks given to Execute before are executed or skipped.
	// Reports with [Node.Installed], or, if it stood still after an alarm with a
	// Divergence, with [Node.Rebuilt].
	Install(b *pbft.Bundle)
	// InterruptInstall says that a later state is certified: an Install of this height that
	// gets the application's state part by part ends as soon as hardly a peer gives any.
	// It reports with [Node.Installed] and [ErrLater], or [ErrWhole] if nothing came; what came stays. It may come before Install has
	// begun, which then ends at once, and when it has ended: then nothing comes of it.
	InterruptInstall(height pbft.Height)
	// CloseTransfer ends a transfer that is not wanted any more.
	CloseTransfer(height pbft.Height)
}

// Batch is what must be on the disk before its envelopes leave.
//
// If nothing waits for it ([Batch.Waits]) the records may be written without a sync:
// the log keeps their order, so the sync of a later batch covers them before anything
// that depends on them leaves.
type Batch struct {
	Seq     uint64
	Records []pbft.Record
	Durable []pbft.Envelope
	// Snapshot is the height of a stable snapshot that the records name, 0 if they name
	// none: older ones are deleted once they are durable.
	Snapshot pbft.Height
}

// Waits tells whether something waits for the batch to be durable.
func (b *Batch) Waits() bool { return len(b.Durable) > 0 || b.Snapshot > 0 }

// newBatch copies what is to be durable, into one piece of memory if it is as
// little as usual.
func newBatch(seq uint64, out *pbft.Output) *Batch {
	b := new(struct {
		Batch
		records [3]pbft.Record
		durable [2]pbft.Envelope
	})
	b.Seq = seq
	b.Records = append(b.records[:0], out.Records...)
	b.Durable = append(b.durable[:0], out.Durable...)
	return &b.Batch
}

// Release signs the batch's envelopes and calls send for those that go to others.
// It returns the messages that come back to the replica itself, for
// [Node.Persisted]. To be called once the records are durable.
//
// later, if not nil, may take an envelope over by returning true: it then has to
// be released by [ReleaseOne], at any later time.
func (b *Batch) Release(cluster pbft.Digest, epoch pbft.Epoch, keys pbft.Keys, send func(to pbft.ReplicaID, m pbft.Message), later func(pbft.Envelope) bool) (own []pbft.Message) {
	for _, e := range b.Durable {
		if later != nil && later(e) {
			continue
		}
		if m := ReleaseOne(e, cluster, epoch, keys, send); m != nil {
			own = append(own, m)
		}
	}
	return own
}

// ReleaseOne signs and sends one envelope whose batch is durable. It returns the
// message if it comes back to the replica itself, for [Node.Own].
func ReleaseOne(e pbft.Envelope, cluster pbft.Digest, epoch pbft.Epoch, keys pbft.Keys, send func(to pbft.ReplicaID, m pbft.Message)) pbft.Message {
	m := pbft.Sign(cluster, epoch, e.Message, keys)
	if e.To != keys.Self {
		send(e.To, m)
	}
	if e.To == pbft.Everyone || e.To == keys.Self {
		return m
	}
	return nil
}
