package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "7")
	f, err := Create(dir)
	require.NoError(t, err)
	f.Trace("1ms first")
	f.Trace("2ms second")
	run := demo(7)
	run.Started = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, os.WriteFile(f.Path(HistoryPageFile), []byte("<p>porcupine"), 0o600))
	run.HistoryPage = HistoryPageFile
	require.NoError(t, f.Finish(run))
	f.Trace("too late")

	trace, err := os.ReadFile(filepath.Join(dir, TraceFile))
	require.NoError(t, err)
	require.Equal(t, "1ms first\n2ms second\n", string(trace))
	first, err := os.ReadFile(filepath.Join(dir, PageFile))
	require.NoError(t, err)
	for _, name := range []string{TraceFile, OptionsFile, HistoryFile, RegistersFile, TransactionsFile, MetricsFile, HistoryPageFile} {
		has(t, string(first), `href="`+name+`"`)
		require.FileExists(t, filepath.Join(dir, name))
	}

	// The files have all that the page needs.
	require.NoError(t, os.Remove(filepath.Join(dir, PageFile)))
	again, err := Rerender(dir)
	require.NoError(t, err)
	require.JSONEq(t, string(run.Options), string(again.Options))
	again.Options = run.Options
	require.Equal(t, run, again)
	second, err := os.ReadFile(filepath.Join(dir, PageFile))
	require.NoError(t, err)
	require.True(t, string(first) == string(second), "the page is another one")

	// A second run replaces it, and has no drawing.
	f, err = Create(dir)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, HistoryPageFile))
	require.NoError(t, f.Finish(run))
	page, err := os.ReadFile(filepath.Join(dir, PageFile))
	require.NoError(t, err)
	hasNot(t, string(page), HistoryPageFile)
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, left, "temporary files are left")
}

func TestFoldersThatAreNone(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "thesis.txt")
	require.NoError(t, os.WriteFile(precious, []byte("x"), 0o600))
	_, err := Create(dir)
	require.ErrorIs(t, err, ErrFolder)
	require.ErrorContains(t, err, "name a new folder")
	_, err = Load(dir)
	require.ErrorIs(t, err, ErrFolder)

	dir = t.TempDir()
	f, err := Create(dir)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = Load(dir)
	require.ErrorIs(t, err, ErrFolder, "a run that has not ended")
	f, err = Create(dir)
	require.NoError(t, err)
	require.NoError(t, f.Finish(&Run{}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, MetricsFile), []byte(strings.Repeat("[", 100)), 0o600))
	_, err = Load(dir)
	require.ErrorIs(t, err, ErrFolder)
	require.ErrorContains(t, err, MetricsFile)

	f, err = Create(dir)
	require.NoError(t, err)
	require.ErrorContains(t, f.Finish(&Run{Options: []byte("{")}), "options of the run")
}

func TestBuckets(t *testing.T) {
	b := Buckets([]Operation{
		{Begin: 0, End: 10, Outcome: OK}, {Begin: 0, End: 30, Outcome: OK}, {Begin: 60, End: 99, Outcome: Failed},
		{Begin: 60, Outcome: Unknown}, {Begin: 50, End: 500, Outcome: OK}, {Begin: 100, End: 100, Outcome: "odd"},
	}, 100, 2)
	require.Equal(t, []Bucket{
		{Begin: 0, End: 50, OK: 2, P50: 10, P99: 30, Max: 30},
		{Begin: 50, End: 100, OK: 1, Failed: 1, Unknown: 2, P50: 450, P99: 450, Max: 450},
	}, b)
	require.Nil(t, Buckets(nil, 0, 3))
	require.Nil(t, Buckets(nil, 5, 0))
	require.Zero(t, Quantile(nil, 0.5))
	require.EqualValues(t, 99, Quantile([]time.Duration{1, 99}, 0.51))
}

func TestTexts(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 350: "350ns", 12345 * time.Microsecond: "12.35ms", 1234567 * time.Microsecond: "1.235s", 200 * time.Second: "3m20s", 2 * time.Minute: "2m", 3 * time.Hour: "3h",
	} {
		require.Equal(t, want, span(d))
	}
	for n, want := range map[int]string{0: "0", 12: "12", 999: "999", 1000: "1\u202f000", -1234567: "-1\u202f234\u202f567", -12: "-12", -123: "-123", 123456: "123\u202f456"} {
		require.Equal(t, want, count(n))
	}
	require.Equal(t, "18\u202f446\u202f744\u202f073\u202f709\u202f551\u202f615", count(^uint64(0)))
	require.Equal(t, "1.5\u202fMiB", figure(Number{Value: 1.5 * (1 << 20), Unit: "bytes"}))
	require.Equal(t, "2.5s", figure(Number{Value: 2.5, Unit: "seconds"}))
	require.Equal(t, "1.23457 seeds/s", figure(Number{Value: 1.23456789, Unit: "seeds/s"}))
	for _, total := range []time.Duration{1, 7, time.Millisecond, 3 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 1000 * time.Hour, 1<<63 - 1} {
		ticks := axis{total}.ticks()
		require.GreaterOrEqual(t, len(ticks), 2, total)
		require.LessOrEqual(t, len(ticks), 14, total)
	}
}
