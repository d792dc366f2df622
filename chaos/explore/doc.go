// Package explore searches small clusters exhaustively: the shipped [pbft.Core],
// few replicas, few views, few blocks, a traitor with a closed menu of lies, every
// order in which anything can arrive.
//
//	result, err := explore.Run(ctx, explore.OneBlock(0))
//	fmt.Println(result)
//
// # What is explored
//
// The network is a set of messages. Whatever was sent may arrive at any time, in any
// order, at any replica, or never; so losses, duplicates and resends are in it.
// A global state is the tuple of the honest replicas' local states; what a replica has
// sent is a part of its local state, and what the traitors can send follows from what
// the honest have sent. Crashes are a choice with a budget: at any moment, and in the
// middle of an output, when proposals have left and its records are not yet on disk.
//
// The core is a deterministic machine, so that a local state is the list of inputs
// that led to it. Each pair of local state and input is tried once on a real core,
// built anew from its inputs; global states then are only combinations of numbers,
// and millions of them are cheap.
//
// # What makes it small
//
//   - Partial order. Votes, claims and suspicions have no effect before they make a
//     quorum: those that do arrive at once. (What a quorum of votes certifies may
//     also be shown to anybody, by whoever has it.) A certificate is what a real
//     [pbft.Tally] makes of the votes that were cast.
//   - Timers. A suspicion changes nothing at the replica that has it, so whoever can
//     suspect its primary does at once; leaving the view is the choice, from the
//     moment when a quorum can be seen to suspect or to have left.
//   - Normal form. Which quorum signed a certificate or claimed for a NewView changes
//     nothing later (only whom evidence names): there is one certificate for each
//     statement, and one NewView for each base; of a traitor as many as configured.
//   - Symmetry. Honest replicas that are primary of no view in question, and all have
//     one weight, may be exchanged.
//   - A local state is what the core's fields say, read by reflection, without
//     counters, timers and what only people read (see ignored).
//
// # What the traitors can do
//
// Everything that PROTOCOL 5.2 forbids one replica within these messages, to anybody at
// any time: propose two blocks for one height, vote for everything, show or withhold
// any certificate, claim any certificate that exists or none (and one that does not
// exist), open a view more than once on every base that claims can justify, suspect,
// serve blocks, be silent.
//
// # What is checked
//
// In every state: agreement; certificates of one view lie on one chain, and those of a
// later view extend what an earlier one committed; no honest replica signs what is an
// offence (two proposals, two NewViews, votes on two chains or under two NewViews, a
// Commit above its claim, votes of a view that it left); views and commits do not go
// back, crashes included; no alarm, panic, or evidence against the honest. Where the
// honest alone can do nothing more in the last view and its primary is honest, all
// must have committed all requests (deadlock).
//
// Not explored: checkpoints and state transfer, rejoining, epochs, pools, sessions,
// tallies' windows: the simulator's part.
package explore
