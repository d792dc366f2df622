package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// web is a network of trust lines, made without transactions, under the default limits.
type web struct {
	t     testing.TB
	x     *exec
	edges int // that the last search looked at
	nodes int // that it went on from
}

func newWeb(t testing.TB) *web {
	m := open(t, DefaultConfig(thisCluster))
	block := m.Store().Block()
	t.Cleanup(block.Discard)
	l := DefaultLimits()
	w := &web{t: t, x: &exec{l: &Handler{cfg: Config{Limits: l}}, t: block, now: second}}
	w.open("issuer")
	for _, asset := range []string{"EUR", "USD"} {
		w.do(&DefineAsset{Asset: asset, Issuer: "issuer"})
	}
	return w
}

func (w *web) do(a Action) {
	w.t.Helper()
	require.NoError(w.t, a.run(w.x))
}

func (w *web) open(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if !w.x.exists(AccountKey(name)) {
			w.do(&OpenAccount{Account: name, Keys: []crypto.PublicKey{mallory.public()}, Threshold: 1})
		}
	}
}

// trusts lets one account trust another, and let payments through.
func (w *web) trusts(account, peer string, limit uint64) {
	w.t.Helper()
	w.open(account, peer)
	w.do(trust(account, peer, limit, true))
}

// way makes a way for payments: each trusts the one before, and all let payments through.
func (w *web) way(limit uint64, names ...string) {
	w.t.Helper()
	for i := 1; i < len(names); i++ {
		w.trusts(names[i], names[i-1], limit)
		low := names[i-1] < names[i]
		l, _ := w.x.line(names[i-1], names[i], "EUR")
		limit := l.LimitLow
		if !low {
			limit = l.LimitHigh
		}
		w.do(trust(names[i-1], names[i], limit, true))
	}
}

func (w *web) find(p *Pay) (hops []string, cost uint64) {
	w.t.Helper()
	l := w.x.l.cfg.Limits
	nodes, edges := l.MaxPathNodes, l.MaxPathEdges
	s := search{
		r: w.x.t, now: w.x.now, limits: &l, nodes: &nodes, edges: &edges,
		from: Hop{p.From, p.Source}, to: Hop{p.To, p.Asset}, most: p.MaxCost,
	}
	found := s.find(p.Amount)
	require.GreaterOrEqual(w.t, min(nodes, edges), 0, "the limits hold")
	w.nodes, w.edges = l.MaxPathNodes-nodes, l.MaxPathEdges-edges
	if found == nil {
		return nil, 0
	}
	// What was found can be carried out.
	in := w.x.t.Begin()
	defer in.Discard()
	try := *w.x
	try.t = in
	require.NoError(w.t, try.carryOut(found))
	for _, st := range found.steps {
		hops = append(hops, st.Account)
	}
	return hops, found.steps[0].amount
}

// all calls yield with every way of a payment there is within so many hops, each account
// once in each asset, that can be carried out.
func (w *web) all(p *Pay, accounts []string, hops int, yield func(hops int, cost uint64)) {
	steps := []step{{Hop: Hop{p.To, p.Asset}, amount: p.Amount}} // from the end
	var on func()
	visit := func(s step) {
		for _, o := range steps {
			if o.Hop == s.Hop {
				return
			}
		}
		steps = append(steps, s)
		on()
		steps = steps[:len(steps)-1]
	}
	on = func() {
		at := steps[len(steps)-1]
		if at.Hop == (Hop{p.From, p.Source}) {
			way := new(plan)
			for i := len(steps) - 1; i >= 0; i-- {
				way.steps = append(way.steps, steps[i])
			}
			in := w.x.t.Begin()
			try := *w.x
			try.t = in
			if try.carryOut(way) == nil {
				yield(len(steps)-1, at.amount)
			}
			in.Discard()
			return
		}
		if len(steps) > hops {
			return
		}
		for _, peer := range accounts {
			if l, ok := w.x.line(at.Account, peer, at.Asset); ok && peer != at.Account && l.room(at.Account < peer) >= at.amount {
				visit(step{Hop: Hop{peer, at.Asset}, amount: at.amount})
			}
		}
		if len(steps) == 1 || at.offer != "" || at.Account == p.From || at.Account == p.To {
			return
		}
		for _, ref := range []string{"a", "b"} {
			if o, err := w.x.offer(at.Account, ref); err == nil && o.Sell == at.Asset && o.Amount >= at.amount {
				if cost, ok := o.Cost(at.amount); ok {
					visit(step{Hop: Hop{at.Account, o.Buy}, amount: cost, offer: ref})
				}
			}
		}
	}
	on()
}

func name(format string, args ...any) string { return fmt.Sprintf(format, args...) }
