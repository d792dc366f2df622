package access

import (
	"errors"
	"math"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// run is one operation about access.
type run struct {
	reading
	h       *Handler
	t       store.Txn
	b       *statemachine.Block
	signers []crypto.PublicKey // in ascending order
	// envelope has their signatures, nil if there is none.
	envelope *signed.Opened
}

// perform runs an encoded operation and says of which kind its result is.
func (r *run) perform(data []byte) (*Result, Kind, error) {
	data = data[len(magic):]
	if len(data) > 0 && Kind(data[0]) == KindSigned {
		o := signed.Opener{Space: Space(r.settings().Chain), Verifier: r.h.verifier, MaxLife: maxLife}
		e, err := o.Open(r.t, data[1:], r.b.Time, r.signers[0])
		switch {
		case err == nil:
		case errors.Is(err, signed.ErrMalformed):
			return nil, KindSigned, reject(CodeMalformed, "the envelope's encoding is wrong")
		case errors.Is(err, signed.ErrReplayed):
			return nil, KindSigned, reject(CodeReplayed, "%v", err)
		default:
			return nil, KindSigned, reject(CodeExpired, "%v", err)
		}
		r.envelope, r.signers, data = e, e.Signers, e.Op
	} else {
		data = append(append([]byte(nil), magic...), data...)
	}
	o, err := decode(data)
	if err != nil {
		return nil, 0, err
	}
	if r.envelope != nil && o.Kind().Read() {
		// The policy decided about the envelope, not about what it would read; and each
		// that succeeds is remembered, for whoever likes to make them.
		return nil, KindSigned, reject(CodeMalformed, "%s is a read, which goes without an envelope", o.Kind())
	}
	var out *Result
	switch o := o.(type) {
	case *Propose:
		out, err = r.propose(o)
	case *Approve:
		out, err = r.approve(o)
	case *Withdraw:
		out, err = r.withdraw(o)
	default:
		out, err = r.answer(o)
	}
	return out, o.Kind(), err
}

// administrators returns those of the signers, of whom there must be one. They alone have a
// say, so their signatures are checked here: what a change does may cost as much as there
// are members.
func (r *run) administrators(s *settings) ([]crypto.PublicKey, error) {
	by := signed.Common(s.Administrators.Keys, r.signers)
	if len(by) == 0 {
		return nil, refuse(RuleAdministrators, "none of those who signed is an administrator")
	}
	if r.envelope != nil {
		if err := r.envelope.Check(func(k crypto.PublicKey) bool { return slices.Contains(by, k) }); err != nil {
			return nil, reject(CodeBadSignature, "%v", err)
		}
	}
	// However much others read in this block, and however many members and proposals there
	// are, whoever can mend the policy is not shut out by that.
	r.b.Meter().CountsItself()
	return by, nil
}

// maxProposals bounds the proposals that wait.
const maxProposals = 64

func (r *run) propose(o *Propose) (*Result, error) {
	s := r.settings()
	by, err := r.administrators(s)
	if err != nil {
		return nil, err
	}
	if err := o.Change.validate(); err != nil {
		return nil, reject(CodeInvalid, "%v", err)
	}
	if len(by) >= s.Administrators.M {
		return r.effect(s, &o.Change, by)
	}
	waiting := 0
	for key, value := range r.t.Range([]byte("p/"), store.PrefixEnd([]byte("p/"))) {
		p := new(Proposal)
		if err := canon.Decode(value, p.code); err != nil {
			panic(err)
		}
		if r.void(s, p) {
			r.t.Delete(key)
		} else {
			waiting++
		}
	}
	if waiting >= maxProposals {
		return nil, reject(CodeLimit, "%d proposals wait: withdraw some", waiting)
	}
	s.Proposals++
	p := Proposal{
		Number: s.Proposals, Change: o.Change, Digest: o.Change.Digest(), Approvals: by,
		Expires: r.b.Time + statemachine.Time(maxLife), Epoch: s.Epoch,
	}
	save(r.t, proposalKey(p.Number), p.code)
	save(r.t, []byte(keySettings), s.code)
	return &Result{Number: p.Number}, nil
}

// void tells whether a proposal can take effect no more.
func (r *run) void(s *settings, p *Proposal) bool { return p.Expires <= r.b.Time || p.Epoch != s.Epoch }

func (r *run) proposal(s *settings, number uint64) (*Proposal, error) {
	p := new(Proposal)
	if !load(r.t, proposalKey(number), p.code) {
		return nil, reject(CodeNotFound, "there is no proposal %d: it was withdrawn, or took effect", number)
	}
	if r.void(s, p) {
		return nil, reject(CodeExpired, "proposal %d is void: its time is over, or the administrators have changed since", number)
	}
	return p, nil
}

func (r *run) approve(o *Approve) (*Result, error) {
	s := r.settings()
	by, err := r.administrators(s)
	if err != nil {
		return nil, err
	}
	p, err := r.proposal(s, o.Number)
	if err != nil {
		return nil, err
	}
	if p.Digest != o.Digest {
		return nil, reject(CodeConflict, "proposal %d is the change %s, not %s", o.Number, p.Digest.Hex(), o.Digest.Hex())
	}
	p.Approvals = signed.Of(0, append(by, p.Approvals...)...).Keys
	if s.Administrators.Met(p.Approvals) {
		r.t.Delete(proposalKey(p.Number))
		return r.effect(s, &p.Change, p.Approvals)
	}
	save(r.t, proposalKey(p.Number), p.code)
	return &Result{Number: p.Number}, nil
}

func (r *run) withdraw(o *Withdraw) (*Result, error) {
	s := r.settings()
	by, err := r.administrators(s)
	if err != nil {
		return nil, err
	}
	p := new(Proposal)
	switch {
	case !load(r.t, proposalKey(o.Number), p.code):
		return nil, reject(CodeNotFound, "there is no proposal %d", o.Number)
	case len(signed.Common(by, p.Approvals)) == 0:
		return nil, refuse(RuleAdministrators, "none of those who signed has approved proposal %d", o.Number)
	}
	r.t.Delete(proposalKey(o.Number))
	return &Result{Number: o.Number}, nil
}

// effect makes a change and enters it into the audit trail.
func (r *run) effect(s *settings, g *Change, by []crypto.PublicKey) (*Result, error) {
	if g.Mode != 0 {
		s.Mode = g.Mode
	}
	if g.SetStrangers {
		s.Strangers = g.Strangers
	}
	if !g.Administrators.IsZero() {
		s.Administrators = g.Administrators
		s.Epoch++
	}
	for _, name := range g.RemoveRoles {
		r.t.Delete(roleKey(name))
	}
	r.strip(g.RemoveRoles)
	for i := range g.SetRoles {
		save(r.t, roleKey(g.SetRoles[i].Name), g.SetRoles[i].code)
	}
	for _, k := range g.RemoveMembers {
		if _, ok := r.member(k); !ok {
			return nil, reject(CodeNotFound, "there is no member %s", k.Hex())
		}
		r.t.Delete(memberKey(k))
		for rule := range ruleNames { // the order is of no consequence
			r.t.Delete(refusalKey(k, rule))
		}
		s.Members--
	}
	for i := range g.SetMembers {
		m := &g.SetMembers[i]
		for _, name := range m.Roles {
			if _, ok := r.t.Get(roleKey(name)); !ok {
				return nil, reject(CodeNotFound, "there is no role %s, which member %s is to have", name, m.Key.Hex())
			}
		}
		if _, ok := r.member(m.Key); !ok {
			s.Members++
		}
		save(r.t, memberKey(m.Key), m.code)
	}
	s.Changes++
	e := Entry{Number: s.Changes, Height: r.b.Height, Time: r.b.Time, Change: *g, By: by}
	save(r.t, auditKey(e.Number), e.code)
	save(r.t, []byte(keySettings), s.code)
	return &Result{Number: e.Number, Effective: true}, nil
}

// strip takes roles that are removed from all members: one that is made later and has the
// name of one of these is another role, which nobody was given.
func (r *run) strip(roles []string) {
	if len(roles) == 0 {
		return
	}
	for key, value := range r.t.Range([]byte("m/"), store.PrefixEnd([]byte("m/"))) {
		var m Member
		if err := canon.Decode(value, m.code); err != nil {
			panic(err)
		}
		had := len(m.Roles)
		m.Roles = slices.DeleteFunc(m.Roles, func(name string) bool { return slices.Contains(roles, name) })
		if len(m.Roles) != had {
			save(r.t, key, m.code)
		}
	}
}

// maxPage bounds the entries of an answer, and pageBytes about what they take.
const (
	maxPage   = 500
	pageBytes = 256 << 10
)

// page appends the entries with a prefix, behind one of them, to a list.
func page[T any](r store.Reader, out *Result, list *[]T, limit uint32, prefix string, after []byte, code func(*T) func(*canon.Codec)) {
	most := maxPage
	if limit > 0 && limit < maxPage {
		most = int(limit)
	}
	from := []byte(prefix)
	if after != nil {
		from = append(append(from, after...), 0)
	}
	size := 0
	for _, value := range r.Range(from, store.PrefixEnd([]byte(prefix))) {
		if size += len(value); len(*list) == most || len(*list) > 0 && size > pageBytes {
			out.More = true
			return
		}
		v := new(T)
		if err := canon.Decode(value, code(v)); err != nil {
			panic(err)
		}
		*list = append(*list, *v)
	}
}

func afterNumber(n uint64) []byte {
	if n == 0 {
		return nil
	}
	return canon.AppendUint64(nil, n)
}

// answer is what a read answers.
func (r reading) answer(o Operation) (*Result, error) {
	out := new(Result)
	switch o := o.(type) {
	case *GetPolicy:
		out.Info = &r.settings().Info
	case *GetMember:
		m, ok := r.member(o.Key)
		if !ok {
			return nil, reject(CodeNotFound, "there is no member %s", o.Key.Hex())
		}
		out.Member = &MemberInfo{Member: m}
		var u usage
		if load(r.r, usageKey(o.Key), u.code) {
			out.Member.Used = Quota{u.Operations, u.Bytes, uint64(u.Ends-u.Since) / uint64(1e9)}
			out.Member.Since = u.Since
		}
	case *ListMembers:
		var after []byte
		if !o.After.IsZero() {
			after = o.After[:]
		}
		page(r.r, out, &out.Members, o.Limit, "m/", after, func(m *Member) func(*canon.Codec) { return m.code })
	case *ListRoles:
		var after []byte
		if o.After != "" {
			after = []byte(o.After)
		}
		page(r.r, out, &out.Roles, o.Limit, "r/", after, func(m *Role) func(*canon.Codec) { return m.code })
	case *ListProposals:
		page(r.r, out, &out.Proposals, o.Limit, "p/", afterNumber(o.After), func(m *Proposal) func(*canon.Codec) { return m.code })
	case *ListAudit:
		page(r.r, out, &out.Audit, o.Limit, "a/", afterNumber(o.After), func(m *Entry) func(*canon.Codec) { return m.code })
	case *ListRefusals:
		var after []byte
		if o.AfterRule != 0 {
			after = refusalKey(o.AfterClient, o.AfterRule)[len("f/"):]
		}
		page(r.r, out, &out.Refusals, o.Limit, "f/", after, func(m *RefusalCount) func(*canon.Codec) { return m.code })
	case *Check:
		out.Refusal = r.decide(o.Client, o.What, o.Read)
	default:
		return nil, reject(CodeMalformed, "%s goes through the log, not in an envelope", o.Kind())
	}
	return out, nil
}

// describe is the encoding of what an operation of a kind answers.
func (r *Result) describe(k Kind) func(*canon.Codec) {
	return func(c *canon.Codec) {
		list := func() { c.Bool(&r.More) }
		switch k {
		case KindPropose, KindApprove, KindWithdraw:
			c.Uint64(&r.Number)
			c.Bool(&r.Effective)
		case KindGetPolicy:
			if c.Reading() {
				r.Info = new(Info)
			}
			r.Info.code(c)
		case KindGetMember:
			if c.Reading() {
				r.Member = new(MemberInfo)
			}
			r.Member.code(c)
		case KindListMembers:
			canon.List(c, &r.Members, math.MaxInt32, 32, func(c *canon.Codec, m *Member) { m.code(c) })
			list()
		case KindListRoles:
			canon.List(c, &r.Roles, math.MaxInt32, 12, func(c *canon.Codec, m *Role) { m.code(c) })
			list()
		case KindListProposals:
			canon.List(c, &r.Proposals, math.MaxInt32, 64, func(c *canon.Codec, p *Proposal) { p.code(c) })
			list()
		case KindListAudit:
			canon.List(c, &r.Audit, math.MaxInt32, 64, func(c *canon.Codec, e *Entry) { e.code(c) })
			list()
		case KindListRefusals:
			canon.List(c, &r.Refusals, math.MaxInt32, 32, func(c *canon.Codec, n *RefusalCount) { n.code(c) })
			list()
		case KindCheck:
			no := r.Refusal != nil
			c.Bool(&no)
			if no {
				if c.Reading() {
					r.Refusal = new(Refusal)
				}
				r.Refusal.code(c)
			}
		default:
			c.Fail("answer of kind %d", k)
		}
	}
}

func (r *Result) encode(k Kind) []byte { return canon.Append([]byte{byte(k)}, r.describe(k)) }
