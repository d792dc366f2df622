package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var someOps = []Operation{
	{Client: 0, Op: Write, Key: "k", New: "1", Begin: 10, End: 40, Outcome: OK},
	{Client: 1, Op: Read, Key: "k", Begin: 20, End: 50, Outcome: OK, Found: true, Value: "1"},
	{Client: 0, Op: Swap, Key: "k", Old: "1", New: "2", Begin: 60, End: 70, Outcome: OK, Swapped: true},
	{Client: 1, Op: Swap, Key: "k", Old: "1", New: "3", Begin: 80, End: 90, Outcome: OK, Found: true, Value: "2"},
	{Client: 0, Op: Write, Key: `a"b`, New: "4", Begin: 100, Outcome: Unknown},
	{Client: 0, Op: Read, Key: "k", Begin: 110, End: 120, Outcome: Failed},
	{Client: 0, Op: "range", Key: "k", Begin: 111, End: 112, Outcome: OK},
	{Client: 1, Op: Read, Key: "x", Begin: 115, End: 125, Outcome: OK},
}

func TestRegisters(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteRegisters(&b, someOps))
	require.Equal(t, `{:type :invoke, :process 0, :f :write, :value ["k" "1"], :time 10, :index 0}
{:type :invoke, :process 1, :f :read, :value ["k" nil], :time 20, :index 1}
{:type :ok, :process 0, :f :write, :value ["k" "1"], :time 40, :index 2}
{:type :ok, :process 1, :f :read, :value ["k" "1"], :time 50, :index 3}
{:type :invoke, :process 0, :f :cas, :value ["k" ["1" "2"]], :time 60, :index 4}
{:type :ok, :process 0, :f :cas, :value ["k" ["1" "2"]], :time 70, :index 5}
{:type :invoke, :process 1, :f :cas, :value ["k" ["1" "3"]], :time 80, :index 6}
{:type :fail, :process 1, :f :cas, :value ["k" ["1" "3"]], :time 90, :index 7}
{:type :invoke, :process 0, :f :write, :value ["a\"b" "4"], :time 100, :index 8}
{:type :invoke, :process 2, :f :read, :value ["k" nil], :time 110, :index 9}
{:type :invoke, :process 1, :f :read, :value ["x" nil], :time 115, :index 10}
{:type :fail, :process 2, :f :read, :value ["k" nil], :time 120, :index 11}
{:type :info, :process 0, :f :write, :value ["a\"b" "4"], :time 125, :index 12}
{:type :ok, :process 1, :f :read, :value ["x" nil], :time 125, :index 13}
`, b.String())
}

func TestTransactions(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteTransactions(&b, someOps))
	for _, line := range []string{
		`{:type :invoke, :process 0, :f :txn, :value [[:r "k" nil] [:w "k" "2"]], :time 60, :index 4}`,
		`{:type :ok, :process 0, :f :txn, :value [[:r "k" "1"] [:w "k" "2"]], :time 70, :index 5}`,
		`{:type :ok, :process 1, :f :txn, :value [[:r "k" "2"]], :time 90, :index 7}`,
		`{:type :info, :process 0, :f :txn, :value [[:w "a\"b" "4"]], :time 125, :index 12}`,
	} {
		require.Contains(t, b.String(), line+"\n")
	}
}

func TestStrings(t *testing.T) {
	require.Equal(t, `"a\\b\"\n\t\r\u0000\u2028é"`, ednString("a\\b\"\n\t\r\x00\u2028é"))
	require.Equal(t, "\"\uFFFDff00\"", ednString("\xff\x00"))
}

var ednLine = regexp.MustCompile(`^\{:type :(\w+), :process (\d+), :f :\w+, :value .*, :time (\d+), :index (\d+)\}$`)

// Whatever clients do: times rise, every process does one thing at a time, and
// nothing after an unknown outcome.
func TestHistoriesAreWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := rapid.Custom(func(t *rapid.T) Operation {
			o := Operation{
				Client: rapid.IntRange(0, 3).Draw(t, "client"), Op: rapid.SampledFrom([]OpName{Read, Write, Swap, "else"}).Draw(t, "op"),
				Key: rapid.String().Draw(t, "key"), Begin: time.Duration(rapid.IntRange(0, 20).Draw(t, "begin")),
				Outcome: rapid.SampledFrom([]Outcome{OK, Failed, Unknown}).Draw(t, "outcome"), Swapped: rapid.Bool().Draw(t, "swapped"),
			}
			o.End = o.Begin + time.Duration(rapid.IntRange(0, 9).Draw(t, "took"))
			return o
		})
		ops := rapid.SliceOf(op).Draw(t, "ops")
		var b bytes.Buffer
		require.NoError(t, WriteRegisters(&b, ops))
		state := map[string]string{}
		last, events := int64(-1), 0
		for line := range strings.Lines(b.String()) {
			m := ednLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			require.NotNil(t, m, line)
			require.Equal(t, fmt.Sprint(events), m[4])
			events++
			at, err := strconv.ParseInt(m[3], 10, 64)
			require.NoError(t, err)
			require.GreaterOrEqual(t, at, last)
			last = at
			if m[1] == "invoke" {
				require.Contains(t, []string{"", "ok", "fail"}, state[m[2]], "process %s goes on", m[2])
			} else {
				require.Equal(t, "invoke", state[m[2]], "process %s completes", m[2])
			}
			state[m[2]] = m[1]
		}
		want := 0
		for i := range ops {
			if ops[i].Op != "else" {
				want += 2
			}
		}
		require.Equal(t, want, events)
	})
}
