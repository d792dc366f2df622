package real

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
)

// cluster is the files of a cluster under test. Each replica has a cluster file of
// its own, in which the others' addresses are those of the proxies: addresses are no
// part of a cluster's identity.
type cluster struct {
	dir    string
	app    string
	roster *roster.Roster // with the addresses of the clients' proxies
	disks  []disk
}

// checkpointEvery is short, so that snapshots and what depends on them take part.
const checkpointEvery = 64

// makeCluster writes everything. ownDisks gives each replica a file system where
// that is permitted.
func makeCluster(dir, app string, w *network, ownDisks bool) (c *cluster, err error) {
	c = &cluster{dir: dir, app: app}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	file := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "chaos", Epoch: crypto.FirstEpoch, VoteScheme: crypto.VoteEd25519,
		Parameters: crypto.DefaultParameters(), Clients: crypto.Clients{Admission: crypto.AdmitOpen},
		Application: &crypto.Application{Name: app},
	}
	p := &file.Parameters
	p.Window, p.CheckpointEvery = 16, checkpointEvery
	p.LogMax = 2*p.CheckpointEvery + 2*p.Window
	if _, err := rand.Read(file.Nonce[:]); err != nil {
		return nil, err
	}
	keys := make([]*keyfile.Replica, w.n())
	for i := range keys {
		if keys[i], err = keyfile.GenerateReplica(rand.Reader); err != nil {
			return nil, err
		}
		m := keys[i].Public().Member(name(i), w.hosts.peer(i), w.clients[i].Addr())
		file.Members = append(file.Members, m)
	}
	if c.roster, err = roster.New(file); err != nil {
		return nil, err
	}
	for i, k := range keys {
		home := c.home(i)
		if err := os.MkdirAll(home, 0o700); err != nil {
			return nil, err
		}
		d, err := chooseDisk(filepath.Join(home, "disk"), ownDisks)
		if err != nil {
			return nil, err
		}
		c.disks = append(c.disks, d)
		if err := k.Write(filepath.Join(home, "key.json")); err != nil {
			return nil, err
		}
		own := *file
		own.Members = append([]crypto.Member(nil), file.Members...)
		for j := range own.Members {
			own.Members[j].ClientAddress = w.hosts.client(j)
			if j != i {
				own.Members[j].PeerAddress = w.links[i][j].Addr()
			}
		}
		if err := own.Write(filepath.Join(home, "cluster.json")); err != nil {
			return nil, err
		}
		if err := c.settings(i, w.hosts, d); err != nil {
			return nil, err
		}
		id, err := replica.IdentityOf(c.roster, k.Public())
		if err != nil {
			return nil, err
		}
		if err := replica.InitDataDir(d.data(), id); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func chooseDisk(dir string, own bool) (disk, error) {
	if own {
		return newDisk(dir)
	}
	return newFolderDisk(dir)
}

// settings writes replica.json.
func (c *cluster) settings(i int, h hosts, d disk) error {
	fields := map[string]any{
		"format": 1, "cluster": "cluster.json", "key": "key.json", "data": d.data(),
		"listen": h.peer(i), "clientListen": h.client(i), "adminListen": h.admin(i), "adminRemote": true,
		"logLevel": "info", "logFormat": "json",
		// Every other replica has the guard that stops it before the disk is full; the
		// others run into the wall.
		"reserveMiB": []int{32, -1}[i%2], "retainBlocks": checkpointEvery,
	}
	if c.app == kvStore {
		// So little in memory that the disk is written and read all the time.
		fields["state"] = map[string]int{"cacheMiB": 2, "flushMiB": 1, "heights": 2 * checkpointEvery, "feedMiB": 1}
	}
	data, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.home(i), "replica.json"), data, 0o600)
}

func name(i int) string { return fmt.Sprintf("replica-%d", i) }

func (c *cluster) home(i int) string { return filepath.Join(c.dir, name(i)) }

func (c *cluster) log(i int) string { return filepath.Join(c.home(i), "log.txt") }

// close gives back the disks.
func (c *cluster) close() {
	for _, d := range c.disks {
		_ = d.close()
	}
}
