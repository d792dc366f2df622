package main

import (
	"strings"
	"testing"
)

func TestReasonsAreForGoalsMissed(t *testing.T) {
	why, err := parseReasons("# Reasons\n\nFigures of May.\n\n## C=1: p50\n\nToo far.\n\nToo slow.\n\n## memory per replica at full load\n\nToo fat.\n")
	if err != nil {
		t.Fatal(err)
	}
	if why.before != "Figures of May." || why.of["C=1: p50"] != "Too far.\n\nToo slow." {
		t.Fatalf("%+v", why)
	}
	text := sampleResults().markdown(why)
	for _, want := range []string{
		"## Goals missed", "Figures of May.", "### C=1: p50\n\nMeasured in this run: 3.00 ms (3.00 to 3.00); the goal: 2.5 ms", "Too far.\n\nToo slow.",
		"### one backup down: throughput", "Not explained yet: write it into REASONS.md.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"Too fat.", "### C=1024 operations from 16 connections"} {
		if strings.Contains(text, not) {
			t.Errorf("%q of a goal that was reached is in\n%s", not, text)
		}
	}
	if text := new(results).markdown(why); strings.Contains(text, "Goals missed") {
		t.Error("nothing was measured, and goals are missed")
	}
}

func TestReasonsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"# R\n\n## C=2: p50\n\nx":                   `"C=2: p50" is no goal`,
		"# R\n\n## C=1: p50\n\nx\n## C=1: p50\n\ny": "is there twice",
		"# R\n\n## C=1: p50\n\n":                    "has no text",
	} {
		if _, err := parseReasons(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What is in the folder can be read, and says when its figures were measured.
func TestReasonsOfThisFolder(t *testing.T) {
	why, err := readReasons(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(why.of) == 0 || !strings.Contains(why.before, "measured") {
		t.Fatalf("%+v", why)
	}
	if why, err = readReasons(t.TempDir()); err != nil || len(why.of) != 0 {
		t.Fatalf("a folder without the file: %+v, %v", why, err)
	}
}
