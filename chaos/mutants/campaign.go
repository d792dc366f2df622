package mutants

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Row is a mutant and what came of it.
type Row struct {
	Mutant  Mutant
	Finding *Finding // nil if the mistake is impossible
}

// Survived tells whether the simulator should have killed it and did not.
func (r *Row) Survived() bool {
	return r.Finding != nil && !r.Finding.Killed && r.Mutant.Elsewhere == ""
}

// Blind tells whether only a test elsewhere kills it.
func (r *Row) Blind() bool {
	return r.Finding != nil && !r.Finding.Killed && r.Mutant.Elsewhere != ""
}

// Campaign judges mutants, so many at a time, and returns a row for each, in
// order. done, if not nil, is called as each ends, by one goroutine at a time.
func Campaign(ctx context.Context, program string, list []Mutant, b Budget, jobs int, done func(Row)) ([]Row, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rows := make([]Row, len(list))
	next := make(chan int)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range max(1, jobs) {
		workers.Go(func() {
			for i := range next {
				row := Row{Mutant: list[i]}
				if list[i].Impossible == "" {
					f, err := Judge(ctx, program, list[i], b)
					if err != nil {
						cancel(err)
						continue
					}
					row.Finding = f
				}
				mu.Lock()
				rows[i] = row
				if done != nil {
					done(row)
				}
				mu.Unlock()
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	workers.Wait()
	return rows, context.Cause(ctx)
}

// Summary is what a campaign came to.
type Summary struct {
	Killed, Blind, Survived, Impossible int
	// MedianSeconds and WorstSeconds are over those that were killed.
	MedianSeconds, WorstSeconds float64
}

// Sum counts the rows.
func Sum(rows []Row) (s Summary) {
	var times []float64
	for i := range rows {
		switch f := rows[i].Finding; {
		case f == nil:
			s.Impossible++
		case f.Killed:
			s.Killed++
			times = append(times, f.Real)
		case rows[i].Blind():
			s.Blind++
		default:
			s.Survived++
		}
	}
	if slices.Sort(times); len(times) > 0 {
		s.MedianSeconds, s.WorstSeconds = times[len(times)/2], times[len(times)-1]
	}
	return s
}

// WriteMarkdown writes the rows as a table, with the smallest schedules below it.
func WriteMarkdown(w io.Writer, rows []Row) error {
	var b strings.Builder
	b.WriteString("| Mutant | What is broken | Killed by | Seeds | Seconds | Virtual s |\n|---|---|---|--:|--:|--:|\n")
	for i := range rows {
		m, f := rows[i].Mutant, rows[i].Finding
		switch {
		case f == nil:
			fmt.Fprintf(&b, "| %s | %s | impossible: %s | | | |\n", m.ID, m.Title, m.Impossible)
		case f.Killed:
			fmt.Fprintf(&b, "| %s | %s | %s | %d | %.2f | %.1f |\n", m.ID, m.Title, f.Invariant, f.Seeds, f.Real, f.Virtual)
		case rows[i].Blind():
			fmt.Fprintf(&b, "| %s | %s | blind spot: only %s | %d | %.2f | %.1f |\n", m.ID, m.Title, m.Elsewhere, f.Seeds, f.Real, f.Virtual)
		default:
			fmt.Fprintf(&b, "| %s | %s | **survived** | %d | %.2f | %.1f |\n", m.ID, m.Title, f.Seeds, f.Real, f.Virtual)
		}
	}
	for i := range rows {
		m, f := rows[i].Mutant, rows[i].Finding
		if f == nil || !f.Killed || len(f.Left) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n**%s** %s: seed %d, in %d smaller runs reduced to %s.\n", m.ID, m.Title, f.Seed, f.Shrunk, strings.Join(f.Left, "; "))
		if len(f.Story) > 0 {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.Join(tail(f.Story, 12), "\n"))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func tail(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }
