package real

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrOptions is wrapped by the errors of [Options.Validate].
var ErrOptions = errors.New("options of the run")

// Options say what to run. A zero field stands for the default that is named with
// it; Program is needed.
type Options struct {
	// Program is the parley executable.
	Program string `json:"program"`
	// Daemon is the test daemon (package traitord, built with the tag chaos): without
	// it there are no wrong clocks and no traitors. Next is another build of the
	// program, for the upgrade: by default a copy of Program.
	Daemon string `json:"daemon,omitempty"`
	Next   string `json:"next,omitempty"`
	// Dir is the folder of the run; it is made.
	Dir string `json:"dir"`
	// Seed decides what is done; Duration is for how long (60 s), without the time for
	// starting and for healing.
	Seed     uint64        `json:"seed"`
	Duration time.Duration `json:"duration"`
	// Application is what the replicas run, one of [Applications]: by default kv, the
	// key-value store in memory. kv-store is the same on the disk, in the folder state of
	// each replica's data, which faults then meet too.
	Application string `json:"application"`
	// Replicas is 4, Clients 8, Rate how many operations all clients together begin in
	// a second, 400.
	Replicas int `json:"replicas"`
	Clients  int `json:"clients"`
	Rate     int `json:"rate"`
	// Nemeses are names of [Nemeses]; by default all. "none" is none.
	Nemeses []string `json:"nemeses"`
	// Kills restarts replicas after kill -9 until so many restarts were made, PowerCuts
	// cuts the power of all so many times. Then Nemeses and Duration play no part.
	Kills     int `json:"kills,omitempty"`
	PowerCuts int `json:"powerCuts,omitempty"`
	// Loopback makes no network namespaces, also where they are permitted.
	Loopback bool `json:"loopback,omitempty"`
	// Patience is how long a healed cluster may take until all is well again, 90 s.
	Patience time.Duration `json:"patience"`
	// Again is the command that runs this again, for people.
	Again string `json:"again,omitempty"`
	// Out gets progress; nothing if nil. Every is the time between its lines, 5 s.
	Out   io.Writer     `json:"-"`
	Every time.Duration `json:"-"`
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	o.Application = cmp.Or(o.Application, Applications()[0])
	def(&o.Replicas, 4)
	def(&o.Clients, 8)
	def(&o.Rate, 400)
	if o.Duration == 0 {
		o.Duration = time.Minute
	}
	if o.Patience == 0 {
		o.Patience = 90 * time.Second
	}
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if len(o.Nemeses) == 0 {
		o.Nemeses = []string{"all"}
	}
	return o
}

// Validate returns an error that names the option, its value and the remedy.
func (o Options) Validate() error {
	bad := func(name string, v any, remedy string) error {
		return fmt.Errorf("%w: %s is %v: %s", ErrOptions, name, v, remedy)
	}
	o = o.withDefaults()
	switch {
	case o.Program == "":
		return bad("Program", `""`, "name the parley executable")
	case o.Dir == "":
		return bad("Dir", `""`, "name a folder to make")
	case !slices.Contains(Applications(), o.Application):
		return bad("Application", o.Application, "give one of "+strings.Join(Applications(), ", "))
	case o.Replicas < 4 || o.Replicas > 32:
		return bad("Replicas", o.Replicas, "give 4 to 32")
	case o.Clients < 1 || o.Clients > 256:
		return bad("Clients", o.Clients, "give 1 to 256")
	case o.Rate < 1 || o.Rate > 100_000:
		return bad("Rate", o.Rate, "give 1 to 100000 operations a second")
	case o.Duration < time.Second || o.Duration > 7*24*time.Hour:
		return bad("Duration", o.Duration, "give a second to a week")
	case o.Kills < 0 || o.PowerCuts < 0:
		return bad("Kills or PowerCuts", min(o.Kills, o.PowerCuts), "give how many, or 0")
	case o.Kills > 0 && o.PowerCuts > 0:
		return bad("Kills and PowerCuts", "both set", "give one of them")
	}
	_, err := choose(o.Nemeses)
	return err
}

// kvStore is the application whose state is on the disk.
const kvStore = "kv-store"

// Applications are those that can be run, the default first. All have the operations of
// the key-value store.
func Applications() []string { return []string{"kv", kvStore} }

// folderPrefix is how the folders of runs begin that were given no name.
const folderPrefix = "parley-chaos-real-"

// NewFolder is the name of a folder for a run that is given none.
func NewFolder(seed uint64) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s%d-%s", folderPrefix, seed, time.Now().UTC().Format("20060102T150405")))
}

// leftovers are the folders of runs that were given no name.
func leftovers() []string {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	return folders
}

// faulty is how many replicas may be faulty; all weigh the same.
func (o *Options) faulty() int { return (o.Replicas - 1) / 3 }

// choose resolves the names of nemeses.
func choose(names []string) ([]*nemesis, error) {
	var chosen []*nemesis
	for _, name := range names {
		switch name {
		case "all":
			chosen = append(chosen, nemeses...)
			continue
		case "none":
			continue
		}
		i := slices.IndexFunc(nemeses, func(n *nemesis) bool { return n.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: Nemeses has %q: give some of all, none, %s", ErrOptions, name, strings.Join(Nemeses(), ", "))
		}
		if !slices.Contains(chosen, nemeses[i]) {
			chosen = append(chosen, nemeses[i])
		}
	}
	return chosen, nil
}

// Nemeses are the names of all nemeses.
func Nemeses() []string {
	names := make([]string, len(nemeses))
	for i, n := range nemeses {
		names[i] = n.name
	}
	return names
}

// NemesisDoc says in a line what a nemesis does, empty for one that there is not.
func NemesisDoc(name string) string {
	for _, n := range nemeses {
		if n.name == name {
			return n.doc
		}
	}
	return ""
}
