package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Budget is what one mutant may cost.
type Budget struct {
	From   uint64        // first seed
	Seeds  int           // at most so many
	Time   time.Duration // start no seed after this time
	Shrink time.Duration // for making what was found smaller
}

// grace is how long the last seed of a trial may take beyond its time.
var grace = time.Minute

// Judge runs a trial of one mutant in a process of its own, since a broken product
// may also hang or crash; either is a finding. program is what [Build] returned.
func Judge(ctx context.Context, program string, m Mutant, b Budget) (*Finding, error) {
	limit := b.Time + b.Shrink + grace
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(bounded, program, "-mutant", m.ID,
		"-from", strconv.FormatUint(b.From, 10), "-seeds", strconv.Itoa(b.Seeds), "-time", b.Time.String(), "-shrink", b.Shrink.String())
	c.Env = append(os.Environ(), Environment+"="+strconv.Itoa(m.Number))
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	began := time.Now()
	err := c.Run()
	f := &Finding{Mutant: m.ID}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bounded.Err() != nil && c.ProcessState.UserTime()+c.ProcessState.SystemTime() < limit/2:
		// It had no chance: that is no finding.
		return nil, fmt.Errorf("trial of %s: not ended after %v, in which it had the processor for %v: the machine is too busy", m.ID, limit, c.ProcessState.UserTime().Round(time.Millisecond))
	case bounded.Err() != nil:
		f.Killed, f.Invariant, f.Violation = true, "liveness", fmt.Sprintf("liveness: the run did not end within %v", limit)
		f.Real = time.Since(began).Seconds()
		return f, nil
	case err != nil:
		return nil, fmt.Errorf("trial of %s: %w\n%s", m.ID, err, errs.Bytes())
	}
	if err := json.Unmarshal(out.Bytes(), f); err != nil {
		return nil, fmt.Errorf("trial of %s: %w", m.ID, err)
	}
	return f, nil
}
