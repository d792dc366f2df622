package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is whose source the test daemon is built from.
const module = "github.com/parley-bft/parley"

// BuildDaemon builds the test daemon, which takes Go and the source: the working
// folder, or one above it, must be of this module. It returns the program's path in
// dir. The error wraps errors.ErrUnsupported if there is no Go or no source.
func BuildDaemon(ctx context.Context, dir string) (string, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("%w: no Go", errors.ErrUnsupported)
	}
	found, err := exec.CommandContext(ctx, tool, "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	path, root, _ := strings.Cut(strings.TrimSpace(string(found)), " ")
	if err != nil || path != module {
		return "", fmt.Errorf("%w: the source of %s is not here", errors.ErrUnsupported, module)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "traitord")
	cmd := exec.CommandContext(ctx, tool, "build", "-tags", "chaos", "-o", program, module+"/chaos/real/traitord")
	cmd.Dir = root
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the test daemon: %w\n%s", err, &said)
	}
	return program, nil
}
