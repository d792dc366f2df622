package crypto

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parley-bft/parley/crypto/internal/atomicfile"
	"github.com/parley-bft/parley/internal/strictjson"
)

// MaxClusterFile is the largest cluster file accepted, in bytes: room for
// MaxReplicas members and all listed clients.
const MaxClusterFile = 8 << 20

func decodeStrict(data []byte, v any) error { return strictjson.Decode(data, v) }

// LoadCluster reads, parses and checks a cluster file.
func LoadCluster(path string) (*Cluster, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the cluster file: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxClusterFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the cluster file %s: %w", path, err)
	}
	c, err := ParseCluster(data)
	if err != nil {
		return nil, fmt.Errorf("cluster file %s: %w", path, err)
	}
	return c, nil
}

// ParseCluster parses the JSON of a cluster file and checks it. Unknown and
// doubled fields are errors; errors of the format wrap [ErrMalformed].
func ParseCluster(data []byte) (*Cluster, error) {
	if len(data) > MaxClusterFile {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxClusterFile)
	}
	// The format first: a newer file's unknown fields would otherwise be the
	// first thing to complain about.
	var version struct {
		Format *int `json:"format"`
	}
	if err := strictjson.DecodeHead(data, &version, false); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if version.Format == nil {
		return nil, fmt.Errorf("%w: no field \"format\": is this a cluster file?", ErrMalformed)
	}
	if *version.Format != ClusterFormat {
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrMalformed, *version.Format, ClusterFormat)
	}
	c := new(Cluster)
	if err := decodeStrict(data, c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	return c, nil
}

// Encode returns the JSON of the cluster file, after checking it.
func (c *Cluster) Encode() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("encode cluster %q", c.Name), err)
	}
	return append(data, '\n'), nil
}

// Write checks the cluster and replaces the file at path: after a crash it is
// there whole, the old or the new one.
func (c *Cluster) Write(path string) error {
	data, err := c.Encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o644)
}
