// Package bls signs checkpoints, and the votes of large clusters, with BLS12-381.
//
// # The scheme
//
// Signatures are points of G1 (48 bytes), keys points of G2 (96 bytes), both in
// the compressed encoding; this is the cheaper way round for signing, parsing and
// the wire. Signatures on one message add up to one of 48 bytes that is checked
// against the sum of the signers' keys with two pairings, however many signed.
// The ciphersuites are those of draft-irtf-cfrg-bls-signature with proof of
// possession, so other libraries' signatures are byte for byte the same.
//
// # What makes adding keys safe
//
// Whoever may choose his key freely can choose his own minus all the others', and
// sign for everybody (the rogue key attack). So each key comes with a proof of
// possession, a signature on the key itself under a tag of its own, and
// [NewScheme] checks them all; there is no way to a [Scheme] around that. It also
// refuses
//
//   - the identity, points off the curve or outside the prime-order group, and
//     every encoding but the canonical one;
//   - two equal keys, and two keys that add up to zero (who owns both could have a
//     set of signers that proves everything and nothing).
//
// Signatures are held to the same: on the curve, in the group, not the identity,
// canonical.
//
// # Aggregate first
//
// Checking a share costs as much as checking an aggregate (3 ms), parsing one
// 0.2 ms. [Scheme.Lazy] tells the tally to aggregate unchecked shares and to look
// at single ones only when the aggregate fails: [crypto.FindCulprits] then names
// who spoilt it. Never build evidence from an aggregate's failure alone.
//
// A conspiracy can make shares that are bad one by one and good in sum. The sum
// then still proves that all of them signed: they needed their keys to make it.
//
// # Keys
//
// [NewKeyFromSeed] follows the draft's KeyGen. Signing multiplies in constant
// time. Nothing in this package is to be used with another library's keys
// without their proofs.
package bls
