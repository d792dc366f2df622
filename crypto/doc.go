// Package crypto holds what the replicas of a cluster sign, check and hash with.
//
// # Two tools
//
// Ed25519 signs client requests and, in clusters of ordinary size, votes: it is
// cheap and every signature is transferable proof. BLS12-381 signs checkpoints,
// because their certificates leave the cluster and should be small and
// checkable by anybody who has the members' keys. Both are a [Scheme]; the
// sub-packages ed25519, bls and symbolic implement it.
//
// # Contexts
//
// Every signature is made in a [Context]: protocol, message kind, cluster and
// epoch. A signature made for one purpose verifies for no other.
//
// # Who is who
//
// A [Cluster] is the cluster file: members, keys, weights and the protocol's
// parameters, checked once when it is loaded. Its digest is the cluster id that
// goes into every signature, so replicas with different files never mix.
package crypto
