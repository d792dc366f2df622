package chaos

import "time"

// Condition is a kind of network, as it holds during the storm.
type Condition struct {
	// Name is C1 to C16, as in the fault catalogue.
	Name, Doc string
	set       func(o *Options)
}

// Apply makes the options those of the condition.
func (c Condition) Apply(o *Options) { c.set(o) }

// Conditions lists them, in order.
func Conditions() []Condition {
	const ms = time.Millisecond
	return []Condition{
		{"C1", "clean LAN", func(o *Options) { lan(o) }},
		{"C2", "WAN", func(o *Options) {
			o.Network = Network{Delay: 40 * ms, Jitter: 8 * ms, Uneven: 3, Tail: 0.001}
			o.Timeouts.Progress, o.Timeouts.Idle, o.Timeouts.RequestAge = 120, 120, 400
		}},
		{"C3", "1 % loss", func(o *Options) { lan(o); o.Network.Loss = 0.01 }},
		{"C4", "30 % loss", func(o *Options) { lan(o); o.Network.Loss = 0.3 }},
		{"C5", "duplication and replay", func(o *Options) { lan(o); o.Network.Duplicate, o.Network.Replay = 0.2, 0.1 }},
		{"C6", "adversarial reordering", func(o *Options) { lan(o); o.Network.Schedule = "reverse" }},
		{"C7", "symmetric partitions", func(o *Options) { lan(o); o.Faults.Partition = time.Second }},
		{"C8", "one-way cuts", func(o *Options) { lan(o); o.Faults.OneWay = 500 * ms }},
		{"C9", "partial partitions", func(o *Options) { lan(o); o.Faults.Partial = 700 * ms }},
		{"C10", "flapping links", func(o *Options) { lan(o); o.Faults.Flap = time.Second }},
		{"C11", "links that clog and unclog one after another", func(o *Options) { lan(o); o.Faults.Clog = time.Second }},
		{"C12", "the primary is always isolated", func(o *Options) { lan(o); o.Network.HuntPrimary = true }},
		{"C13", "a good network only when a traitor leads", func(o *Options) { lan(o); o.Network.TraitorsLead = true }},
		{"C14", "collapse of bandwidth", func(o *Options) { lan(o); o.Network.Bandwidth = collapsed }},
		{"C15", "one correct replica ten times slower", func(o *Options) { lan(o); o.Laggard = 10 }},
		{"C16", "scheduler against commits and view changes", func(o *Options) {
			lan(o)
			o.Network.Schedule = []string{"late commits", "late views", "favourite", "whims"}[o.Seed%4]
		}},
	}
}

// lan is a network in which nothing goes wrong.
func lan(o *Options) {
	o.Network = Network{Delay: 200 * time.Microsecond, Jitter: 100 * time.Microsecond}
	f := &o.Faults
	f.Partition, f.OneWay, f.Partial, f.Flap, f.Clog, f.Isolate, f.Narrow = 0, 0, 0, 0, 0, 0, 0
}
