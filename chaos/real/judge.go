package real

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/kv"
)

// keyPatience bounds how long porcupine may take for one key.
const keyPatience = 20 * time.Second

// judge compares what clients saw with what there is. It tells whether something
// could not be decided.
func (r *run) judge() (undecided bool) {
	defer r.judgeStates()
	switch err := r.recorder.history.Check(keyPatience); {
	case errors.Is(err, chaos.ErrUndecided):
		undecided = true
		r.note("porcupine: %v", err)
	case err != nil:
		r.broken("linearizability", "%v", err)
	}
	r.judgeLogs()
	if r.broke("progress") || r.broke("availability") {
		r.note("the replicas' stores were not compared, since not all are there")
		return undecided
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*r.opts.Patience)
	defer cancel()
	reader, err := newLoad(ctx, r.cluster.roster, 1, r.opts.Seed, newRecorder(), r.broken)
	if err != nil {
		r.broken("availability", "the stores cannot be read: %v", err)
		return undecided
	}
	defer func() { _ = reader.close() }()
	var first kv.Result
	for i := range r.nodes {
		have, digest, err := readStore(ctx, reader.clients[0].client, i)
		if err != nil {
			r.broken("availability", "the store of %s cannot be read: %v", name(i), err)
			continue
		}
		r.compare(i, have)
		if i == 0 {
			first = digest
		} else if digest.Digest != first.Digest || digest.Revision != first.Revision {
			r.broken("determinism", "%s has state %v at revision %d, %s %v at %d",
				name(i), digest.Digest, digest.Revision, name(0), first.Digest, first.Revision)
		}
	}
	return undecided
}

// stored is what a store has under a key.
type stored struct {
	value   string
	version uint64
}

// readStore reads all writes of once from one replica.
func readStore(ctx context.Context, c *client.Client, i int) (map[string]stored, kv.Result, error) {
	have := map[string]stored{}
	query := func(q []byte) (kv.Result, error) {
		a, err := c.QueryReplica(ctx, pbft.ReplicaID(i), q)
		if err != nil {
			return kv.Result{}, err
		}
		res, err := kv.DecodeAnswer(a.Data)
		if err != nil {
			return res, err
		}
		return res, res.Err()
	}
	start, end := []byte(oncePrefix), []byte(oncePrefix)
	end[len(end)-1]++
	for {
		res, err := query(kv.Range(start, end, kv.RangeOptions{}))
		if err != nil {
			return nil, res, err
		}
		for _, e := range res.KVs {
			have[string(e.Key)] = stored{string(e.Value), e.Version}
		}
		if !res.More || len(res.KVs) == 0 {
			break
		}
		start = kv.Next(res.KVs[len(res.KVs)-1].Key)
	}
	// On a store there is one of checkpoints only, and the last block becomes one soon.
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		digest, err := query(kv.DigestQuery())
		if err == nil {
			return have, digest, nil
		}
		select {
		case <-ctx.Done():
			return nil, digest, err
		case <-again.C:
		}
	}
}

// maxExamples bounds the violations of one kind that are told of one replica.
const maxExamples = 5

// compare holds a store against what clients know of their writes.
func (r *run) compare(i int, have map[string]stored) {
	problems := 0
	bad := func(invariant, format string, args ...any) {
		if problems++; problems <= maxExamples {
			r.broken(invariant, "%s: %s", name(i), fmt.Sprintf(format, args...))
		}
	}
	keys := make([]string, 0, len(r.recorder.once))
	for k := range r.recorder.once {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		f := r.recorder.once[k]
		s, found := have[k]
		switch {
		case f.outcome == report.OK && !found:
			bad("durability", "the acknowledged write of %s is lost", k)
		case f.outcome == report.Failed && found:
			bad("truth", "the write of %s, which was said never to run, is there", k)
		case found && s.value != f.value:
			bad("durability", "%s is %q, written was %q", k, s.value, f.value)
		case found && s.version != 1:
			bad("exactly once", "%s has version %d", k, s.version)
		}
		delete(have, k)
	}
	for k := range have {
		bad("truth", "%s is there, which nobody wrote", k)
	}
	if problems > maxExamples {
		r.broken("durability", "%s: %d further problems with writes", name(i), problems-maxExamples)
	}
}
