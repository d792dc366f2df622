// Package roster turns a cluster file into what a replica or a client works with,
// checking everything exactly once.
//
//	r, err := roster.Load("cluster.json")
//	keys, err := keyfile.LoadReplica("key.json")
//	self, err := r.FindSelf(keys.Public())
//
// After [Load] or [New] succeeded, every key is a valid one, every BLS key's
// owner has proved possession of it, no key appears twice or for two purposes,
// weights and parameters are within their limits, and all of it is named by
// [Roster.ID] and the epoch. Nothing checks these things again.
//
// # Three schemes
//
// Messages other than votes are always signed with Ed25519 ([Roster.Messages]):
// they are few, and each must be transferable proof by itself. Votes are signed
// as the cluster file says ([Roster.Votes]), checkpoints always with BLS
// ([Roster.Checkpoints]).
//
// # Trusting a cluster file
//
// The cluster id is a digest of the file without its addresses. Who has a file
// with another member, key or weight has another cluster and will simply not
// hear from this one. Compare ids over a second channel when a file came over the
// network. With a later epoch's file, start from the newest one you have reason to
// trust: keys of retired members may have been stolen since.
package roster
