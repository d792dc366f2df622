// Package access decides who may read and who may submit what: a policy that is
// replicated state itself, in front of any application on a store.
//
//	h, err := access.Wrap(app, classify, chain, access.Policy{
//		Mode:           access.Consortium,
//		Administrators: signed.Of(2, alice, bob, carol),
//		Roles:          []access.Role{{Name: "clerk", Submit: []string{"create-*"}}},
//		Members:        []access.Member{{Key: dora, Roles: []string{"clerk"}}},
//	})
//	m, err := access.NewMachine(s, h)
//
// # The policy
//
// A [Mode] says what strangers may, who are no members: everything (open), read
// (consortium) or nothing (private). Members have roles; a [Role] lists kinds of
// operations that it may submit and kinds of queries that it may read, by name or by the
// beginning of one. In mode open the roles give nothing that is not given anyway, but
// they still have quotas; suspended members may nothing in any mode: what one of them signed is refused also
// when another hands it in ([Cosigned]). A [Quota] bounds the
// operations and bytes that a client submits in a window of block time; of several roles
// the most generous counts.
//
// What is an operation's kind says the application, in a [Classifier]; whose it is, if it
// is not the client's who submits it, in a [Principal]. Then the quotas of both count, that
// of the owner only for what ran: a gateway that hands in the transactions of others
// needs a role without a quota, and a client with many keys of the application is bounded
// by the quota of the one with which it submits. Reads that go
// through the log are submitted, cost as much, and count towards the quota; whether they
// are permitted is a matter of reading.
//
// # Refusals
//
// What is not permitted ends in CodeRefused, whose data name the rule ([RefusalOf]), the
// same on every replica. Nothing of the application is changed; the refusal is counted,
// by client and rule ([ListRefusals]). Strangers are counted together, so that nobody
// fills the state with refusals. A refused query is an error that names the rule.
//
// # Changing it
//
// m of n administrators sign a [Change]: together, in an envelope that anybody submits
// ([EncodeSigned]); or one proposes it and others approve it ([Propose], [Approve]), with
// the digest of what they have seen, within a week. Proposals are void when the
// administrators change. Every change that took effect is in the audit trail, with the
// keys of those who signed, height and time ([ListAudit]). Administrators can always see
// and change the policy, and are no members by that alone. They are trusted with whom
// they name: administrators who lost so many keys that m of n cannot sign any more leave
// a policy that nobody can change.
//
// A change counts from its block on and judges nothing of before: the trail says when a
// member was suspended, and what it had submitted until then is in the log, as that of any
// member. A member whose key was stolen is to be suspended and not removed, for with a
// member its counted refusals are forgotten, which may be how the thief was noticed.
//
// # Reads and secrets
//
// A replica answers queries beside the log to whom the policy lets read; it knows the
// caller by the key of the TLS connection (statemachine.CallerFrom). That is a rule for
// honest replicas: whoever runs a replica sees the whole state, and so may whoever a
// faulty replica chooses to tell. What must not be known to the operators of all replicas
// does not belong into the state: see package registry/disclosure. A proof by the store
// is a query of kind [KindProof], a watch of everything that changes one of kind
// [KindWatch], about which is decided with every answer. Receipts are given to whoever knows the digest of a
// request.
//
// # In the store
//
// The policy lies under the prefix "access/", the application under [AppPrefix]; proofs of
// the application's keys are asked for with that in front. The beginning of operations
// that are about access is reserved (see [IsOperation]).
package access
