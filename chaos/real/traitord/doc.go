// Command traitord runs one replica of a cluster under test as it must never be
// run: with a clock that is wrong, or in the hands of a traitor, with its real keys
// and over its real connections. Every strategy of package chaos can be played.
//
//	go build -tags chaos -o traitord ./chaos/real/traitord
//	traitord --dir DIR/replica-0 --strategy equivocate
//	traitord --dir DIR/replica-0 --clock-offset -1h
//
// It reads replica.json as 'parley start' does, and ends when its standard input
// does. Without the tag it says so and ends: what it needs of package replica is
// only in test builds.
package main
