package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everyCommand calls do with every command that can be run, and those above.
func everyCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			everyCommand(c, do)
		}
	}
}

var (
	shellName    = regexp.MustCompile(`\$[A-Z]+`)
	shellCommand = regexp.MustCompile(`\$\([^)]*\)`)
)

// shellWords are the words of a line as a shell would read it, up to what is no word any
// more. A name or a command in it stands for a key or a digest.
func shellWords(line string) (words []string) {
	line = shellName.ReplaceAllString(shellCommand.ReplaceAllString(line, strings.Repeat("1", 64)), strings.Repeat("2", 64))
	word, open := "", false
	var quote rune
	end := func() {
		if open {
			words = append(words, word)
		}
		word, open = "", false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ':
			end()
		case strings.ContainsRune("#|<>;", r) && !open:
			return words
		default:
			word, open = word+string(r), true
		}
	}
	end()
	return words
}

// Every command says what it is for and shows how it is written, and every example is one
// that the program takes, with flags and arguments that there are.
func TestExamples(t *testing.T) {
	lines := 0
	everyCommand(newRoot(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		require.NotEmpty(t, cmd.Short, path)
		require.False(t, strings.HasSuffix(cmd.Short, "."), "%s: %s", path, cmd.Short)
		for _, line := range strings.Split(cmd.Long, "\n") {
			assert.LessOrEqual(t, len(line), 130, "%s: a line that no terminal has room for: %s", path, line)
		}
		own := cmd.HasSubCommands() || path == "parley exit-codes" || path == "parley version"
		for _, line := range strings.Split(cmd.Example, "\n") {
			if line == "" {
				continue
			}
			require.True(t, strings.HasPrefix(line, "  "), "%s: %q is not indented", path, line)
			for _, inner := range shellCommand.FindAllString(line, -1) {
				own = takesExample(t, strings.TrimSuffix(strings.TrimPrefix(inner, "$("), ")")) == path || own
			}
			own = takesExample(t, line) == path || own
			lines++
		}
		assert.True(t, own, "%s has no example of its own", path)
	})
	require.Greater(t, lines, 120)
}

// A command that there is not is refused at every level, and what is wrong about arguments
// is said with the whole command.
func TestUnknownCommandsOfGroups(t *testing.T) {
	for _, c := range [][]string{
		{"registry", "creat"}, {"registry", "party", "registr"}, {"access", "roles"}, {"access", "role", "st"}, {"contract", "sent"},
		{"ledger", "transfr"}, {"ledger", "account", "opn"}, {"ledger", "tx", "mke"}, {"chaos", "rn"},
	} {
		last := len(c) - 1
		refused(t, exitUsage, c, "parley "+strings.Join(c[:last], " ")+`: there is no command "`+c[last]+`": give one of `)
	}
	for _, group := range [][]string{{"registry"}, {"access", "member"}, {"contract"}, {"ledger", "hold"}, {"ledger", "tx"}} {
		require.Contains(t, must(t, group...), "Available Commands:")
	}
	refused(t, exitUsage, []string{"registry", "create", "a"}, "ID is missing: 'parley registry create COLLECTION ID [DATA]'")
	refused(t, exitUsage, []string{"access", "mode"}, "MODE is missing: 'parley access mode MODE'")
	refused(t, exitUsage, []string{"ledger", "hold", "place", "a"}, "FROM and TO and AMOUNT are missing: 'parley ledger hold place ASSET FROM TO AMOUNT'")
	refused(t, exitUsage, []string{"contract", "deploy"}, "ARTIFACT is missing: 'parley contract deploy ARTIFACT [ARGUMENT ...]'")
	refused(t, exitUsage, []string{"contract", "send"}, "ADDRESS is missing: ")
	refused(t, exitUsage, []string{"contract", "account", "a", "b"}, `unexpected argument "b": 'parley contract account [ADDRESS]'`)
}

// takesExample wants the program to take a line, and returns which command that is; "" of
// another program.
func takesExample(t *testing.T, line string) string {
	words := shellWords(line)
	if words[0] != "parley" {
		return ""
	}
	cmd, args, err := newRoot().Find(words[1:])
	require.NoError(t, err, line)
	assert.NoError(t, cmd.ParseFlags(args), line)
	if args = cmd.Flags().Args(); len(args) > 0 || !cmd.HasSubCommands() {
		assert.NoError(t, cmd.ValidateArgs(args), line)
	}
	if legs, err := cmd.Flags().GetStringArray("leg"); err == nil {
		for _, leg := range legs {
			v, rest := findLedgerVerb(strings.Fields(leg))
			require.NotNil(t, v, leg)
			bare, _ := v.bare()
			require.NoError(t, bare.ParseFlags(rest), leg)
			require.NoError(t, v.checkArgs(bare, bare.Flags().Args()), leg)
		}
	}
	return cmd.CommandPath()
}
