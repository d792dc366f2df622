package main

import (
	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
)

// coverageOf are the rare situations of a run.
func coverageOf(*chaos.Report) []report.Counter { return nil }

// expectedCoverage names the situations that should be there over many seeds.
func expectedCoverage() []string { return nil }
