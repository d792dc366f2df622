package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/internal/strictjson"
	"github.com/parley-bft/parley/pbft"
)

// StorageFormat is the version of the data folder that this program reads and
// writes.
const StorageFormat = 3

// The names within a data folder.
const (
	identityFile = "IDENTITY"
	lockFile     = "LOCK"
	storeDir     = "store"
	snapshotDir  = "snapshots"
	// StateDir is the folder of an application that keeps its state on the disk
	// ([Config.OpenMachine]). It is worth no more than time: without it the state is
	// restored from the last snapshot.
	StateDir = "state"
)

// Identity says whose data a folder holds.
type Identity struct {
	Format  int            `json:"format"`
	Cluster crypto.Digest  `json:"cluster"`
	Epoch   pbft.Epoch     `json:"epoch"`
	Replica pbft.ReplicaID `json:"replica"`
	// Signing is the replica's signing key: an index alone would let two keys share
	// a folder.
	Signing crypto.PublicKey `json:"signingKey"`
	// NeverStarted is set by InitDataDir and cleared, durably, before the first vote:
	// only a folder that has it may begin with an empty log (PROTOCOL R7).
	NeverStarted bool `json:"neverStarted,omitempty"`
}

// IdentityError says that the folder is another's, and what to do.
type IdentityError struct {
	Folder     string
	Field      string
	Have, Want string
	Remedy     string
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("%v: %s has %s %s, this replica %s: %s", ErrIdentity, e.Folder, e.Field, e.Have, e.Want, e.Remedy)
}

// Unwrap returns [ErrIdentity].
func (e *IdentityError) Unwrap() error { return ErrIdentity }

// InitDataDir makes the data folder of a replica that has never run. The mark
// that it leaves permits exactly one start with an empty log. The error wraps
// fs.ErrExist if the folder has an identity already.
//
// Never call it again for a replica that has run, to repair a lost folder: start
// the replica with no folder at all, and it rejoins without risk.
func InitDataDir(dir string, id Identity) error {
	if err := makeDirs(dir); err != nil {
		return fmt.Errorf("make the data folder %s: %w", dir, err)
	}
	path := filepath.Join(dir, identityFile)
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("data folder %s: %w: it was initialised before; name another folder", dir, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, storeDir)); err == nil {
		return fmt.Errorf("data folder %s: %w: it holds a log already; start the replica as it is", dir, fs.ErrExist)
	}
	id.Format, id.NeverStarted = StorageFormat, true
	return writeIdentity(dir, id)
}

func writeIdentity(dir string, id Identity) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the identity of %s: %w", dir, err)
	}
	if err := writeFile(filepath.Join(dir, identityFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the identity of %s: %w", dir, err)
	}
	return nil
}

// readIdentity returns nil if there is none.
func readIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	malformed := func(err error) error {
		return &CorruptError{Folder: dir, Key: identityFile,
			Detail: fmt.Sprintf("it should be an object with the fields format, cluster, epoch, replica and signingKey, as this program writes it: %v", err)}
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := strictjson.DecodeHead(data, &version, false); err != nil {
		return nil, malformed(err)
	}
	if version.Format != StorageFormat {
		return nil, &IdentityError{Folder: dir, Field: "storage format", Have: fmt.Sprint(version.Format), Want: fmt.Sprint(StorageFormat),
			Remedy: "start the program that wrote it, or a newer one"}
	}
	id := new(Identity)
	if err := strictjson.Decode(data, id); err != nil {
		return nil, malformed(err)
	}
	return id, nil
}

// check compares with what the cluster file and the keys say.
func (id *Identity) check(dir string, want Identity) error {
	const remedy = "name the data folder of this replica in the configuration, or start with an empty one"
	for _, f := range []struct {
		name       string
		have, want string
	}{
		{"cluster", id.Cluster.Hex(), want.Cluster.Hex()},
		{"replica", fmt.Sprint(id.Replica), fmt.Sprint(want.Replica)},
		{"signing key", id.Signing.Hex(), want.Signing.Hex()},
		{"epoch", fmt.Sprint(id.Epoch), fmt.Sprint(want.Epoch)},
	} {
		if f.have != f.want {
			return &IdentityError{Folder: dir, Field: f.name, Have: f.have, Want: f.want, Remedy: remedy}
		}
	}
	return nil
}

// Born is what a store knows about its own beginning.
type Born uint8

const (
	// BornNot: the store has never been started.
	BornNot Born = 0
	// BornVoter: it has; the log says everything.
	BornVoter Born = 1
	// BornFollower: it was started as a follower and the core's own mark of that may
	// not be in the log yet.
	BornFollower Born = 2
)

func bornRecord(b Born) HostRecord {
	return HostRecord{Key: HostKey{Kind: HostBorn}, Value: []byte{byte(b)}}
}

func readBorn(s Store) (Born, error) {
	v, err := s.GetHost(HostKey{Kind: HostBorn})
	if err != nil || len(v) != 1 {
		return BornNot, err
	}
	return Born(v[0]), nil
}

// dataDir is an opened, locked data folder.
type dataDir struct {
	path  string
	lock  *flock.Flock
	store *journalStore
	// follower says that the log begins empty under a key that may have voted.
	follower bool
	// why it is a follower, for the log.
	reason string
}

// openDataDir locks the folder, checks whose it is, opens the store, and decides
// whether the replica may vote.
//
// The order matters. The store says "started" durably before the mark in IDENTITY
// is cleared, and the mark is cleared before anything is signed. A crash in
// between leaves a store that says "started" and is empty because nothing was
// signed yet; the other order would leave a replica that looks like one that lost
// its log.
func openDataDir(path string, want Identity, cfg DiskStoreConfig) (_ *dataDir, err error) {
	want.Format = StorageFormat
	if err := makeDirs(path); err != nil {
		return nil, fmt.Errorf("make the data folder %s: %w", path, err)
	}
	d := &dataDir{path: path, lock: flock.New(filepath.Join(path, lockFile))}
	ok, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder %s: %w", path, err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s: another process has it open; two replicas with one key would sign against each other", ErrLocked, path)
	}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	id, err := readIdentity(path)
	if err != nil {
		return nil, err
	}
	if id != nil {
		if err := id.check(path, want); err != nil {
			return nil, err
		}
	}
	cfg.Dir = filepath.Join(path, storeDir)
	if err := makeDirs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("make %s: %w", cfg.Dir, err)
	}
	if d.store, err = openJournal(cfg); err != nil {
		return nil, err
	}
	born, err := readBorn(d.store)
	if err != nil {
		return nil, err
	}
	switch {
	case born == BornFollower:
		d.follower, d.reason = true, "the first start as a follower was interrupted"
	case born == BornVoter && id == nil:
		// The log may be another replica's: to vote on it would be to vote twice.
		return nil, &CorruptError{Folder: path, Key: identityFile, Detail: "the file is missing beside the log of a replica that has voted"}
	case born == BornVoter:
	case id == nil:
		d.follower, d.reason = true, "the data folder has no identity and no log"
	case !id.NeverStarted:
		d.follower, d.reason = true, "the data folder has no log although the replica has run"
	}
	if born == BornNot {
		born = BornVoter
		if d.follower {
			born = BornFollower
		}
		if err := d.store.WriteHost([]HostRecord{bornRecord(born)}, true); err != nil {
			return nil, err
		}
	}
	if id == nil || id.NeverStarted {
		if err := writeIdentity(path, want); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *dataDir) close() error {
	var err error
	if d.store != nil {
		err = d.store.Close()
	}
	return errors.Join(err, d.lock.Close())
}

func isInvalid(err error) bool { return errors.Is(err, syscall.EINVAL) }
