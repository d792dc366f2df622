package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildInfo says which program this is.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuildInfo() buildInfo {
	b := buildInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	if b.Version == "" {
		b.Version = "(devel)"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// short is what a replica tells others of its build.
func (b buildInfo) short() string {
	s := "parley " + b.Version
	if len(b.Revision) >= 10 {
		s = "parley " + b.Revision[:10]
		if b.Modified {
			s += "+"
		}
	}
	return s[:min(len(s), 64)]
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print which program this is",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, out := readBuildInfo(), cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(b)
			}
			fmt.Fprintf(out, "parley %s\n%s %s\n", b.Version, b.Go, b.Platform)
			if b.Revision != "" {
				mark := ""
				if b.Modified {
					mark = " (modified)"
				}
				fmt.Fprintf(out, "revision %s%s\n", b.Revision, mark)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
