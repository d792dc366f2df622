package main

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hyperledger-labs/SmartBFT/pkg/consensus"
	bft "github.com/hyperledger-labs/SmartBFT/pkg/types"
	"github.com/hyperledger-labs/SmartBFT/pkg/wal"
	pb "github.com/hyperledger-labs/SmartBFT/smartbftprotos"

	"github.com/parley-bft/parley/bench/wire"
)

// smart is the application around SmartBFT: keys, links, ledger and store.
type smart struct {
	node
	private ed25519.PrivateKey
	public  [replicas + 1]ed25519.PublicKey
	links   [replicas + 1]*wire.Queue
	clients wire.NoticeServer
	started chan struct{} // closed when consensus may be called
	engine  *consensus.Consensus
	ledger  *os.File

	mu      sync.Mutex
	kv      map[string][]byte
	recent  []bft.Decision // for replicas that fell behind
	last    bft.Decision
	lastSeq uint64

	answers chan []byte // to Sync
}

const (
	// heartbeat is SmartBFT's timeout for its leader: what the others wait for, too.
	heartbeat = 2 * time.Second
	clockTick = 100 * time.Millisecond
)

// smartConfig is what somebody sets who wants SmartBFT to be fast: one leader, blocks
// of 500 that wait 1 ms, a pool that takes all that is under way.
func smartConfig(id uint64) bft.Configuration {
	c := bft.DefaultConfig
	c.SelfID = id
	c.LeaderRotation = false
	c.DecisionsPerLeader = 0
	c.RequestBatchMaxCount = 500
	c.RequestBatchMaxInterval = time.Millisecond
	c.IncomingMessageBufferSize = 20_000
	c.RequestPoolSize = 20_000
	c.SpeedUpViewChange = true
	c.LeaderHeartbeatTimeout = heartbeat
	c.RequestForwardTimeout = heartbeat
	c.RequestComplainTimeout = 2 * heartbeat
	c.ViewChangeResendInterval = heartbeat
	c.ViewChangeTimeout = 4 * heartbeat
	c.CollectTimeout = heartbeat / 4
	return c
}

// runSmart is one replica.
func runSmart(n node) error {
	s := &smart{node: n, private: wire.Key25519("replica", n.id), kv: make(map[string][]byte), answers: make(chan []byte, 4096), started: make(chan struct{})}
	for i := 1; i <= replicas; i++ {
		s.public[i] = wire.Key25519("replica", i).Public().(ed25519.PublicKey)
	}
	// Its log allocates a buffer of this size for each record: 1 MiB by default.
	log, err := wal.Create(smartLogger{}, filepath.Join(n.dir, "wal"), &wal.Options{BufferSizeBytes: 64 << 10, Metrics: wal.DefaultOptions().Metrics})
	if err != nil {
		return err
	}
	if s.ledger, err = os.Create(filepath.Join(n.dir, "ledger")); err != nil {
		return err
	}
	s.engine = &consensus.Consensus{
		Config: smartConfig(uint64(n.id)), Application: s, Assembler: s, WAL: log, Comm: s, Signer: s, Verifier: s,
		MembershipNotifier: s, RequestInspector: s, Synchronizer: s, Logger: smartLogger{}, Metadata: &pb.ViewMetadata{},
		Scheduler: time.NewTicker(clockTick).C, ViewChangerTicker: time.NewTicker(clockTick).C,
	}
	if err := s.connect(); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond) // for the others' listeners
	if err := s.engine.Start(); err != nil {
		return err
	}
	close(s.started)
	if err := s.clients.Listen(n.client(n.id), s.submit); err != nil {
		return err
	}
	// The benchmark learns from a file who leads.
	for ; ; time.Sleep(50 * time.Millisecond) {
		leader := fmt.Appendf(nil, "%d\n", s.engine.GetLeaderID())
		if err := os.WriteFile(filepath.Join(n.dir, "leader"), leader, 0o644); err != nil {
			return err
		}
	}
}

// submit takes a command of a client.
func (s *smart) submit(command []byte) {
	if s.clientSignatures && !wire.Verify(command) {
		return
	}
	_ = s.engine.SubmitRequest(command)
}

// smartLogger says what went wrong and nothing else.
type smartLogger struct{}

// Debugf implements SmartBFT's logger, as the others do.
func (smartLogger) Debugf(string, ...any)     {}
func (smartLogger) Infof(string, ...any)      {}
func (smartLogger) Warnf(string, ...any)      {}
func (smartLogger) Errorf(f string, a ...any) { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (smartLogger) Panicf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
