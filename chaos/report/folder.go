package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// The files of a folder.
const (
	PageFile         = "report.html"
	OptionsFile      = "options.json"
	TraceFile        = "trace.txt"
	HistoryFile      = "history.json"
	RegistersFile    = "history.edn"
	TransactionsFile = "history.elle.edn"
	MetricsFile      = "metrics.json"
	// HistoryPageFile is the name that porcupine's drawing should have.
	HistoryPageFile = "history.html"
)

// ErrFolder is wrapped by errors about folders that have no run, or a damaged one.
var ErrFolder = errors.New("folder of a run")

// Folder is where a run that goes on leaves what came out of it. Its methods may
// be called from several goroutines.
type Folder struct {
	dir   string
	mu    sync.Mutex
	file  *os.File
	trace *bufio.Writer
	err   error // the first of the trace
}

// Create makes the folder and opens the trace. Files of an earlier run are
// replaced; a folder that has other things and no run is refused with ErrFolder.
func Create(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 && !exists(filepath.Join(dir, TraceFile)) {
		return nil, fmt.Errorf("%w: %s has other files and no %s: name a new folder", ErrFolder, dir, TraceFile)
	}
	for _, name := range []string{PageFile, OptionsFile, HistoryFile, RegistersFile, TransactionsFile, MetricsFile, HistoryPageFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	file, err := os.Create(filepath.Join(dir, TraceFile))
	if err != nil {
		return nil, err
	}
	return &Folder{dir: dir, file: file, trace: bufio.NewWriterSize(file, 1<<16)}, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Path is the path of a file in the folder, for what others write there.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, name) }

// Trace adds a line to the trace. Finish tells if it could not be written.
func (f *Folder) Trace(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.file == nil {
		return
	}
	if _, err := f.trace.WriteString(line); err != nil {
		f.err = err
		return
	}
	f.err = f.trace.WriteByte('\n')
}

// Close ends the trace of a run that has no more to say. Finish does it too.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := errors.Join(f.err, f.trace.Flush(), f.file.Close())
	f.file = nil
	return err
}

// Finish writes all files, the page last.
func (f *Folder) Finish(r *Run) error {
	if err := f.Close(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	var options bytes.Buffer
	if len(r.Options) == 0 {
		options.WriteString("{}\n")
	} else if err := json.Indent(&options, r.Options, "", "  "); err != nil {
		return fmt.Errorf("options of the run: %w", err)
	}
	ops := r.Operations
	if ops == nil {
		ops = []Operation{}
	}
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{OptionsFile, func(w io.Writer) error { _, err := w.Write(options.Bytes()); return err }},
		{HistoryFile, func(w io.Writer) error { return writeJSON(w, ops) }},
		{RegistersFile, func(w io.Writer) error { return WriteRegisters(w, ops) }},
		{TransactionsFile, func(w io.Writer) error { return WriteTransactions(w, ops) }},
		{MetricsFile, func(w io.Writer) error { return writeJSON(w, r) }},
	} {
		if err := writeFile(f.Path(file.name), file.write); err != nil {
			return err
		}
	}
	return renderInto(f.dir, r)
}

// renderInto draws a run of this folder, with links to the files that are there.
func renderInto(dir string, r *Run) error {
	return writeFile(filepath.Join(dir, PageFile), func(w io.Writer) error {
		return render(w, r, func(name string) bool { return exists(filepath.Join(dir, name)) })
	})
}

// Rerender reads a folder and draws its page anew. Errors: ErrFolder.
func Rerender(dir string) (*Run, error) {
	r, err := Load(dir)
	if err != nil {
		return nil, err
	}
	return r, renderInto(dir, r)
}

// Load reads what Finish wrote. Errors: ErrFolder.
func Load(dir string) (*Run, error) {
	r := &Run{}
	for name, into := range map[string]any{MetricsFile: r, OptionsFile: &r.Options, HistoryFile: &r.Operations} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s has no %s: name the folder of a run that has ended", ErrFolder, dir, name)
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, into); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFolder, filepath.Join(dir, name), err)
		}
	}
	return r, nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(v)
}

// writeFile writes a file that is there as a whole or not at all.
func writeFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	out := bufio.NewWriterSize(file, 1<<16)
	err = errors.Join(write(out), out.Flush(), file.Chmod(0o644), file.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Rename(file.Name(), path)
}
