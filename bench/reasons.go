package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// reasonsFile says of each goal where the time goes and what would be needed, written by
// hand: a heading of the second level for each goal, as the table names it. What is
// there of goals that a run missed becomes part of RESULTS.md.
const reasonsFile = "REASONS.md"

// reasons are the texts by goal. before is what stands above the first of them: when
// their figures were measured.
type reasons struct {
	before string
	of     map[string]string
}

// readReasons reads the file in the folder bench; without one there are none.
func readReasons(source string) (*reasons, error) {
	path := filepath.Join(source, reasonsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &reasons{}, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := parseReasons(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func parseReasons(text string) (*reasons, error) {
	known := make(map[string]bool)
	for _, g := range new(results).goals() {
		known[g.what] = true
	}
	r := &reasons{of: make(map[string]string)}
	sections := strings.Split("\n"+text, "\n## ")
	_, before, _ := strings.Cut(strings.TrimPrefix(sections[0], "\n"), "\n") // below the title
	r.before = strings.TrimSpace(before)
	for _, s := range sections[1:] {
		goal, body, _ := strings.Cut(s, "\n")
		goal, body = strings.TrimSpace(goal), strings.TrimSpace(body)
		switch {
		case !known[goal]:
			return nil, fmt.Errorf("%q is no goal: write its name as the table has it", goal)
		case r.of[goal] != "":
			return nil, fmt.Errorf("%q is there twice: put both texts together", goal)
		case body == "":
			return nil, fmt.Errorf("%q has no text: write one, or leave the heading out", goal)
		}
		r.of[goal] = body
	}
	return r, nil
}

// missedGoals says why goals were missed.
func (r *results) missedGoals(line printer, why *reasons) {
	var missing []goal
	for _, g := range r.goals() {
		if g.verdict == missed {
			missing = append(missing, g)
		}
	}
	if len(missing) == 0 {
		return
	}
	line("## Goals missed: where the time goes, and what would be needed\n")
	if why.before != "" {
		line("%s\n", why.before)
	}
	for _, g := range missing {
		text := why.of[g.what]
		if text == "" {
			text = "Not explained yet: write it into " + reasonsFile + "."
		}
		line("### %s\n\nMeasured in this run: %s; the goal: %s.\n\n%s\n", g.what, g.measured, g.goal, text)
	}
}
