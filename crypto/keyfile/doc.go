// Package keyfile keeps private keys in files.
//
// A replica has one file with three seeds: for votes and messages, for TLS, for
// BLS. A client has one with one seed. The public halves are written beside them
// for the reader, and a file in which they do not match its seeds is refused: it
// was damaged or edited.
//
// Files are made with mode 0600 in directories with 0700, whole or not at all,
// and never over an existing one: keys are not overwritten by accident. A file
// that group or others may read is refused, with the command that mends it. On Unix
// so is one that belongs to another user, and one in a folder in which others could
// put another in its place: a folder of another user than this one or root, or one
// that group or others may write. (Two kinds of these are harmless and accepted:
// those with the sticky bit, such as /tmp, and those of a group that is by its number
// the user's private one.)
//
//	r, err := keyfile.GenerateReplica(rand.Reader)
//	err = r.Write("/var/lib/parley/key.json")
//	member := r.Public().Member("r1", "10.0.0.1:7400", "10.0.0.1:7401")
//
// The files are not encrypted: protect the disk, or the machine. A replica's key
// must never be used by two replicas at once, nor by one whose log was lost.
package keyfile
