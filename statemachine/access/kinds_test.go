package access

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKinds(t *testing.T) {
	k := KindsWith([]string{"set-a", "set-b"}, []string{"get-a"})
	require.Equal(t, []string{"set-a", "set-b"}, k.Submit)
	require.Equal(t, []string{
		"get-a", "access/get-policy", "access/get-member", "access/list-members", "access/list-roles", "access/list-proposals",
		"access/list-audit", "access/list-refusals", "access/check", KindProof, KindWatch,
	}, k.Read)
	good := []Role{{Name: "a", Submit: []string{"*", "set-*", "set-a"}, Read: []string{"*", "access/*", "store/*", KindWatch}}, {Name: "b"}}
	require.NoError(t, k.Check("roles", good))
	for pattern, role := range map[string]Role{
		`roles[1].submit[1] is "sett-a", which covers nothing that there is: write one of set-a, set-b, or how some of them begin and *`: {Submit: []string{"set-a", "sett-a"}},
		`roles[1].submit[0] is "st-*"`:           {Submit: []string{"st-*"}},
		`roles[1].submit[0] is "get-a"`:          {Submit: []string{"get-a"}}, // a read, also through the log
		`roles[1].submit[0] is "access/propose"`: {Submit: []string{"access/propose"}},
		`roles[1].read[0] is "set-a"`:            {Read: []string{"set-a"}},
		`roles[1].read[0] is "store/prof"`:       {Read: []string{"store/prof"}},
	} {
		err := k.Check("roles", []Role{good[0], role})
		require.ErrorIs(t, err, ErrPolicy)
		require.ErrorContains(t, err, pattern)
	}
}

// What the decisions are made by and what a policy may name are the same.
func TestKindsAreThoseDecidedAbout(t *testing.T) {
	k := KindsWith(nil, nil)
	for kind := range kindNames {
		require.Equal(t, kind.Read(), CheckPattern(kind.String(), k.Read) == nil, "%v", kind)
	}
}

func FuzzParsePolicy(f *testing.F) {
	key := ann.Public().Hex()
	f.Add([]byte(`{"mode": "private", "administrators": {"m": 1, "keys": ["` + key + `"]}, "roles": [{"name": "r", "submit": ["*"], "quota": {"bytes": 1, "seconds": 2}}], "members": [{"key": "` + key + `", "roles": ["r"]}]}`))
	f.Add([]byte(`{"mode": "open", "strangers": {"operations": 1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data)
		if err != nil {
			require.ErrorIs(t, err, ErrPolicy)
			return
		}
		require.NoError(t, p.Validate())
		_ = KindsWith([]string{"a"}, nil).Check("roles", p.Roles)
	})
}
