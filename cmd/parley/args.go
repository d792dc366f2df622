package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// refuseUnknown makes groups of commands refuse a name that none of theirs has: cobra would
// show their help and call that success.
func refuseUnknown(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		refuseUnknown(c)
		if !c.HasSubCommands() || c.Runnable() {
			continue
		}
		c.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, sub := range cmd.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			return usagef(cmd, "there is no command %q: give one of %s", args[0], strings.Join(names, ", "))
		}
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

// useLine is how a command is written, with its parents' names and without flags.
func useLine(cmd *cobra.Command) string { return strings.TrimSuffix(cmd.UseLine(), " [flags]") }

// exactArgs wants these arguments, named for the message.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usagef(cmd, "unexpected argument %q", args[0])
		}
		if len(args) < len(names) {
			missing := names[len(args):]
			verb := "is"
			if len(missing) > 1 {
				verb = "are"
			}
			return usagef(cmd, "%s %s missing: '%s'", strings.Join(missing, " and "), verb, useLine(cmd))
		}
		return usagef(cmd, "unexpected argument %q: '%s'", args[len(names)], useLine(cmd))
	}
}

// leastArgs wants these arguments, and takes more.
func leastArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= len(names) {
			return nil
		}
		return exactArgs(names...)(cmd, args)
	}
}

// mostArgs takes these arguments or the first of them.
func mostArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= len(names) {
			return nil
		}
		return exactArgs(names...)(cmd, args)
	}
}
