package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
)

// doctorCommand is what 'parley doctor' was told.
type doctorCommand struct {
	target
	admin []string
	data  []string
	heal  string
	json  bool
}

func newDoctor() *cobra.Command {
	c := new(doctorCommand)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Whether the replicas' states are healthy, and what was wrong with them",
		Long: `Ask every replica about the health of its state. Replicas compare their states at each
checkpoint. One whose state is not the one that the others certified, because the
application is not deterministic or a disk changed what it keeps, stops answering, finds
out which keys differ and which operation wrote them, and repairs itself by getting what
differs from the others. This shows what was found, and how it ended:

  HEIGHT     the checkpoint at which the states differed; AGREED the last at which not
  DIFFERS    application, sessions (who has been answered what), results, snapshot
  REPAIRED   how: the snapshot that was the base, blocks that were executed again above
             it, keys that were changed, bytes that were received

and under it each key with its value here and there, the block and the operation that
wrote it here. A key is "damaged" if its value was changed beneath the application.

If the replicas came to so many different states that none of them has a quorum, no
checkpoint can be certified any more, nobody knows whose state is right, and no replica
can repair itself. Then this says who has which state, how the first keys differ, and
what to do.

--dir names the folder of a cluster on this machine. A replica that does not run is
looked up in its data folder. Give others with --admin. The same is served as JSON by
each replica: GET /doctor on its admin address.

--data DIR looks into the folder of a replica that does not run: besides the record, the
state that an application keeps on the disk is read as a whole, and compared with its
digests.

Damage to what an application keeps on the disk is repaired by the replica itself, which
shows here as "storage" under DIFFERS, with the files and the keys that were got.

--heal DIR is for a replica that says that it needs it. It deletes what its application
keeps on the disk; the next start of the replica makes it anew from its last snapshot, or
from the other replicas. The replica must not run. Votes and snapshots are not touched.

Exit code 6 if a state is not healthy now, or damage was found; 1 if nobody could be asked.`,
		Example: `  parley doctor --dir demo
  parley doctor --dir demo --json
  parley doctor --data demo/replica-2
  parley doctor --heal demo/replica-2`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&c.dir, "dir", "", "the cluster's folder (default $"+dirVariable+", or here)")
	f.StringSliceVar(&c.admin, "admin", nil, "ask the replica with this admin address instead; may be repeated")
	f.StringSliceVar(&c.data, "data", nil, "look into this folder of a replica that does not run instead; may be repeated")
	f.StringVar(&c.heal, "heal", "", "delete the damaged state in this folder of a replica that does not run")
	f.BoolVar(&c.json, "json", false, "print JSON")
	f.DurationVar(&c.timeout, "timeout", 5*time.Second, "how long to wait for the answers")
	return cmd
}

func (c *doctorCommand) run(cmd *cobra.Command) error {
	if c.timeout <= 0 {
		return usagef(cmd, "--timeout is %v: give a positive duration, such as 5s", c.timeout)
	}
	if c.heal != "" {
		return healState(cmd.OutOrStdout(), c.heal)
	}
	patients, err := c.patients(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
	defer cancel()
	var wg sync.WaitGroup
	for i := range patients {
		wg.Go(func() { patients[i].ask(ctx) })
	}
	wg.Wait()
	for i := range patients {
		patients[i].scrub(cmd.Context()) // as long as it takes
	}
	if err := printPatients(cmd.OutOrStdout(), patients, c.json); err != nil {
		return err
	}
	return verdict(patients)
}

// healState does without what the application keeps on the disk.
func healState(out io.Writer, dir string) error {
	data := dataFolder(dir)
	found, err := replica.DiscardState(data)
	if err != nil {
		return err
	}
	if !found {
		fmt.Fprintf(out, "%s has no state of an application: nothing to do. Start the replica.\n", data)
		return nil
	}
	fmt.Fprintf(out, "deleted %s. Start the replica: it makes its state anew from the last snapshot.\n", filepath.Join(data, replica.StateDir))
	return nil
}

// dataFolder finds the data folder of a replica, of which perhaps its own folder is named.
func dataFolder(dir string) string {
	if local, err := loadLocalConfig(replicaConfigPath(dir)); err == nil && local.Data != "" {
		return local.Data
	}
	return filepath.Clean(dir)
}

// patient is what is known of one replica.
type patient struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
	Data    string `json:"data,omitempty"`
	// Source is where the report is from: the replica, or its data folder.
	Source  string               `json:"source,omitempty"`
	State   string               `json:"state"`
	Report  replica.DoctorReport `json:"report"`
	Scrub   *scrubResult         `json:"scrub,omitempty"`
	Error   string               `json:"error,omitempty"`
	offline bool
}

// The states of a patient.
const (
	stateHealthy   = "healthy"
	stateRepairing = "repairing"
	stateFailed    = "failed"
	stateStopped   = "not running"
	stateDamaged   = "damaged"
	stateSplit     = "without certificate"
	stateUnknown   = "unknown"
)

// patients are whom to ask.
func (c *doctorCommand) patients(cmd *cobra.Command) ([]patient, error) {
	var all []patient
	for _, address := range c.admin {
		all = append(all, patient{Name: address, Address: address})
	}
	for _, dir := range c.data {
		all = append(all, patient{Name: dir, Data: dataFolder(dir), offline: true})
	}
	if all != nil {
		return all, nil
	}
	if err := c.resolve(cmd); err != nil {
		return nil, err
	}
	ros, err := roster.Load(c.cluster)
	if err != nil {
		return nil, err
	}
	for i := range ros.N() {
		p := patient{Name: ros.Member(crypto.ReplicaID(i)).Name}
		local, err := loadLocalConfig(replicaConfigPath(replicaDir(c.dir, i)))
		if err != nil {
			p.Error = plain(err.Error())
		} else {
			p.Address, p.Data = local.AdminListen, local.Data
		}
		all = append(all, p)
	}
	return all, nil
}

// ask asks the replica, or looks into its folder if it does not answer.
func (p *patient) ask(ctx context.Context) {
	if p.Error != "" {
		p.State = stateUnknown
		return
	}
	var asked error
	if !p.offline && p.Address != "" {
		if asked = fetchDoctor(ctx, p.Address, &p.Report); asked == nil {
			p.Source, p.Name = "replica", p.Report.Name
			switch {
			case p.Report.Failed != "":
				p.State = stateFailed
			case p.Report.Diverged != 0:
				p.State = stateRepairing
			case p.Report.Split != 0:
				p.State = stateSplit
			default:
				p.State = stateHealthy
			}
			return
		}
	}
	p.State = stateUnknown
	if p.Data == "" {
		p.Error = "no admin address and no data folder is known: give --admin or --data"
		if asked != nil {
			p.Error = plain(asked.Error())
		}
		return
	}
	if _, err := os.Stat(p.Data); err != nil {
		p.Error = plain(err.Error())
		return
	}
	cases, err := replica.ReadDoctorFile(p.Data)
	if err != nil {
		p.Error = plain(err.Error())
		return
	}
	p.Source, p.State, p.Report.Cases = "folder", stateStopped, cases
}

// maxDoctorAnswer is far more than sixteen cases with sixteen keys each.
const maxDoctorAnswer = 16 << 20

func fetchDoctor(ctx context.Context, address string, report *replica.DoctorReport) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/doctor", nil)
	if err != nil {
		return fmt.Errorf("admin address %q: %w", address, err)
	}
	a, err := client.Do(q)
	if err != nil {
		return err
	}
	defer func() { _ = a.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxDoctorAnswer))
	if err != nil {
		return err
	}
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s: %.200s", address, a.Status, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, report); err != nil {
		return fmt.Errorf("%s gives no report: %w", address, err)
	}
	return nil
}

// verdict makes the exit code.
func verdict(patients []patient) error {
	known, sick := 0, []string(nil)
	for i := range patients {
		p := &patients[i]
		switch p.State {
		case stateUnknown:
			continue
		case stateRepairing, stateFailed, stateDamaged, stateSplit:
			sick = append(sick, p.Name+" is "+p.State)
		}
		known++
	}
	switch {
	case len(sick) > 0:
		return &invalidError{strings.Join(sick, ", ")}
	case known == 0:
		return errors.New("no replica could be asked: do they run, and with an admin address ('adminListen' in replica.json)?")
	}
	return nil
}
