package access

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// carried is a pad whose operations are another's, and signed by others.
type carried struct {
	pad
	owner   *ed25519.Signer
	signers []crypto.PublicKey
}

func (c *carried) Principal(*statemachine.Op) (k crypto.PublicKey, ok bool) {
	if c.owner == nil {
		return k, false
	}
	return c.owner.Public(), true
}

func (c *carried) Cosigners(*statemachine.Op) []crypto.PublicKey { return c.signers }

func newCarried(t *testing.T, p Policy) (*world, *carried) {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	require.NoError(t, err)
	app := new(carried)
	h, err := Wrap(app, classify, chain, p)
	require.NoError(t, err)
	m, err := NewMachine(s, h)
	require.NoError(t, err)
	return &world{t: t, m: m, pad: &app.pad, now: 1_700_000_000_000_000_000}, app
}

// A member's operation is handed in again and again by a stranger: it is rejected, and
// costs the stranger and not the member.
func TestOnlyWhatRanCostsItsOwner(t *testing.T) {
	p := policy(Open)
	p.Strangers = Quota{Operations: 4, Seconds: 60}
	w, app := newCarried(t, p)
	app.owner = dora
	used := func(who *ed25519.Signer) uint64 { return w.do(ann, &GetMember{who.Public()}).Member.Used.Operations }
	for range 3 {
		require.Zero(t, w.app(strangers[0], "set-a=?"))
	}
	require.Zero(t, used(dora))
	require.Zero(t, w.app(strangers[0], "set-a=$"), "rejected, and it has changed something")
	require.EqualValues(t, 1, used(dora))
	require.Equal(t, RuleOperations, w.app(strangers[0], "set-a=?"), "the stranger's own quota")

	require.Zero(t, w.app(emil, "set-a=1"))
	require.Zero(t, w.app(emil, "set-a=1"))
	require.EqualValues(t, 3, used(dora))
	require.Equal(t, RuleOperations, w.app(emil, "set-a=2"), "the owner's quota, through a gateway without one")
	require.Equal(t, "1", string(w.read("a")))
}

// A client with ever new keys of the application has one quota, and leaves no more usage.
func TestStrangersQuotaHoldsForManyOwners(t *testing.T) {
	p := policy(Open)
	p.Strangers = Quota{Operations: 2, Seconds: 60}
	w, app := newCarried(t, p)
	for i := range byte(10) {
		app.owner = person(100 + i)
		want := Rule(0)
		if i >= 2 {
			want = RuleOperations
		}
		require.Equal(t, want, w.app(strangers[0], "set-a=1"))
	}
	v, err := w.m.Store().Last()
	require.NoError(t, err)
	n := 0
	for range v.Range([]byte("access/q/"), []byte("access/q0")) {
		n++
	}
	require.Equal(t, 3, n, "the client and two owners")
}

// Who is suspended may not act through others.
func TestSuspendedSignersAreRefused(t *testing.T) {
	w, app := newCarried(t, policy(Open))
	w.now += statemachine.Time(time.Second)
	app.signers = []crypto.PublicKey{strangers[1].Public(), dora.Public()}
	require.Zero(t, w.app(strangers[0], "set-a=1"))
	require.NoError(t, w.change(Change{SetMembers: []Member{{Key: dora.Public(), Roles: []string{"clerk"}, Suspended: true}}}).Err())
	require.Equal(t, RuleSuspended, w.app(strangers[0], "set-a=2"))
	app.signers = nil
	app.owner = emil
	require.Equal(t, RuleSuspended, w.app(dora, "set-a=2"), "she hands in what is another's")
	require.Zero(t, w.app(strangers[0], "set-a=3"))
	require.Equal(t, "3", string(w.read("a")))
}

func (w *world) read(key string) []byte {
	v, err := w.m.Store().Last()
	require.NoError(w.t, err)
	value, _ := v.Get([]byte(AppPrefix + "k" + key))
	return value
}
