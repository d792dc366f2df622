package explore

import (
	"context"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// search is the walk over the global states, breadth first: the first violation found
// is one of the nearest.
type search struct {
	w     *world
	roles []*role          // of each position
	ids   []pbft.ReplicaID // of each position
	k     int

	states []int32 // k local states each; those of one role ascending
	parent []int32
	table  []int32 // open addressing; index+1 of a state
	mask   uint64
	offers map[string]*offer
	key    []byte

	transitions int
	ls          []*local // scratch of expand
	next        []int32
	ends        int // states in which everything has to be committed
	found       *finding
	at          int32 // the state that is being expanded
	live        bool  // an honest move was seen
}

type finding struct {
	state int32
	text  string
}

// step is a transition out of a state.
type step struct {
	position int
	input    int32
	to       int32
	honest   bool // needs no traitor
}

func newSearch(cfg *Config) (*search, error) {
	w, err := newWorld(cfg)
	if err != nil {
		return nil, err
	}
	s := &search{w: w, offers: map[string]*offer{}}
	var plain *role
	var leaders, plains []pbft.ReplicaID
	for _, id := range w.honest() {
		if w.leadsFrom(id, 0) {
			leaders = append(leaders, id)
		} else {
			plains = append(plains, id)
		}
	}
	// Those that may be exchanged are neighbours.
	for _, id := range append(leaders, plains...) {
		r := plain
		if w.leadsFrom(id, 0) || r == nil {
			r = newRole(w, id)
			if !w.leadsFrom(id, 0) {
				plain = r
			}
		}
		s.roles, s.ids = append(s.roles, r), append(s.ids, id)
	}
	s.k = len(s.ids)
	s.ls, s.next = make([]*local, s.k), make([]int32, s.k)
	s.table = make([]int32, 1<<12)
	s.mask = uint64(len(s.table) - 1)
	return s, nil
}

// run visits everything, or stops at a violation, at the budget, or with ctx.
func (s *search) run(ctx context.Context) (*Result, error) {
	for i, r := range s.roles {
		if len(r.locals) == 0 {
			r.first()
		}
		s.next[i] = 0
	}
	res := &Result{Name: s.w.cfg.Name}
	s.add(s.next, none)
	level := 1 // states below are of this depth
	for s.at = 0; int(s.at) < s.count(); s.at++ {
		if s.at&1023 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("explore: stopped after %d states: %w", s.count(), ctx.Err())
		}
		if int(s.at) == level {
			res.MaxDepth++
			if s.w.cfg.Progress != nil {
				s.w.cfg.Progress(res.MaxDepth, s.count(), s.count()-level)
			}
			level = s.count()
		}
		s.expand(s.at)
		if s.found != nil {
			res.Violation = s.tell(s.found)
			break
		}
		if s.count() >= s.w.cfg.maxStates() {
			break
		}
	}
	res.States, res.Transitions, res.Tried, res.Ends = s.count(), s.transitions, s.w.tried, s.ends
	res.Exhausted = int(s.at) == s.count() && s.found == nil
	seen := map[*role]bool{}
	for _, r := range s.roles {
		if !seen[r] {
			seen[r] = true
			res.Locals += len(r.locals)
		}
	}
	return res, nil
}

func (s *search) count() int { return len(s.parent) }

func (s *search) state(i int32) []int32 { return s.states[int(i)*s.k : (int(i)+1)*s.k] }

// expand takes every transition out of a state.
func (s *search) expand(i int32) {
	now := slices.Clone(s.state(i))
	s.live = false
	s.eachStep(now, func(st step) {
		s.transitions++
		s.live = s.live || st.honest
		copy(s.next, now)
		s.next[st.position] = st.to
		s.sort(s.next)
		if j, fresh := s.add(s.next, i); fresh && s.found == nil {
			s.check(j, now, st)
		}
	})
	if s.found == nil && !s.live {
		s.checkEnd(i, now)
	}
}

// eachStep calls f for every transition out of a tuple of local states.
func (s *search) eachStep(now []int32, f func(step)) {
	for p, l := range now {
		s.ls[p] = s.roles[p].locals[l]
	}
	o := s.offerOf(s.ls)
	if o.bad != "" {
		s.fail(s.at, "%s", o.bad)
		return
	}
	crashed := 0
	for _, l := range s.ls {
		crashed += l.crashes
	}
	for p := range now {
		if p > 0 && s.roles[p] == s.roles[p-1] && now[p] == now[p-1] {
			continue // the same again
		}
		s.arrivals(p, now[p], o, crashed, f)
		s.others(p, now[p], o, crashed, f)
	}
}

// arrivals are the transitions in which a proposal, certificate or NewView arrives.
func (s *search) arrivals(p int, id int32, o *offer, crashed int, f func(step)) {
	r := s.roles[p]
	l := r.locals[id]
	for k, w := range o.all {
		if w&^l.known.word(k) == 0 {
			continue
		}
		set{w &^ l.known.word(k)}.each(func(b int) { r.learn(id, 64*k+b) })
	}
	for _, m := range l.moves {
		if !o.all.has(int(m.fact)) {
			continue
		}
		in := m.input
		f(step{p, in, m.to, o.honest.has(int(m.fact)) || s.shown(p, int(m.fact))})
		if m.tearable && crashed < s.w.cfg.Crashes {
			s.follow(p, id, s.w.input(input{kind: torn, fact: int(m.fact)}), false, f)
		}
	}
}

// shown tells whether another honest replica pushes this certificate.
func (s *search) shown(p, f int) bool {
	for q, l := range s.ls {
		if q != p && slices.Contains(l.shows, f) {
			return true
		}
	}
	return false
}

// others are all other transitions of a replica.
func (s *search) others(p int, id int32, o *offer, crashed int, f func(step)) {
	w, l := s.w, s.roles[p].locals[id]
	if w.cfg.Crashes > 0 && w.primary(0) == s.ids[p] {
		s.follow(p, id, w.input(input{kind: requests}), true, f)
	}
	if l.view < w.cfg.lastView() {
		honest, all := s.mayLeave(p, l)
		if all {
			s.follow(p, id, w.input(input{kind: leaves}), honest, f)
		}
	}
	if l.want != nil {
		honest := s.servedByHonest(p, l)
		if honest || len(w.cfg.Traitors) > 0 && !w.cfg.Silent {
			s.follow(p, id, w.input(input{kind: fetched}), honest, f)
		}
	}
	if l.waits {
		s.claims(p, id, o, f)
	}
	if crashed < w.cfg.Crashes {
		s.follow(p, id, w.input(input{kind: crashes}), false, f)
	}
}

func (s *search) follow(p int, from, in int32, honest bool, f func(step)) {
	if to := s.roles[p].follow(from, in); to != none {
		f(step{p, in, to, honest})
	}
}

// mayLeave tells whether a quorum, the replica included, can be seen to suspect the
// primary of its view or to be further; or, in a view that does not open, to be in it.
func (s *search) mayLeave(p int, l *local) (honest, all bool) {
	weight := uint64(0)
	f := s.w.suspectedFact(l.view)
	for q, o := range s.ls {
		if q == p || o.view > l.view || !l.open && o.view == l.view || l.open && o.sent.has(f) {
			weight += s.w.quorums.Weight(s.ids[q])
		}
	}
	quorum := s.w.quorums.QuorumWeight()
	honest = weight >= quorum
	if !s.w.cfg.Silent {
		weight += s.w.traitorWeight()
	}
	return honest, weight >= quorum
}

// servedByHonest tells whether another honest replica has the blocks that are wanted.
func (s *search) servedByHonest(p int, l *local) bool {
	for q, o := range s.ls {
		if q != p && o.holds&(1<<l.want.index) != 0 {
			return true
		}
	}
	return false
}

// claims are the transitions in which a primary gets a quorum of ViewChanges.
func (s *search) claims(p int, id int32, o *offer, f func(step)) {
	w, l := s.w, s.roles[p].locals[id]
	var made [][]int // by the other honest replicas
	for q, other := range s.ls {
		if q == p {
			continue
		}
		var of []int
		other.sent.each(func(g int) {
			if fa := &w.facts[g]; fa.kind == claimed && fa.view == l.view {
				of = append(of, g)
			}
		})
		made = append(made, of)
	}
	own := w.quorums.Weight(s.ids[p])
	try := func(theirs, need int) {
		seen := map[int32]bool{}
		choose(made, need, nil, func(picked []int) {
			sorted := slices.Clone(picked)
			slices.Sort(sorted)
			if in := w.input(input{kind: claims, claims: sorted, theirs: theirs}); !seen[in] {
				seen[in] = true
				s.follow(p, id, in, theirs < 0, f)
			}
		})
	}
	try(-1, s.honestNeeded(own))
	for _, c := range o.claims {
		switch cl := w.facts[c].claim; {
		case cl.view != l.view:
		case cl.forged:
			try(c, s.honestNeeded(own))
		default:
			try(c, s.honestNeeded(own+w.traitorWeight()))
		}
	}
}

// choose calls f with every choice of need claims of different replicas.
func choose(made [][]int, need int, picked []int, f func([]int)) {
	if need == 0 {
		f(picked)
		return
	}
	if len(made) < need {
		return
	}
	for _, c := range made[0] {
		choose(made[1:], need-1, append(picked[:len(picked):len(picked)], c), f)
	}
	choose(made[1:], need, picked, f)
}

// sort puts the local states of each role in order.
func (s *search) sort(tuple []int32) {
	for i := 1; i < len(tuple); i++ {
		for j := i; j > 0 && s.roles[j] == s.roles[j-1] && tuple[j] < tuple[j-1]; j-- {
			tuple[j], tuple[j-1] = tuple[j-1], tuple[j]
		}
	}
}

// add finds a state or adds it.
func (s *search) add(tuple []int32, parent int32) (at int32, fresh bool) {
	if 2*(s.count()+1) > len(s.table) {
		s.grow()
	}
	for h := hash(tuple) & s.mask; ; h = (h + 1) & s.mask {
		e := s.table[h]
		if e == 0 {
			s.states = append(s.states, tuple...)
			s.parent = append(s.parent, parent)
			s.table[h] = int32(s.count())
			return int32(s.count() - 1), true
		}
		if slices.Equal(s.state(e-1), tuple) {
			return e - 1, false
		}
	}
}

func (s *search) grow() {
	s.table = make([]int32, 2*len(s.table))
	s.mask = uint64(len(s.table) - 1)
	for i := range s.count() {
		h := hash(s.state(int32(i))) & s.mask
		for s.table[h] != 0 {
			h = (h + 1) & s.mask
		}
		s.table[h] = int32(i + 1)
	}
}

func hash(tuple []int32) uint64 {
	h := uint64(14695981039346656037)
	for _, x := range tuple {
		h = (h ^ uint64(uint32(x))) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	return h
}
