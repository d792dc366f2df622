package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/access"
)

// kinds are what the policy of the cluster may be about; false if another program runs it,
// whose kinds nobody knows here.
func (o *accessCommand) kinds(cmd *cobra.Command) (k access.Kinds, known bool, err error) {
	if err := o.resolve(cmd); err != nil {
		return k, false, err
	}
	ros, err := o.load()
	if err != nil {
		return k, false, err
	}
	app, err := findApplication(applicationName(ros.Cluster))
	if err != nil || app.kinds == nil {
		return k, false, nil //nolint:nilerr // whoever submits it says so, if it matters
	}
	return app.policyKinds(), true, nil
}

// checkKinds refuses roles with patterns that cover nothing, before anybody signs them.
func (o *accessCommand) checkKinds(cmd *cobra.Command, roles []access.Role) error {
	if len(roles) == 0 {
		return nil
	}
	k, known, err := o.kinds(cmd)
	if err != nil || !known {
		return err
	}
	for i := range roles {
		for _, list := range []struct {
			flag            string
			patterns, kinds []string
		}{{"--submit", roles[i].Submit, k.Submit}, {"--read", roles[i].Read, k.Read}} {
			for _, p := range list.patterns {
				if err := access.CheckPattern(p, list.kinds); err != nil {
					return usagef(cmd, "%s is %v", list.flag, err)
				}
			}
		}
	}
	return nil
}

// checkKind refuses the name of a kind that there is not, which nobody may submit but whom
// "*" permits everything.
func (o *accessCommand) checkKind(cmd *cobra.Command, kind string, read bool) error {
	k, known, err := o.kinds(cmd)
	if err != nil || !known || strings.HasPrefix(kind, "access/") {
		return err
	}
	kinds, hint := k.Submit, ""
	if read {
		kinds = k.Read
	} else if slices.Contains(k.Read, kind) {
		hint = ", or add --read: it is a read"
	}
	if slices.Contains(kinds, kind) {
		return nil
	}
	return usagef(cmd, "KIND is %q: write one of %s%s", kind, strings.Join(kinds, ", "), hint)
}
