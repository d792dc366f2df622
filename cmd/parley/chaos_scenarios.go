package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/chaos"
)

func init() { chaosCommands = append(chaosCommands, newChaosScenarios) }

// chaosScenarios plays bugs of other systems.
type chaosScenarios struct {
	list, verbose, markdown, json bool
	mutants, calm                 bool
	source                        string
}

func newChaosScenarios() *cobra.Command {
	c := &chaosScenarios{}
	cmd := &cobra.Command{
		Use:   "scenarios [NAME...]",
		Short: "Play the bugs of other systems against Parley",
		Long: `Plays what went wrong in other systems of this kind, each bug and attack by name,
and says what was seen: that the attack really took place and a rule stopped it
("caught"), or why the protocol has no place for the mistake ("impossible by
design"). The exit code is 1 if a scenario fails, or if its attack does not come
about any more.

With --mutants each scenario is played again without the defence that it names; then
it must fail, and hold when its attack is left out as well: otherwise it is not the
attack that shows that the defence is missing. That needs the go command and Parley's
sources.`,
		Example: `  parley chaos scenarios
  parley chaos scenarios zyzzyva-two-prepared-candidates -v
  parley chaos scenarios --list
  parley chaos scenarios --mutants smartbft-delivers-twice`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			all, err := c.chosen(cmd, names)
			if err != nil {
				return err
			}
			switch {
			case c.markdown:
				return chaos.WriteScenarios(cmd.OutOrStdout(), all)
			case c.list:
				return c.print(cmd.OutOrStdout(), all)
			case c.mutants:
				return c.breach(cmd, all)
			}
			return c.run(cmd, all)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.list, "list", false, "list them and play none")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "print what went wrong there, and why it cannot here")
	f.BoolVar(&c.markdown, "markdown", false, "print all texts as Markdown and play none")
	f.BoolVar(&c.mutants, "mutants", false, "play each one without its defences, where it must fail")
	f.BoolVar(&c.calm, "calm", false, "leave the attacks out: what is wrong then is no scenario's merit")
	f.StringVar(&c.source, "source", "", "root of Parley's sources for --mutants (default: the checkout around the working folder)")
	f.BoolVar(&c.json, "json", false, "print JSON, a line for each")
	cmd.MarkFlagsMutuallyExclusive("list", "markdown", "mutants", "json")
	cmd.MarkFlagsMutuallyExclusive("calm", "list", "markdown", "mutants")
	return cmd
}

func (c *chaosScenarios) chosen(cmd *cobra.Command, names []string) ([]chaos.Scenario, error) {
	if len(names) == 0 {
		return chaos.Scenarios(), nil
	}
	var all []chaos.Scenario
	for _, name := range names {
		s, ok := chaos.ScenarioNamed(name)
		if !ok {
			return nil, usagef(cmd, "no scenario is called %q: see parley chaos scenarios --list", name)
		}
		all = append(all, s)
	}
	return all, nil
}

func (c *chaosScenarios) print(out io.Writer, all []chaos.Scenario) error {
	t := newTable(out, "SCENARIO", "ORIGIN", "KIND", "BUGS")
	for i := range all {
		s := &all[i]
		t.row(s.Name, s.Origin, s.Kind, strings.Join(s.Bugs, ", "))
	}
	if err := t.render(); err != nil {
		return err
	}
	if c.verbose {
		for i := range all {
			explainScenario(out, &all[i])
		}
	}
	return nil
}

// explainScenario prints what a scenario is about.
func explainScenario(out io.Writer, s *chaos.Scenario) {
	fmt.Fprintf(out, "\n%s (%s)\n", s.Name, strings.Join(s.Bugs, ", "))
	say := func(what, text string) { fmt.Fprintf(out, "  %-9s %s\n", what, wrapped(text, 88, "            ")) }
	say("There:", s.Wrong)
	say("Here:", s.Differs)
	say("Rests on:", s.Rules)
	for _, u := range s.URLs() {
		say("See:", u)
	}
}

// wrapped breaks a text into lines of at most width characters.
func wrapped(text string, width int, indent string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteString("\n" + indent)
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func (c *chaosScenarios) run(cmd *cobra.Command, all []chaos.Scenario) error {
	out := cmd.OutOrStdout()
	results := make([]*chaos.ScenarioResult, len(all))
	var first error
	failed := 0
	for i := range all {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if c.calm {
			results[i] = all[i].Calm()
		} else {
			results[i] = all[i].Run()
		}
		if err := results[i].Err(); err != nil {
			if failed++; first == nil {
				first = err
			}
		}
		if c.json {
			if err := json.NewEncoder(out).Encode(results[i]); err != nil {
				return err
			}
		}
	}
	if !c.json {
		if err := c.table(out, all, results); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d scenarios failed, the first: %w", failed, len(all), first)
	}
	return nil
}

func (c *chaosScenarios) table(out io.Writer, all []chaos.Scenario, results []*chaos.ScenarioResult) error {
	t := newTable(out, "SCENARIO", "ORIGIN", "KIND", "VERDICT", "SECONDS", "SEEN")
	seconds := 0.0
	kinds := map[chaos.ScenarioKind]int{}
	for i, r := range results {
		seen := append(append(append([]string(nil), r.Broken...), r.Missing...), r.Facts...)
		if len(seen) == 0 {
			seen = []string{""}
		}
		fact, _, _ := strings.Cut(seen[0], "\n")
		t.row(r.Name, all[i].Origin, all[i].Kind, r.Verdict(), fmt.Sprintf("%.2f", r.Seconds), fact)
		seconds += r.Seconds
		kinds[all[i].Kind]++
	}
	if err := t.render(); err != nil {
		return err
	}
	if c.verbose {
		for i, r := range results {
			explainScenario(out, &all[i])
			for _, f := range r.Facts {
				fmt.Fprintf(out, "  %-9s %s\n", "Seen:", wrapped(f, 88, "            "))
			}
			for _, f := range append(append([]string(nil), r.Broken...), r.Missing...) {
				fmt.Fprintf(out, "  %-9s %s\n", "FAILED:", f)
			}
		}
	}
	fmt.Fprintf(out, "%d scenarios: %d caught, %d impossible by design; %.1f s\n", len(results), kinds[chaos.Caught], kinds[chaos.ByDesign], seconds)
	return nil
}
