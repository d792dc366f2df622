package access

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kinds are the kinds of operations and of queries that roles can be about. A policy may
// name others, which then match nothing; [Kinds.Check] is for whoever writes one.
type Kinds struct{ Submit, Read []string }

// KindsWith returns an application's kinds of operations that change something and of
// reads, with those of this package and of the store. Operations about access itself are
// not among those to submit: about them the administrators' signatures decide, and no role.
func KindsWith(submit, read []string) Kinds {
	read = slices.Clone(read)
	for _, k := range slices.Sorted(maps.Keys(kindNames)) {
		if k.Read() {
			read = append(read, k.String())
		}
	}
	return Kinds{slices.Clone(submit), append(read, KindProof, KindWatch)}
}

// Check returns an error for the first pattern of the roles that covers none of the kinds:
// it would permit nothing. The error wraps [ErrPolicy] and names the place, under where
// the roles are ("roles"), the pattern and what there is.
func (k Kinds) Check(where string, roles []Role) error {
	for i := range roles {
		for _, list := range []struct {
			name            string
			patterns, kinds []string
		}{{"submit", roles[i].Submit, k.Submit}, {"read", roles[i].Read, k.Read}} {
			for j, p := range list.patterns {
				if err := CheckPattern(p, list.kinds); err != nil {
					return fmt.Errorf("%w: %s[%d].%s[%d] is %w", ErrPolicy, where, i, list.name, j, err)
				}
			}
		}
	}
	return nil
}

// CheckPattern returns an error if a pattern of a role covers none of the kinds. It names the
// pattern and all of them.
func CheckPattern(pattern string, kinds []string) error {
	if slices.ContainsFunc(kinds, func(kind string) bool { return permits([]string{pattern}, kind) }) {
		return nil
	}
	return fmt.Errorf("%q, which covers nothing that there is: write one of %s, or how some of them begin and *", pattern, strings.Join(kinds, ", "))
}
