package pbft

import "github.com/parley-bft/parley/crypto"

// What traitors do in scripts: they sign anything with their own keys and use what
// others signed, as far as it went over the network.

// traitor makes replicas traitors: their nodes stop (unless "running"), the checks
// no longer apply to them, and what they send is what the script says.
func (s *script) traitor() {
	for _, n := range s.nodes() {
		s.traitors[n.id] = true
		if !s.has("running") {
			n.crash()
		}
	}
}

func (s *script) keysOf(id ReplicaID) Keys { return s.w.nodes[id].keys }

func (s *script) digest(name string) Digest {
	for d, n := range s.names.of { // names are unique
		if n == name {
			return d
		}
	}
	if name == "" {
		return Digest{}
	}
	s.errorf("%s: nothing is called %s", s.d.Pos, name)
	return Digest{}
}

// refOf finds a block by its name; "0" is the start block.
func (s *script) refOf(name string) BlockRef {
	if name == "0" {
		return s.w.base.Start.Ref()
	}
	p := s.blocks[name]
	if p == nil {
		s.t.Fatalf("%s: no block %q", s.d.Pos, name)
	}
	return p.Ref()
}

func (s *script) headerOf(name string) *Header {
	if name == "0" {
		return &s.w.base.Start.Header
	}
	if p := s.blocks[name]; p != nil {
		return &p.Header
	}
	s.t.Fatalf("%s: no block %q", s.d.Pos, name)
	return nil
}

// block makes a block: name= on= [view=] [requests=] [after=] [flag] [by=].
func (s *script) block() {
	parent := s.headerOf(s.text("on", "0"))
	view := View(s.number("view", 0))
	h := Header{
		Cluster: s.w.cluster, Height: parent.Height + 1, View: view, Parent: parent.Digest(),
		Proposer: ReplicaID(s.number("by", int(NewSchedule(s.w.quorums.Weights()).Primary(0, view)))),
		Time:     max(parent.Time, s.w.now), Checkpoint: s.has("flag"),
	}
	if s.has("after") {
		h.Time = parent.Time.Add(s.duration("after"))
	}
	var requests []*Request
	for _, name := range s.strings("requests") {
		if s.requests[name] == nil {
			s.t.Fatalf("%s: no request %s", s.d.Pos, name)
		}
		requests = append(requests, s.requests[name])
	}
	p := &PrePrepare{Block: NewBlock(h, requests)}
	s.names.set(p.Digest(), s.text("name", ""))
	s.nameBlock(Sign(s.w.cluster, 0, p, s.keysOf(h.Proposer)).(*PrePrepare))
}

func (s *script) phase() Phase {
	if s.text("phase", "prepare") == "commit" {
		return Commit
	}
	return Prepare
}

func (s *script) statement(phase Phase) Statement {
	ref := s.refOf(s.text("block", ""))
	return Statement{Phase: phase, View: View(s.number("view", 0)), NewView: s.digest(s.text("under", "")), Height: ref.Height, Block: ref.Digest}
}

// cert makes a certificate from the votes that were sent and those that traitors
// sign now: name= phase= view= block= [under=] signers=.
func (s *script) cert() {
	st := s.statement(s.phase())
	q := &Certificate{Statement: st, Signers: crypto.NewBitmap(s.w.n())}
	var shares []crypto.Share
	for _, id := range s.ids("signers") {
		v := s.votes[st][id]
		if s.traitors[id] {
			v = Sign(s.w.cluster, 0, &Vote{Statement: st, Signer: id}, s.keysOf(id)).(*Vote)
		}
		if v == nil && s.has("forged") {
			v = &Vote{Signature: make([]byte, 32)}
		}
		if v == nil {
			s.printf("impossible: %d never signed %v v%d %s%s", id, st.Phase, st.View, s.names.ref(st.Ref()), s.under(st.NewView))
			continue
		}
		q.Signers.Set(id)
		shares = append(shares, crypto.Share{Signer: id, Signature: v.Signature})
	}
	if !s.w.quorums.IsQuorum(q.Signers) {
		s.printf("impossible: no quorum")
		return
	}
	q.Proof, _ = s.w.nodes[0].verifier.cfg.Votes.Aggregate(shares)
	s.certs[s.text("name", "")] = q
}

// claimBy makes the ViewChange of a traitor: as= view= [high=certificate].
func (s *script) claimBy(as ReplicaID) *ViewChange {
	start := s.w.base.Start
	c := Claim{View: View(s.number("view", 0)), High: Rank{0, start.Height}, Block: start.Digest()}
	var q *Certificate
	if name := s.text("high", ""); name != "" {
		if q = s.certs[name]; q == nil {
			s.t.Fatalf("%s: no certificate %s", s.d.Pos, name)
		}
		c.High, c.Block, c.Phase = q.Rank(), q.Block, q.Phase
	}
	return Sign(s.w.cluster, 0, &ViewChange{SignedClaim: SignedClaim{Claim: c, Signer: as}, Certificate: q}, s.keysOf(as)).(*ViewChange)
}

// claim makes a traitor's claim for use in a NewView, without sending it.
func (s *script) claim() { s.keepClaim(s.claimBy(s.ids("as")[0])) }

// newView makes a NewView of a traitor from claims that were sent or made: name=
// view= claims= [cert=]. Without cert it takes that of the highest claim.
func (s *script) newView() {
	view := View(s.number("view", 0))
	n := &NewView{View: view}
	certs := map[Rank]*Certificate{}
	for _, id := range s.ids("claims") {
		m := s.claims[view][id]
		if m == nil {
			s.t.Fatalf("%s: replica %d made no claim for view %d", s.d.Pos, id, view)
		}
		n.Claims = append(n.Claims, m.SignedClaim)
		certs[m.High] = m.Certificate
	}
	top, _ := ChooseBase(n.Claims)
	n.Certificate = certs[top.High]
	if name := s.text("cert", ""); name != "" {
		n.Certificate = s.certs[name]
	}
	primary := NewSchedule(s.w.quorums.Weights()).Primary(0, view)
	signed := Sign(s.w.cluster, 0, n, s.keysOf(ReplicaID(s.number("by", int(primary))))).(*NewView)
	s.names.set(signed.Digest(), s.text("name", ""))
	s.nameNewView(signed)
}

// send sends a message of a traitor to some: as= to= kind= and what belongs to it.
// It is queued, not delivered.
func (s *script) send() {
	as := s.ids("as")[0]
	if !s.traitors[as] {
		s.t.Fatalf("%s: %d is no traitor", s.d.Pos, as)
	}
	to := s.ids("to")
	m := s.message(as)
	if m == nil {
		return
	}
	m = Sign(s.w.cluster, 0, m, s.keysOf(as))
	s.w.onSend(as, m)
	data := Encode(0, m)
	for _, n := range s.w.nodes {
		if n.id == as {
			continue
		}
		for i := range to {
			if to[i] == n.id {
				s.w.queue = append(s.w.queue, packet{as, n.id, data, m.Kind(), describeMessage(m)})
			}
		}
		if to == nil {
			s.w.queue = append(s.w.queue, packet{as, n.id, data, m.Kind(), describeMessage(m)})
		}
	}
}

func (s *script) message(as ReplicaID) Message {
	view := View(s.number("view", 0))
	height := func(key string) Height { return Height(s.number(key, 0)) }
	switch kind := s.text("kind", ""); kind {
	case "PrePrepare":
		return s.blocks[s.text("block", "")]
	case "Prepare":
		return &Vote{Statement: s.statement(Prepare), Signer: as}
	case "Commit":
		return &Vote{Statement: s.statement(Commit), Signer: as}
	case "Certificate":
		if q := s.certs[s.text("cert", "")]; q != nil {
			return q
		}
		s.t.Fatalf("%s: no such certificate", s.d.Pos)
	case "ViewChange":
		return s.claimBy(as)
	case "NewView":
		if n := s.newViews[s.text("newview", "")]; n != nil {
			return n
		}
		s.t.Fatalf("%s: no such NewView", s.d.Pos)
	case "Status":
		tip := BlockRef{}
		if s.has("tip") {
			tip = s.refOf(s.text("tip", ""))
		}
		return &Status{View: view, Entered: s.has("entered"), Open: s.has("open"), Suspect: s.has("suspect"), Follower: s.has("follower"), Reply: s.has("reply"),
			Tip: tip, High: Rank{View(s.number("high-view", 0)), height("high")}, Committed: height("committed"), Executed: height("executed"), Stable: height("stable"), Oldest: height("oldest")}
	case "Heartbeat":
		return &Heartbeat{View: view}
	case "Checkpoint":
		n := s.w.nodes[s.number("like", 0)]
		st := n.statement(s.headerOf(s.text("block", "")))
		if s.has("lie") {
			st.State = crypto.Hash("lie", []byte(s.text("lie", "")))
		}
		return &CheckpointVote{CheckpointStatement: st, Signer: as}
	case "Forward":
		f := &Forward{}
		for _, name := range s.strings("requests") {
			f.Requests = append(f.Requests, s.requests[name])
		}
		return f
	case "GetBlocks":
		g := &GetBlocks{From: height("from-height")}
		if name := s.text("block", ""); name != "" {
			ref := s.refOf(name)
			g.Height, g.Digest = ref.Height, ref.Digest
		}
		return g
	case "Blocks":
		b := &Blocks{}
		for _, name := range s.strings("blocks") {
			b.Blocks = append(b.Blocks, s.blocks[name])
		}
		if name := s.text("cert", ""); name != "" {
			b.Certificate = s.certs[name]
		}
		return b
	case "Bundle": // the one that replica "like" has
		return s.w.nodes[s.number("like", 0)].core.SnapshotBundle()
	default:
		s.t.Fatalf("%s: unknown kind %s", s.d.Pos, kind)
	}
	return nil
}
