// Package client submits operations to a Parley cluster and accepts only what
// cannot be a lie.
//
//	c, err := client.Dial(ctx, client.Config{Roster: roster, Key: key.Signing})
//	result, err := c.Submit(ctx, op)
//
// A [Client] keeps a stream to every replica. An outcome counts when replicas
// that together weigh more than F, the weight that may be faulty, reported the
// very same; one of them is honest then. What any single replica says changes
// where and when the next message goes, and nothing else.
//
// So that not all replicas send what is thrown away, a client tells all but the primary
// and as many others as make more than F weight to speak when they are asked. They
// are asked for a reply at once when those that came differ, or one of the chosen goes
// away, and else when it is overdue by what outcomes usually take; who was missed
// or lied then is no longer among the chosen.
//
// # What an error means
//
// An operation that was handed to a replica may run until its deadline, whatever
// happens here: a single faulty replica can keep the signed request and have it
// ordered later. So after that there are three ends only: a result; [ErrExpired],
// which says that it has not run and never will; and [ErrOutcomeUnknown]. All
// other errors are definite: the operation was never sent. Use errors.Is with
// ErrOutcomeUnknown first; such an error is an [*UnknownError], whose token
// [Client.Outcome] takes to ask again for the very same request. Never submit the
// operation anew unless running it twice is harmless.
//
// # Sharing of requests
//
// A signature and an entry in the log cost the same for one operation as for a
// thousand, so operations wait a little for each other and travel in one request.
// While a request is under way, the next one keeps a distance from it
// ([Config.Linger]); and after an outcome it waits until about as many operations are
// there as were answered, because their callers come back together. Both take a
// quarter of the usual time to an outcome at most. Now and then, while another request is
// under way, the callers of one wait for its outcome too, three quarters at most, and share
// their requests with its callers from then on. An operation that is submitted when none is
// under way, and none was lately, is sent at once.
//
// Operations of one request run together and in the order of their submission; the
// order of operations submitted at the same time is not defined.
//
// # Overload
//
// A cluster that is asked for more than it can do answers later and later. So once outcomes take
// longer for good than they have to and [Config.MaxQueueing] permits, a Client lets only as
// many operations be without an outcome as it gets outcomes in that time. What comes beyond is
// refused at once, or while it still waits to be sent, with an [*OverloadedError], which is [ErrOverloaded]: it was never sent, so it has
// not run, and may be submitted again as it is, best after the error's RetryAfter. Nothing
// is refused because of a pause, as when a primary dies, until as many operations wait as
// [Config.MaxWaiting] permits.
//
// # Linearizable reads
//
// [Client.Read] asks all replicas at once. Each answers with three things: what its
// application says, a height whose effects that has at least, and the height of the
// highest certificate that it holds (by view, then by height), its claim. The index of
// the read is the lowest height that the claims of a quorum do not exceed. The answer is
// one that replicas of more than F weight gave in the same words, each at the index or
// above.
//
// Why that is linearizable: what was acknowledged to anybody, or shown by such a read,
// before this one began was vouched for by more than F weight, so an honest replica had
// executed it. So its block, or a later one, at height h in view v, had a commit
// certificate; so a quorum had voted to commit it, and the honest ones among these had
// first put on their disks that it is prepared. From then on the highest certificate of
// each of these ranks at (v, h) or above. One of the same view is then at height h or
// above; one of a later view too, because what it certifies descends from every block
// that was committed before. So their claims are h or more. Any two quorums share an
// honest replica: one of those is in the quorum that made the index, which is therefore
// not below h. And one of those who gave the answer is honest, so the answer has the
// effects of h. Executed heights would not do for claims: the commit certificate may
// have reached one replica alone, which a faulty one helped to acknowledge.
//
// Liars: one that claims too little is one of F in its quorum, and changes nothing. One
// that claims too much is left out as soon as the others are a quorum, as all honest
// replicas are, so a claim needs no proof; until then it makes the read wait. One that
// answers wrongly or not at all is outvoted: with F lying and F honest ones kept in the
// dark by the primary, who claim what they last heard of, those that are left weigh more
// than F, and nobody but they is waited for. A replica that lost its disk, and with it
// what it had promised, makes no claim until it votes again.
//
// Where what is read changes with every block, answers may differ from one replica to the
// next. An application that keeps earlier states ([statemachine.HistoryQuerier]) is then
// asked for the state at exactly the index. Else, or if what is prepared is not committed
// because the cluster has no work or no quorum, Read gives up after a bounded number of
// rounds, and uses the log.
//
// # Certified reads
//
// [Client.ReadCertified] asks one replica, which proves its answer: a path from the key to
// the digest of the state, the certificate of the checkpoint that covers that digest, and
// the block's header, whose time says how old the state is; if that is too old the primary
// is asked for a new checkpoint, also where nothing happens. [Client.ReadAt] asks for an
// earlier state, and believes more than F.
//
//	s, err := c.ReadCertified(ctx, key, client.CertifiedOptions{MaxAge: time.Minute, MinHeight: written.Ref.Height})
//	if err == nil && s.Proof.Present {
//		... s.Proof.Value, true of the state at s.Height(), s.Time()
//	}
//
// Replicas keep the states of the two newest certified checkpoints, and all since, however
// many blocks that are: so an honest one that has executed a certified checkpoint has a
// proof. Under load there is a checkpoint each second (four times minCheckpointGap of the
// cluster file), and soon after the last operation when the load ends; [CertifiedOptions.MaxAge]
// must allow for that, and for what this machine's clock differs from the cluster's.
//
// # Watching
//
// [Client.Watch] follows what changes, for applications on statemachine/store. Their state
// contains the head of a hash chain over all changes that there ever were (package
// statemachine/store/feed), so the certificate of a checkpoint covers the history.
//
//	w := c.Watch(client.WatchOptions{From: cursor, Prefix: []byte("orders/")})
//	for {
//		e, err := w.Next(ctx)
//		if err != nil {
//			return err
//		}
//		// In one transaction of the reader's own database: what follows from e, and
//		// e.Cursor, to begin from after a crash.
//	}
//
// A watcher asks one replica. It gets the blocks that changed something since the cursor,
// up to the replica's last certified checkpoint, as links of the chain, with the proof of
// its head; only if the links lead from the cursor to that head, they are all there, in
// order. Then it gets what the blocks changed, in pieces that it checks against the links
// one by one. Nothing is returned before it is proved, so the memory that a watcher needs
// is an answer with pieces (about a megabyte, or one long value) and 48 bytes for each block
// that it is behind.
//
// Events are the changes of blocks in order, and within a block in the order of their
// keys: one for each key that has another value after the block than before it. A cursor
// names a place between two of them, also within a block; there is one for each place, the
// same from every replica. A reader that stores the cursor in the same step as what it
// makes of an event, and begins there again, loses nothing and sees nothing twice,
// wherever it is killed. Applied to nothing from the beginning, the events are the state.
//
// What replicas can do: one that drops, adds, reorders or alters changes, or shows another
// cluster's, does not verify: [FaultForged] is reported and the watcher does not ask it
// again. One that does not answer, or does not end to answer ([Config.MaxCatchUp]), is
// [FaultSilent]. One that says that the cursor is compacted, is none, or that it may not
// say is passed over as long as any other has an answer. So one honest replica that is
// reached suffices, and all together can delay, but not deceive.
//
// One that withholds what is new shows an old checkpoint for ever. When it has shown nothing
// new for [WatchOptions.MaxAge], another replica is asked. If that one shows more, the first is
// in doubt; MaxAge later it is asked once more, and if it still lacks what the watcher has
// seen by then, [FaultStale] is reported. This goes by the order in which this watcher saw
// certified states, and by how much time passed here between. Neither the time of day here
// nor that of the blocks counts against anybody: an honest replica is accused of nothing by a
// watcher whose clock is wrong, nor for a checkpoint that it gets a little later than others.
//
// A replica keeps the changes of the last blocks (64 MiB by default), and after it got its
// state from others only those since. A cursor that no replica can serve ends in
// [ErrCompacted], with one that more of them name than may be faulty, or that is proved:
// between them the reader misses changes, and has to read the state instead. [WatchOptions.Progress] moves a cursor on
// also when nothing happens that is wanted, before it gets that old.
//
// # Many clients in one process
//
// A gateway, or a bank's front end, holds the keys of many clients. Each is a Client of
// its own, whose requests it signs and nobody else does; but a [Transport] can carry all of
// them over one connection to each replica:
//
//	t, err := client.NewTransport(client.TransportConfig{Roster: roster})
//	alice, err := client.Dial(ctx, client.Config{Transport: t, Key: aliceKey})
//	bob, err := client.Dial(ctx, client.Config{Transport: t, Key: bobKey})
//
// What is sent at about the same time to one replica is one message then, and so is
// what comes back, which costs a fraction of as many connections. Nobody hears or
// asks more through it than over connections of his own: each key proves itself to each
// replica, by a signature that is good on that one connection.
//
// # Sequence numbers
//
// The cluster runs at most one request under each number of a client's key, and
// none below the lowest number that the client said it still cares about. A Client
// counts up from the time in nanoseconds at which it was made, and says so in its
// first request: everything below is given up. This needs no memory across
// restarts, as long as the clock is not set back behind the start of an earlier
// process plus one nanosecond for each of its requests; whoever cannot promise
// that keeps a counter and sets [Config.FirstSequence].
//
// A key is for one Client at a time. When a second one starts with the same key,
// it supersedes the first: nothing runs twice, requests that the first has under
// way end in ErrOutcomeUnknown unless they had run, and its later operations fail
// with [ErrSuperseded] without being sent. Give each process its own key.
package client
