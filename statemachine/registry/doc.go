// Package registry is a replicated registry of records: who owns them, what is in them,
// how they came to be so, and what named authorities say about them. Identities,
// consents, certificates, deeds, batches of a drug and receipts for taxes are records.
//
// # What there is
//
// A [Party] owns, signs and attests. It is a single key, or a registered name with m of
// n keys, which may change: the name stays (RegisterParty, RotateParty). A recovery, m
// of n other keys, can replace keys that were lost. A key that was lost or stolen is
// revoked (RevokeKey), by itself or by its party.
//
// A collection is a set of records under common rules (see [Rules]). Its controller adds
// schemas, names authorities and decides who creates records (CreateCollection,
// SetCollection, AddSchema, SetAuthority).
//
// A record has an owner, data that follow a schema of the collection, perhaps a
// commitment to data that are kept elsewhere, and a history of versions, all of which are
// kept: each names its author, the keys that signed, block height and time, and the
// digest of the one before (CreateRecord, UpdateRecord, RevokeRecord). It changes hands
// in two steps (OfferRecord, AcceptRecord), or in one where both sign or the rules permit
// it (TransferRecord). The owner may let others act (Delegate): with one record or all,
// with some rights, for some time.
//
// An attestation is what an authority states about a version of a record, under a topic
// that is within its scope (Attest). It may expire, and may be taken back
// (RevokeAttestation). What it is worth at a time says [Attestation.Status]; it is worth
// nothing if one of the keys that signed was not to be trusted by then.
//
// # Operations and results
//
// Each operation is a type of this package; [Encode] makes the bytes to submit, and
// [DecodeResult] reads the result:
//
//	res, err := client.Submit(ctx, registry.Encode(&registry.CreateRecord{
//		Collection: "batches", ID: "B-1", Data: []byte(`{"drug": "aspirin"}`),
//	}))
//	r, err := registry.DecodeResult(res)
//	if errors.Is(r.Err(), registry.ErrExists) { ... }
//
// A rejection has a code of its own for each reason and words that say what exactly was
// wrong. It is the result of the operation, the same on every replica, and nothing is
// changed by it.
//
// Reads (GetRecord, ListVersions, ...) are operations too: through the log they see
// everything that was acknowledged before, and have receipts, which prove offline what a
// record was at a height. The same bytes are a query of one replica, which may lag and
// may lie. Lists come in pages.
//
// # Who signs
//
// The client's key signs the request, and is enough for what a single key may do. Where
// several keys must sign, or somebody who does not talk to the cluster, the operation is
// put into a signed.Envelope, whose signatures count for this registry alone, until a
// deadline, and once:
//
//	e := signed.Envelope{Deadline: deadline, Op: registry.Encode(op)}
//	e.Sign(registry.Space(chain), patient) // on the patient's device
//	client.Submit(ctx, registry.EncodeSigned(&e))
//
// The field As of an operation says which party its author acts as. A foreign, altered
// or replayed signature ends in CodeBadSignature or CodeReplayed, a revoked key in
// CodeKeyRevoked.
//
// Where a party named "registrar" exists, which only a genesis can make, it must sign
// whenever a party is registered or a collection created. Without it anybody may, and
// names are taken by whoever comes first.
//
// # Keys that were stolen
//
// Signatures do not say when they were made: the block that has an operation does, and no
// thief can put one into an earlier block. So what was signed before a theft stays as good
// as it was, and RevokeKey says since when a key was in wrong hands: from that block time
// on nothing that it signed is to be trusted. Reads say so of each version and attestation
// (their field Compromised), whenever it was made, from the moment the key is revoked; the
// entries themselves, their digests and proofs are not changed. Whoever keeps a proof, or
// an answer of an earlier height, must ask for the keys in it again (GetParty, GetKey).
//
// Who has the key can revoke it, and so can a thief, who would do it first, as of now: then
// what he signed before would seem good. So the time can be moved back later, by whoever
// may revoke the key (the key itself; the party, or its recovery), and never forward: both
// what was said first and what was said last are in the entry. What a thief can do
// is to have more distrusted than there is reason to, by a time that is too early: against
// that there is no remedy but the author's making again what was good. A recovery whose
// keys are kept elsewhere decides about all of it; a party without one, and a single key,
// are in the hands of whoever has the keys.
//
// # Schemas
//
// A collection's schemas are JSON Schema (see package schema for the part that is taken
// and why), numbered from 1, and never change. Data follow the latest unless the
// operation names another; AddSchema may retire old ones for writing. Each version keeps
// the number of the schema that it followed when it was written. A collection without a
// schema takes any bytes.
//
// # Personal data
//
// What is in the state is on every replica, in every backup, and stays in the history:
// no place for what a person may demand to have erased. A record may have a commitment
// instead: the root over salted hashes of named fields. The fields and salts stay with
// whoever is responsible for them, who shows single fields with a proof; when they are
// deleted, what is left in the registry says nothing of anybody. See package disclosure.
// The rule "commitments-only" refuses data, so that nobody puts any there by a mistake.
// Ids are visible: use random ones, or numbers that mean nothing elsewhere. The rule
// "require-commitment" leaves no record without one.
//
// # Limits, times, proofs
//
// [Limits] bound what an operation costs and what piles up; they are part of the genesis
// and of the state. The only clock is block time, to which everything that expires
// refers. [RecordKey] and [VersionKey] are where the store proves what a record is
// ([VerifyRecord]): under the digest of a state, or, with package client/stateproof, under
// a checkpoint's certificate, which the cluster file verifies offline ([DecodeRecord]).
package registry
