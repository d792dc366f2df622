// Package real runs a cluster of real processes under faults, and judges it.
//
//	outcome, err := real.Run(ctx, real.Options{Program: "bin/parley", Duration: 2 * time.Minute})
//
// Clients write through the client library, to a key-value store in memory or on the
// disk, and what they saw is recorded. Every
// connection goes through a proxy of this package (package proxy), which delays,
// stalls and cuts; where it is permitted each replica also has a network namespace
// of its own, with a cable that can be unplugged, and a file system of its own,
// which can be full and which can lose power: everything that was not synced is
// gone then, as after a power cut. Nemeses do harm, one that concerns processes and
// disks and one that concerns the network at a time, heal it, and go on.
//
// At the end all is healed, and it must be true that
//
//   - clients get answers again within a bound, and all replicas are level with each
//     other and vote;
//   - the history of every key is linearizable (porcupine);
//   - every acknowledged write is there at every replica, once (its version says so),
//     and what certainly did not run is not there;
//   - all state digests are equal; and where the application keeps its state on the
//     disk ([Options.Application]), every value there is the one of its digest;
//   - no replica has proof against an honest one;
//   - no replica has ended by itself, halted, panicked or raised an alarm for which
//     no nemesis gave cause.
//
// The seed decides what the nemeses do and what clients write, not when threads run:
// the same seed gives a run that is alike, not the same.
//
// [Contain] puts a whole run into namespaces of the kernel, so that whatever ends
// it, also a kill -9, processes, mounts, loop devices and networks are gone.
package real
