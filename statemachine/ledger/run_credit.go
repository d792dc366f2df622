package ledger

func (x *exec) line(a, b, asset string) (l Line, ok bool) {
	ok = x.load(LineKey(a, b, asset), &l)
	return l, ok
}

// setLine writes a line. One that may have become idle is for tidy.
func (x *exec) setLine(a, b, asset string, l *Line) {
	if a > b {
		a, b = b, a
	}
	old, _ := x.line(a, b, asset)
	for _, p := range [][2]string{{a, b}, {b, a}} {
		was, now := payerKey(p[0], p[1], asset, &old), payerKey(p[0], p[1], asset, l)
		if string(was) == string(now) {
			continue
		}
		if was != nil {
			x.t.Delete(was)
		}
		if now != nil {
			x.t.Set(now, nil)
		}
	}
	x.t.Set(LineKey(a, b, asset), encode(l))
	x.t.Set(highKey(a, b, asset), nil)
}

// tidy removes a line that is idle. In the course of a payment it would be too early: what
// was paid back over a line passes on only if the account lets payments of that line
// through.
func (x *exec) tidy(a, b, asset string) {
	if l, ok := x.line(a, b, asset); !ok || !l.idle() {
		return
	}
	if a > b {
		a, b = b, a
	}
	x.t.Delete(LineKey(a, b, asset))
	x.t.Delete(highKey(a, b, asset))
}

func (a *Trust) run(x *exec) error {
	if _, err := x.asset(a.Asset); err != nil {
		return err
	}
	if err := x.known(a.Peer); err != nil {
		return err
	}
	acc, err := x.account(a.Account)
	if err != nil {
		return err
	}
	if a.Account == a.Peer {
		return invalid("a trust line of " + a.Account + " with itself")
	}
	l, open := x.line(a.Account, a.Peer, a.Asset)
	limit, ripple := &l.LimitLow, &l.RippleLow
	if a.Account > a.Peer {
		limit, ripple = &l.LimitHigh, &l.RippleHigh
	}
	was := *limit
	*limit, *ripple = a.Limit, a.Ripple
	switch {
	case l.idle() && a.Ripple:
		return invalid("rippling over a line without a limit")
	case l.idle() && !open:
		return nil
	case was == 0 && a.Limit > 0:
		if acc.Lines >= x.l.cfg.Limits.MaxLines {
			return tooMany("trust lines of "+a.Account, uint64(acc.Lines), uint64(x.l.cfg.Limits.MaxLines))
		}
		acc.Lines++
		x.setAccount(a.Account, &acc)
	case was > 0 && a.Limit == 0:
		acc.Lines--
		x.setAccount(a.Account, &acc)
	}
	x.setLine(a.Account, a.Peer, a.Asset, &l)
	x.tidy(a.Account, a.Peer, a.Asset)
	return nil
}

func (a *Pay) run(x *exec) error {
	for _, asset := range []string{a.Source, a.Asset} {
		if _, err := x.asset(asset); err != nil {
			return err
		}
	}
	if err := x.known(a.To); err != nil {
		return err
	}
	switch {
	case a.Amount == 0:
		return invalid("an amount of 0")
	case a.From == a.To && a.Source == a.Asset:
		return invalid("a payment of " + a.From + " to itself")
	case a.Find && len(a.Path) > 0:
		return invalid("a path that is given and one that is to be found")
	case x.spent && (a.Find || a.converts()):
		return x.l.overspent(x.client)
	}
	s := search{
		r: x.t, now: x.now, limits: &x.l.cfg.Limits, nodes: &x.nodes, edges: &x.edges,
		from: Hop{a.From, a.Source}, to: Hop{a.To, a.Asset}, most: a.MaxCost,
	}
	var p *plan
	if a.Find {
		if p = s.find(a.Amount); p == nil {
			return reject(CodeNoPath, a.From+" to "+a.To)
		}
	} else {
		var err error
		if p, err = s.follow(a.Path, a.Amount); err != nil {
			return err
		}
	}
	if cost := p.steps[0].amount; cost > a.MaxCost {
		return short(CodeCost, a.From, a.Source, a.MaxCost, cost)
	}
	x.cost = p.steps[0].amount
	return x.carryOut(p)
}

// converts tells whether an account on the path that is given changes one asset into
// another: the cheapest of its offers is looked for.
func (a *Pay) converts() bool {
	for i := 1; i < len(a.Path); i++ {
		if a.Path[i].Account == a.Path[i-1].Account {
			return true
		}
	}
	return false
}

// carryOut does what a plan says, step by step, and checks each again.
func (x *exec) carryOut(p *plan) error {
	for i := range len(p.steps) - 1 {
		from, to := &p.steps[i], &p.steps[i+1]
		if from.offer != "" {
			if err := x.fill(from.Account, from.offer, to.amount); err != nil {
				return err
			}
			continue
		}
		if i > 0 && p.steps[i-1].offer == "" {
			before, _ := x.line(p.steps[i-1].Account, from.Account, from.Asset)
			after, _ := x.line(from.Account, to.Account, from.Asset)
			if !before.ripples(from.Account < p.steps[i-1].Account) || !after.ripples(from.Account < to.Account) {
				return reject(CodeCredit, from.Account+" lets no payments through between "+p.steps[i-1].Account+" and "+to.Account)
			}
		}
		if err := x.owe(from.Account, to.Account, from.Asset, to.amount); err != nil {
			return err
		}
	}
	for i := range len(p.steps) - 1 {
		if from, to := &p.steps[i], &p.steps[i+1]; from.offer == "" {
			x.tidy(from.Account, to.Account, from.Asset)
		}
	}
	return nil
}

// owe makes one account owe another more, or be owed less by it.
func (x *exec) owe(from, to, asset string, amount uint64) error {
	l, ok := x.line(from, to, asset)
	toLow := to < from
	if room := l.room(toLow); !ok || room < amount {
		return short(CodeCredit, from+" to "+to, asset, room, amount)
	}
	n := int64(amount)
	if toLow {
		l.Balance += n // at most the limit
	} else {
		l.Balance -= n
	}
	x.setLine(from, to, asset, &l)
	f, g := x.holding(from, asset), x.holding(to, asset)
	less, ok1 := addSigned(f.Credit, -n)
	more, ok2 := addSigned(g.Credit, n)
	if !ok1 || !ok2 {
		return short(CodeOverflow, from+" to "+to, asset, 0, amount)
	}
	f.Credit, g.Credit = less, more
	x.post(from, asset, &f, Entry{Kind: EntryCredit, With: to, Credit: -n})
	x.post(to, asset, &g, Entry{Kind: EntryCredit, With: from, Credit: n})
	return nil
}

func (a *MakeOffer) run(x *exec) error {
	o := a.Offer
	for _, asset := range []string{o.Sell, o.Buy} {
		if _, err := x.asset(asset); err != nil {
			return err
		}
	}
	switch {
	case o.Amount == 0 || o.Price[0] == 0 || o.Price[1] == 0:
		return invalid("an amount or a price of 0")
	case o.Sell == o.Buy:
		return invalid("an offer of " + o.Sell + " for itself")
	}
	if o.Expires != 0 {
		if err := x.lasts("the offer", o.Expires); err != nil {
			return err
		}
	}
	x.removeOffer(a.Account, a.Reference)
	acc, err := x.account(a.Account)
	if err != nil {
		return err
	}
	if acc.Offers >= x.l.cfg.Limits.MaxOffers {
		return tooMany("offers of "+a.Account, uint64(acc.Offers), uint64(x.l.cfg.Limits.MaxOffers))
	}
	acc.Offers++
	x.setAccount(a.Account, &acc)
	k := OfferKey(a.Account, a.Reference)
	x.t.Set(k, encode(&o))
	if o.Expires != 0 {
		x.t.Set(dueKey(o.Expires, k), nil)
	}
	return nil
}

// removeOffer removes an offer, if it is there.
func (x *exec) removeOffer(account, reference string) {
	o, err := x.offer(account, reference)
	if err != nil {
		return
	}
	k := OfferKey(account, reference)
	x.t.Delete(k)
	if o.Expires != 0 {
		x.t.Delete(dueKey(o.Expires, k))
	}
	var acc Account
	x.load(AccountKey(account), &acc)
	acc.Offers--
	x.setAccount(account, &acc)
}

func (a *CancelOffer) run(x *exec) error {
	if _, err := x.offer(a.Account, a.Reference); err != nil {
		return err
	}
	x.removeOffer(a.Account, a.Reference)
	return nil
}

// fill takes so much of what an offer sells.
func (x *exec) fill(account, reference string, amount uint64) error {
	o, err := x.offer(account, reference)
	switch {
	case err != nil:
		return err
	case o.Expires != 0 && x.now >= o.Expires:
		return reject(CodeExpired, "offer "+reference+" of "+account)
	case o.Amount < amount:
		return short(CodeInsufficient, "offer "+reference+" of "+account, o.Sell, o.Amount, amount)
	case o.Amount == amount:
		x.removeOffer(account, reference)
		return nil
	}
	o.Amount -= amount
	x.t.Set(OfferKey(account, reference), encode(&o))
	return nil
}

func (a *TakeOffer) run(x *exec) error {
	o, err := x.offer(a.Account, a.Reference)
	if err != nil {
		return err
	}
	cost, ok := o.Cost(a.Amount)
	switch {
	case a.Amount == 0:
		return invalid("an amount of 0")
	case o.Credit:
		return invalid("offer " + a.Reference + " of " + a.Account + " is for payments on trust lines")
	case !ok:
		return short(CodeOverflow, a.Taker, o.Buy, 0, a.Amount)
	case cost > a.MaxCost:
		return short(CodeCost, a.Taker, o.Buy, a.MaxCost, cost)
	}
	if err := x.fill(a.Account, a.Reference, a.Amount); err != nil {
		return err
	}
	if err := x.move(EntryExchange, o.Buy, a.Taker, a.Account, cost, a.Reference); err != nil {
		return err
	}
	x.cost = cost
	return x.move(EntryExchange, o.Sell, a.Account, a.Taker, a.Amount, a.Reference)
}
