package replica

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// recover reads the disk and builds everything up to the node.
func (s *Server) recover() (*Node, error) {
	cfg := &s.cfg
	params := &cfg.Roster.Cluster.Parameters
	store := Store(s.data.store)
	var err error
	if s.folder, err = openSnapshots(filepath.Join(cfg.DataDir, snapshotDir), cfg.ChunkBytes); err != nil {
		return nil, err
	}
	s.archive = &resultArchive{store: store, every: pbft.Height(params.CheckpointEvery), retain: cfg.ReceiptRetain}
	s.exec = statemachine.NewExecutor(cfg.Machine, cfg.Limits)
	s.exec.Quarantine(cfg.Quarantine...)
	s.runner = &runner{
		exec: s.exec, folder: s.folder, store: store, archive: s.archive,
		every: pbft.Height(params.CheckpointEvery), epoch: s.epoch, logger: s.logger,
		deliver:      s.deliver,
		executed:     func(h pbft.Height) { s.post(func(n *Node) { n.Executed(h) }) },
		checkpointed: func(c pbft.CheckpointStatement) { s.post(func(n *Node) { n.Checkpointed(c) }) },
		installed:    s.installed,
		rebuilt: func(b *pbft.Bundle, upTo pbft.Height, statements []pbft.CheckpointStatement) {
			s.post(func(n *Node) { n.Rebuilt(b, upTo, statements) })
		},
		begun: func(upTo pbft.Height, statements []pbft.CheckpointStatement) {
			s.post(func(n *Node) { n.Begun(upTo, statements) })
		},
		cannotBegin: func() { s.post((*Node).CannotBegin) },
		fail:        s.fail,
		observe:     s.metrics.executed,
		trace:       s.trace,
	}
	s.asks = newStateAsks(s.life.Done())
	if s.doctor, err = openDoctor(s); err != nil {
		return nil, err
	}
	s.runner.repair.still = func() { s.post((*Node).StandsStill) }
	s.runner.repair.forgotten = func() { s.post((*Node).Forgotten) }
	s.runner.repair.examine, s.runner.repair.repaired = s.doctor.examine, s.doctor.repaired
	s.runner.repair.examineSplit = s.doctor.examineSplit
	partChunks := s.runner.partsOf(cfg.Machine, s.syncState)
	s.runner.seals.retainBy(cfg.Machine, params)
	s.runner.makeGood(s.life, cfg.Machine, s.damaged, s.doctor.mended)
	s.runner.damage.touching, s.runner.damage.hear = s.scrubs.interrupt, s.hearDamage
	rec, err := recoverStored(s.runner)
	if err != nil {
		return nil, err
	}
	if err := s.runner.seals.stored(store); err != nil {
		return nil, err
	}
	coreCfg, err := s.coreConfig(rec.executed)
	if err != nil {
		return nil, err
	}
	log, fault := logSeq(store)
	node, err := NewNode(NodeConfig{
		Core: coreCfg, Verifier: s.verifier, Log: log, Statements: rec.statements, Base: rec.base, Install: rec.install,
		Damaged:  rec.damaged,
		Transfer: cfg.Transfer, Serve: cfg.Serve, CheckManifest: CheckManifest, PartChunks: partChunks,
	}, (*nodeHost)(s))
	if ferr := fault(); ferr != nil {
		return nil, ferr
	}
	if err != nil {
		return nil, err
	}
	if d := node.Core().Diverged(); d != nil {
		s.logger.Warn("the state here was found not to be the certified one before the restart, it is being repaired", "height", d.Height())
		s.diverged.Store(d)
		s.runner.repair.stops.Store(1)
	}
	return node, nil
}

// syncState has an application get its state from the peers, part by part.
func (s *Server) syncState(app statemachine.PartedState, h *statemachine.Header) (statemachine.StateSyncStats, error) {
	stats, err := s.runner.syncFrom(s.life, app, s.stateTarget(pbft.Height(h.Height), h.AppDigest), s.diverged.Load() != nil)
	s.metrics.repairedKeys.Add(float64(stats.Changed))
	s.metrics.repairBytes.Add(float64(stats.Received))
	if err != nil && s.life.Err() != nil {
		err = errors.Join(errStopping, err)
	}
	return stats, err
}

// stateTarget names the application's state at a height, and everybody else as those who
// may have it.
func (s *Server) stateTarget(h pbft.Height, digest pbft.Digest) statemachine.StateTarget {
	t := statemachine.StateTarget{Height: uint64(h), Digest: digest}
	var ids []pbft.ReplicaID
	for id := range pbft.ReplicaID(s.cfg.Roster.N()) {
		if id != s.self {
			ids = append(ids, id)
			t.Peers = append(t.Peers, statePeer{s.asks, id})
		}
	}
	t.MayAllLie = mayAllLie(s.quorums, ids)
	t.Lied = func(peer int, err error) {
		s.logger.Error("A PEER LIED about a part of the state: it is not asked again", "peer", ids[peer], "height", h, "error", err)
	}
	return t
}

// coreConfig also builds the verifier, which shares most of it.
func (s *Server) coreConfig(executed pbft.Height) (pbft.Config, error) {
	cfg := &s.cfg
	ros := cfg.Roster
	p := &ros.Cluster.Parameters
	quorums, err := pbft.NewQuorumSystem(ros.Weights())
	if err != nil {
		return pbft.Config{}, err
	}
	s.quorums = quorums
	start := pbft.StartBlock(ros.ID, s.epoch)
	keys := make([]crypto.PublicKey, ros.N())
	for i := range keys {
		keys[i] = ros.Signing(pbft.ReplicaID(i))
	}
	known := knownRequests{newDigestSet(1 << 17)}
	s.verifier = pbft.NewVerifier(pbft.VerifierConfig{
		Self: s.self, Cluster: ros.ID, Epoch: s.epoch, Start: start.Ref(), Quorums: quorums,
		Schedule: pbft.NewSchedule(ros.Weights()), Votes: ros.Votes, Checkpoints: ros.Checkpoints, SigningKeys: keys,
		Requests: admitting{inner: ed25519.NewVerifier(1 << 14), admits: ros.Admits},
		Known:    known, Proven: newDigestSet(1 << 13),
		Limits: pbft.Limits{
			MaxBlockBytes: int(p.MaxBlockBytes), MaxBlockRequests: int(p.MaxBlockRequests),
			MaxOperationBytes: int(p.MaxOperationBytes), Window: pbft.Height(p.Window),
		},
	})
	s.stage = &verifyStage{
		epoch: s.epoch, self: s.self, verifier: s.verifier, known: known, limit: cfg.ReceiveBytes,
		lazy: ros.Votes.Lazy(), lazyCP: ros.Checkpoints.Lazy(), workers: workerTokens(cfg.VerifyWorkers),
		distrusted: make([]atomic.Bool, ros.N()), metrics: s.metrics, trace: s.trace, post: s.post,
		turns: new(bundleTurns),
	}
	return pbft.Config{
		Self: s.self, Cluster: ros.ID, Epoch: s.epoch, Quorums: quorums, Start: start,
		Window: pbft.Height(p.Window), CheckpointEvery: pbft.Height(p.CheckpointEvery), LogMax: pbft.Height(p.LogMax),
		Retain: cfg.Retain, MaxBlockBytes: int(p.MaxBlockBytes), MaxBlockRequests: int(p.MaxBlockRequests),
		MaxOperationBytes: int(p.MaxOperationBytes), MinCheckpointGap: time.Duration(p.MinCheckpointGap),
		MaxAhead: time.Duration(p.MaxAhead), MaxPoolBytes: cfg.MaxPoolBytes, MaxPoolPerClient: cfg.MaxPoolPerClient,
		Timeouts: cfg.Timeouts, Executed: executed, Follower: s.data.follower, CheckCertificate: s.verifier.CheckCertificate,
		Incarnation: rand.Uint64() | 1,
	}, nil
}

func (s *Server) signingKeys() pbft.Keys {
	k := s.cfg.Keys
	signing, check := ed25519.NewSigner(k.Signing), bls.NewSigner(k.BLS)
	votes := crypto.Signer(signing)
	if s.cfg.Roster.Cluster.VoteScheme == crypto.VoteBLS {
		votes = check
	}
	return pbft.Keys{Self: s.self, Signing: signing, Votes: votes, Checkpoints: check}
}
