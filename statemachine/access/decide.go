package access

import (
	"cmp"
	"math/bits"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// administrates tells whether a client is an administrator.
func (r reading) administrates(client crypto.PublicKey) bool {
	return r.settings().Administrators.Count([]crypto.PublicKey{client}) == 1
}

// decide returns why a client may not submit, or read, something of a kind; nil if it
// may.
func (r reading) decide(client crypto.PublicKey, kind string, read bool) *Refusal {
	s := r.settings()
	if strings.HasPrefix(kind, "access/") && r.administrates(client) {
		return nil // they can always see the policy
	}
	m, member := r.member(client)
	verb := "submit"
	if read {
		verb = "read"
	}
	switch {
	case member && m.Suspended:
		return refuse(RuleSuspended, "%s is suspended", client.Hex())
	case s.Mode == Open, s.Mode == Consortium && read:
		return nil
	case !member && s.Mode == Consortium:
		return refuse(RuleConsortium, "%s is no member, and only members submit", client.Hex())
	case !member:
		return refuse(RulePrivate, "%s is no member, and only members read and submit", client.Hex())
	}
	for _, role := range r.roles(&m) {
		patterns := role.Submit
		if read {
			patterns = role.Read
		}
		if permits(patterns, kind) {
			return nil
		}
	}
	if kind == "" {
		kind = "bytes that are no operation"
	}
	return refuse(RuleRoles, "%s may not %s %s: none of its roles (%s) permits it", client.Hex(), verb, kind, strings.Join(m.Roles, ", "))
}

// quota returns the quota of a client and whose it is: the most generous of its roles,
// or that of strangers.
func (r reading) quota(client crypto.PublicKey) (q Quota, whose string) {
	m, ok := r.member(client)
	if !ok {
		return r.settings().Strangers, "strangers"
	}
	roles := r.roles(&m)
	if len(roles) == 0 {
		return r.settings().Strangers, "strangers" // a member without roles, in an open mode
	}
	for i, role := range roles {
		if i == 0 || role.Quota.above(q) {
			q, whose = role.Quota, "role "+role.Name
		}
	}
	return q, whose
}

// above tells whether q permits more than p: by operations in the same time, then by
// bytes.
func (q Quota) above(p Quota) bool {
	if d := compareRates(q.Operations, q.Seconds, p.Operations, p.Seconds); d != 0 {
		return d > 0
	}
	return compareRates(q.Bytes, q.Seconds, p.Bytes, p.Seconds) > 0
}

// compareRates compares a in s seconds with b in t seconds; 0 of anything is no bound.
func compareRates(a, s, b, t uint64) int {
	switch {
	case a == 0 || b == 0:
		return cmp.Compare(b, a) // the one without a bound permits more
	default:
		ah, al := bits.Mul64(a, t)
		bh, bl := bits.Mul64(b, s)
		return cmp.Or(cmp.Compare(ah, bh), cmp.Compare(al, bl))
	}
}

// pruned is how many windows that are over each charge forgets at most.
const pruned = 4

// charge counts an operation against the client's quota, or returns why it may not run.
func charge(t store.Txn, client crypto.PublicKey, now statemachine.Time, size int) *Refusal {
	q, whose := reading{t}.quota(client)
	if !q.Limits() {
		return nil
	}
	left := pruned
	for key := range t.Range([]byte("w/"), endKey(now+1, crypto.PublicKey{})) {
		if left--; left < 0 {
			break
		}
		t.Delete(key)
		t.Delete(usageKey(crypto.PublicKey(key[len("w/")+8:])))
	}
	var u usage
	had := load(t, usageKey(client), u.code)
	ended := u.Ends
	fresh := !had || ended <= now
	if fresh {
		u = usage{Since: now, Ends: now + statemachine.Time(time.Duration(q.Seconds)*time.Second)}
	}
	switch {
	case q.Operations != 0 && u.Operations+1 > q.Operations:
		return refuse(RuleOperations, "%s has submitted %d operations, and the quota of %s is %d in %d seconds", client.Hex(), u.Operations, whose, q.Operations, q.Seconds)
	case q.Bytes != 0 && u.Bytes+uint64(size) > q.Bytes:
		return refuse(RuleBytes, "%s has submitted %d bytes and wants %d more, and the quota of %s is %d in %d seconds", client.Hex(), u.Bytes, size, whose, q.Bytes, q.Seconds)
	}
	if had && fresh {
		t.Delete(endKey(ended, client))
	}
	if fresh {
		t.Set(endKey(u.Ends, client), nil)
	}
	u.Operations++
	u.Bytes += uint64(size)
	save(t, usageKey(client), u.code)
	return nil
}

// note counts a refusal. Strangers are counted together, so that nobody fills the state
// with keys that are good for nothing.
func note(t store.Txn, client crypto.PublicKey, kind string, why *Refusal, now statemachine.Time) {
	if _, ok := (reading{t}).member(client); !ok {
		client = crypto.PublicKey{}
	}
	n := RefusalCount{Client: client, Rule: why.Rule}
	load(t, refusalKey(client, why.Rule), n.code)
	n.Count++
	n.Last, n.What = now, kind
	if len(n.What) > maxName {
		n.What = n.What[:maxName]
	}
	save(t, refusalKey(client, why.Rule), n.code)
}
