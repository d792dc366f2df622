package pbft

import (
	"fmt"
	"strings"
)

// Describe prints the state for people, a few lines.
func (c *Core) Describe() string {
	var b strings.Builder
	stage := "left for it"
	if c.durable.Entered {
		stage = "entered"
	}
	if c.open {
		stage = "open"
	}
	fmt.Fprintf(&b, "replica %d: view:%d (%s, primary %d) tip:%v high:%v committed:%v executed:%d stable:%d oldest:%d\n",
		c.cfg.Self, c.durable.View, stage, c.Primary(), c.Tip(), c.High(), c.CommittedRef(), c.executed, c.Stable(), c.Oldest())
	fmt.Fprintf(&b, "  voted:%d/%v base:%v done:%t held:%d seen:%d pool:%d+%d failed:%d timeout:%d", c.durable.VotedView, c.durable.Voted, c.base, c.baseDone,
		len(c.order), len(c.seen), c.pool.waiting, c.pool.proposed.n, c.timers.failed, c.timeout())
	for why := range SuspicionCauses {
		if c.suspicion.has(why) {
			fmt.Fprintf(&b, " suspects:%v", why)
		}
	}
	if c.target != nil && c.target.Height > c.Committed() {
		fmt.Fprintf(&b, " missing up to %d", c.target.Height)
	}
	if c.follower {
		fmt.Fprintf(&b, " follower (shown:%d settled:%t max:%d)", c.rejoin.shown, c.rejoin.settled, c.rejoin.max)
	}
	if d := c.diverged; d != nil {
		fmt.Fprintf(&b, " diverged at %d (agreed at %d, still:%t anew:%t)", d.Height(), d.Agreed, d.still, d.anew)
	}
	if c.barred && c.barredView == c.durable.View {
		b.WriteString(" barred")
	}
	b.WriteByte('\n')
	return b.String()
}
