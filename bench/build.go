package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/parley-bft/parley/bench/system"
)

// compared are the modules whose versions the results name.
var compared = []string{
	"github.com/hyperledger-labs/SmartBFT", "github.com/cometbft/cometbft", "go.etcd.io/etcd/server/v3",
	"github.com/lni/dragonboat/v4", "github.com/hashicorp/raft", "github.com/hashicorp/raft-wal",
}

// buildPrograms builds what runs the replicas of these systems, and only that.
func buildPrograms(ctx context.Context, o *options, dir string) (*system.Programs, error) {
	p := &system.Programs{Versions: make(map[string]string)}
	wanted := make(map[string]bool)
	for _, s := range o.systems {
		switch s.Name {
		case "smartbft", "smartbft-signed", "cometbft":
			wanted["bft"] = true
		case "etcd", "dragonboat", "hraft":
			wanted["raft"] = true
		}
	}
	for _, b := range []struct {
		name, folder string
		args         []string
		path         *string
		wanted       bool
	}{
		{"parley", "..", []string{"./cmd/parley"}, &p.Parley, true},
		{"traitord", "..", []string{"-tags", "chaos", "./chaos/real/traitord"}, &p.Traitor, o.wantsTraitor()},
		{"bft", "peers/bft", []string{"."}, &p.BFT, wanted["bft"]},
		{"raft", "peers/raft", []string{"."}, &p.Raft, wanted["raft"]},
	} {
		if !b.wanted {
			continue
		}
		fmt.Fprintf(os.Stderr, "building %s\n", b.name)
		*b.path = filepath.Join(dir, b.name)
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", *b.path}, b.args...)...)
		cmd.Dir = filepath.Join(o.source, b.folder)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", b.name, err, out)
		}
		if err := note(p.Versions, *b.path); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// note remembers which versions a program was built of.
func note(versions map[string]string, path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	versions["Go"] = strings.TrimPrefix(info.GoVersion, "go")
	for _, d := range info.Deps {
		for _, name := range compared {
			if d.Path == name {
				versions[name] = d.Version
			}
		}
	}
	return nil
}

// commit is the source's, as far as it is known.
func commit(ctx context.Context, source string) string {
	out, err := exec.CommandContext(ctx, "git", "-C", source, "describe", "--always", "--dirty", "--abbrev=10").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
