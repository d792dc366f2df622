// Package pbft is the protocol: Byzantine fault tolerant agreement on one chain of
// blocks, after Castro and Liskov, over hash-linked blocks. It is pure. The same
// calls give the same results, always; it has no clock, randomness, goroutine,
// channel or I/O, and does not range over maps (a test checks that).
//
// What belongs to it: [QuorumSystem] (who decides), [Schedule] (who is primary),
// [Verifier] (what is believed), [Tally] and [CheckpointTally] (votes become
// certificates), [Core] (what one replica does), [Sign], [Blame] and
// [CheckEvidence] (who is to blame). One Core lives in one epoch; a change of the
// members makes a new one.
//
// # The contract with the host
//
// A core is told what happened and leaves in an [Output] what is to be done. The
// host is a loop of one goroutine:
//
//	core, err := pbft.New(config, records)      // all records of the log, in any order
//	out := new(pbft.Output)
//	core.Recover(out)
//	for {
//		perform(out)
//		switch e := next(); e.kind {
//		case message:                           // from a replica, over an authenticated link
//			switch m := e.message.(type) {
//			case *pbft.Vote:                    // after Verifier.CheckVote; Aggregate verifies all but the own
//				if p, _ := tally.Add(m); p != nil {
//					cert, culprits := verifier.Aggregate(p)  // may run elsewhere
//					// culprits: tally.Reject; otherwise:
//					tally.Certified(p.Statement)
//					core.Step(verifier.Own(cert), out)
//				}
//			case *pbft.CheckpointVote:          // likewise, to core.CheckpointCertified
//			case *pbft.GetBlocks:               // answered from the log, by the host
//			default:
//				v, drop := verifier.Verify(e.from, m)  // may run elsewhere
//				core.Step(v, out)               // if drop is NoDrop
//			}
//		case request:   core.Submit(e.request, out)    // authentic, admissible
//		case tick:      core.Tick(pbft.TimeOf(now), out)
//		case executed:  core.Executed(h, out); core.Checkpointed(statement, out)
//		case installed: core.Installed(bundle, out)
//		case still:     core.StandsStill(out)           // after an alarm with a Divergence
//		case rebuilt:   core.Rebuilt(height, statements, out)
//		}
//		tally.Advance(core.TallyRange())
//		for _, e := range tally.Evidence() {
//			core.Witness(e, out)
//		}
//	}
//
// and perform does, for everything that was queued, one write, one sync, one pass
// of sends:
//
//	log.Append(out.Records); send(out.Send)     // Send may leave before the sync
//	log.Sync()
//	send(out.Durable)                           // only now; those to Everyone also to itself
//	execute(out.Execute)                        // in order; need not wait for the sync (PROTOCOL 4.3)
//	fetch(out.Fetch); alarm(out.Alarms); tellClients(out.Displaced); out.Reset()
//
// A message is signed when it is sent ([Sign]); the core makes them without. The
// replica's own votes come back like everybody's and count only then. Whatever a
// peer or client can cause is a drop with a reason, counted in [Counters]; a panic
// is a bug of this package or of the host.
//
// # What must be on disk before what
//
// The log is a set of [Record] values by key. Losing any suffix of what was not yet
// synced is harmless; losing what was synced makes a replica a traitor (see
// rejoining below).
//
//	record                    before
//	block, state (voted)      Prepare or Commit for it leaves: voted is the top of the one chain of the view (R1)
//	high                      the Commit that rests on it, and any ViewChange that claims it (R2)
//	state (view)              ViewChange, Status or any vote of that view leaves (R4)
//	NewView                   it leaves its primary, or a vote of its view leaves anybody (R6, R19)
//	checkpoint                the Checkpoint vote leaves; no other statement for its height ever does (R23)
//	diverged                  nothing: it tells a restart which snapshots are not to be trusted (R24)
//	committed, chain          nothing: the blocks may be executed and clients answered before. What is
//	                          committed, a quorum has on disk as high, and each of it the block (4.3)
//	stable, snapshot          older records are deleted
//	rejoined                  a replica that lost its disk says anything about a checkpoint (R23)
//	rejoin                    a replica that lost its disk does anything at all
//
// A proposal is the exception: it leaves before the sync, and so a primary that was
// restarted never proposes in the view that it finds (R6). It asks to be replaced.
//
// # Messages
//
//	Forward         requests, to the primary; at half of their age to everybody
//	PrePrepare      a block, by the primary of its view
//	Vote            Prepare or Commit: phase, view, NewView, height, block; becomes
//	Certificate     PrepareQC or CommitQC
//	CheckpointVote  state and results after a checkpoint block; becomes a CheckpointCertificate, in a
//	Bundle          with the header and the CommitQC that cover it: a stable checkpoint
//	ViewChange      a signed claim (rank of the highest certificate) and the certificate
//	NewView         a quorum of claims, the certificate of the highest: opens a view, proposes its base
//	Status          where a replica is; whoever hears it pushes what it lacks (R13)
//	Heartbeat       an idle primary's sign of life
//	GetBlocks, Blocks                              what is missing, by digest or by height
//	GetManifest, Manifest, GetChunk, Chunk         state transfer, a matter of the hosts
//	GetState, State                                parts of a state, a matter of the hosts and their applications
//	Evidence        a proof against one replica, passed on; a few times more to who does not show it
//
// # Why it is safe
//
// In each step the test that breaks when the rule does; testdata/README.md has the
// list of rules that were broken on purpose, and what caught each.
//
//  1. The votes of one honest replica in one view lie on one chain, across restarts
//     too (R1: mayVote, the state record). So all certificates of a view lie on one
//     chain, since any two quorums share an honest replica. Tested by
//     restart-two-newviews, frame-by-two-prepareqcs, unmute, TestCrashAtEveryOutput,
//     TestQuorumProperties.
//  2. If a block commits in view v at height h, a quorum sent Commit, so each honest
//     one of it had high >= (v,h) on disk and never lowers it (R2). Tested by
//     recertified-base-raises-high, TestCrashAtEveryOutput.
//  3. A NewView of a later view rests on the claims of a quorum made after they left
//     v (R4), so on one of those; its base has the highest rank among them (R14) by
//     the view of the votes. By induction the base is the committed block or a
//     descendant. Tested by hidden-cert-after-drop, rank-by-vote-view, forged-claim,
//     newview-refused, TestCheckNewView, TestChooseBase.
//  4. All votes of a view are for its base or above (RV), and no votes of two views
//     or two NewViews add up. So nothing in conflict is ever certified later. Tested by
//     first-vote-is-for-the-base, votes-of-two-views, two-newviews.
//  5. A restart loses nothing of that: what depends on a record leaves after it.
//     Tested by TestCrashAtEveryOutput, TestPowerFailure, newview-survives-crash,
//     frame-by-restart-primary.
//  6. A replica signs one statement for each checkpoint height, for ever (R23), also if a
//     certificate shows that its state was wrong and it gets the right one; meanwhile it
//     goes on ordering, since votes for blocks say nothing of the state (R24): see
//     ARCHITECTURE.md. Tested by divergent-state, divergence-repair, divergence-restart,
//     TestCrashAtEveryOutputOfARepair, TestSecondStatementIsNeverSigned.
//  7. A replica whose disk is lost signs nothing until a view commits that it cannot
//     have been in (PROTOCOL 14). Tested by wiped-disk-rejoin, wiped-disk-needs-quorum.
//
// Above F traitors agreement may fail, and then more than F of them can be named, and
// nobody else ([Blame]): blame-walk, TestBlameWalk, TestNoProofAgainstTheHonest, and a
// watcher over all that honest nodes send in every script.
//
// # Bounds
//
// Whatever peers and clients send, a core keeps at most:
//
//	proposals ahead of time   one for each height up to executed + 2*Window  TestBoundProposals
//	blocks above committed    6*Window                                      TestBoundBlocks, TestBoundProposals
//	votes                     members * 2 phases * 2 views * (2*Window+1)   TestTallyMemoryBound
//	checkpoint votes          members * (range + 2)                         TestCheckpointTallyMemoryBound
//	ViewChanges, Statuses     one of each member, the highest               TestBoundViewChangesAndStatuses
//	answers and pushes        one for each member and retry interval        TestBoundAnswers, TestBoundViewChangesAndStatuses
//	requests                  MaxPoolBytes waiting, as much proposed,       TestBoundPool, TestPoolModel
//	                          MaxPoolPerClient
//	a Forward                 1 MiB                                         TestBoundForward
//	evidence                  one for each member and offence               TestBoundEvidence
//	committed chain, CommitQCs, NewViews, statements, the log
//	                          back to Retain below the last snapshot        TestBoundLongLife
//	  while catching up       and what peers retained, above it, until the bundle
//	                          of a later snapshot arrives: 2*(LogMax+Retain)
//	                          links of the chain                            TestBoundCatchUp, TestBoundLagging
//	NewViews nothing rests on MaxNewViews, the newest                       TestBoundNewViews
//	the log ahead             LogMax above the last stable checkpoint       log-max
//
// # Files
//
//	ids, block, request, statement, claim, checkpoint, evidence   what is signed
//	message, message_codec, record, output, drops, config         what goes in and out
//	quorum, schedule, base                                        pure rules
//	verify, verify_votes, verify_blocks, sign                     signatures
//	ballot, tally, checkpoint_tally                               votes to certificates
//	core                                                          state, Step, what follows each event
//	normal, commit, chain                                         proposing, voting, committing
//	viewchange, suspicion, timers, links, slow                    when and how the primary changes
//	pool                                                          requests that wait
//	status, catchup, stable, rejoin, recovery                     losses, gaps, checkpoints, lost disks, restarts
//	statements, divergence                                        what is said of checkpoints; a state that is not the certified one
//	spine                                                         NewViews kept for accountability
//	evidence_check, prove, blame                                  accountability
//	describe                                                      for people
//
// Rules are cited as R5 or by section, after the protocol notes of this project; R23 and
// R24 are in ARCHITECTURE.md.
package pbft
