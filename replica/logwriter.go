package replica

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// logWriter makes batches durable and releases their envelopes, in order, on a
// goroutine of its own. Whatever came while it was syncing goes into one write and
// one sync: group commit.
type logWriter struct {
	store   Store
	release func(*Batch) (own []pbft.Message)
	report  func(seq uint64, own []pbft.Message)
	fail    func(error)
	metrics *metrics
	trace   *tracer
	now     func() time.Time
	// born says that the store's mark is still that of a first start as a follower;
	// the core's own record of it ends that.
	born  Born
	queue *queue[*Batch]
	done  chan struct{}
	// dirty: records were written and not synced.
	dirty bool
}

func (w *logWriter) start() {
	w.queue, w.done = newQueue[*Batch](), make(chan struct{})
	go w.run()
}

// stop writes and syncs what is queued and ends the goroutine.
func (w *logWriter) stop() {
	w.queue.close()
	<-w.done
}

func (w *logWriter) run() {
	defer close(w.done)
	for batches, ok := w.queue.takeAll(nil); ok; batches, ok = w.queue.takeAll(batches) {
		if err := w.write(batches); err != nil {
			// Final: what was not synced has not left, and nothing leaves any more.
			w.fail(err)
			return
		}
		for _, b := range batches {
			own := w.release(b)
			w.trace.released(b)
			w.report(b.Seq, own)
		}
	}
	if w.dirty {
		if err := w.store.Write(nil, true); err != nil {
			w.fail(err)
		}
	}
}

// write is commit, timed.
func (w *logWriter) write(batches []*Batch) error {
	began, n := w.now(), 0
	for _, b := range batches {
		n += len(b.Records)
	}
	if err := w.commit(batches); err != nil {
		return err
	}
	w.trace.durable(batches, n > 0 && !w.dirty)
	if n > 0 {
		w.metrics.logWrite(len(batches), n, !w.dirty, w.now().Sub(began))
	}
	return nil
}

// commit writes the records of some batches, and syncs them and all before if
// anything waits for that.
func (w *logWriter) commit(batches []*Batch) error {
	n, wait := 0, false
	for _, b := range batches {
		n += len(b.Records)
		wait = wait || b.Waits()
	}
	records := batches[0].Records
	if len(batches) > 1 {
		records = make([]pbft.Record, 0, n)
		for _, b := range batches {
			records = append(records, b.Records...)
		}
	}
	sync := wait && (w.dirty || n > 0)
	if n == 0 && !sync {
		return nil
	}
	if err := w.store.Write(records, sync); err != nil {
		return err
	}
	w.dirty = !sync
	if sync && w.born == BornFollower && marksRejoin(records) {
		w.born = BornVoter
		return w.store.WriteHost([]HostRecord{bornRecord(BornVoter)}, true)
	}
	return nil
}

// marksRejoin tells whether the core has written down that it is a follower; from
// then on the log itself says so.
func marksRejoin(records []pbft.Record) bool {
	for i := range records {
		if records[i].Key.Kind == pbft.RecordRejoin && !records[i].Delete {
			return true
		}
	}
	return false
}
