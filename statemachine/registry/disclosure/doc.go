// Package disclosure keeps personal data out of a replicated state and yet lets their
// holder prove them, field by field.
//
// A [Document] is a set of named fields, each with a random salt. What goes into the
// registry is its [Document.Commitment] alone: the root of a Merkle tree over the
// salted hashes. The document stays with its holder, who later shows some fields:
//
//	d, err := disclosure.New(map[string]string{"name": "Ada", "born": "1815-12-10"}, rand.Reader)
//	... registry.Create{Commitment: d.Commitment()} ...
//	shown, err := d.Disclose("born")
//
// Whoever has the commitment checks them, offline, and learns of the others no more than
// how many there are:
//
//	fields, err := shown.Verify(commitment)
//
// The commitment comes from a receipt of a read, from an answer that enough replicas
// agree on, or from a proof of the store, which a [Presentation] carries.
//
// # What this hides, and what erases it
//
// A field's hash covers 32 random bytes, so that nobody who guesses its value can tell
// whether the guess is right. Whoever deletes the document, with its salts, leaves a
// number in the registry that says nothing of anybody: this is how data that must be
// erased on request are used with a log that forgets nothing. What was disclosed can be
// shown to others by whoever saw it; salts do not protect against that. Two documents
// share no salt, so that two records of one person cannot be linked by their
// commitments.
//
// The package needs hashing, the encoding and the store's proofs, and no replica.
package disclosure
