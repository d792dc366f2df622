package real

import "fmt"

// newCabled makes the namespaces. It wants a network namespace and a mount
// namespace that are this process's own.
func newCabled(n int) (*cabled, error) {
	h := &cabled{n}
	ip := func(args ...string) error { return command("ip", args...) }
	steps := [][]string{
		{"link", "add", "hub", "type", "bridge"},
		{"link", "set", "hub", "up"},
		{"addr", "add", "10.231.0.1/16", "dev", "hub"},
	}
	for i := range n {
		ns, cable, end := h.namespace(i), fmt.Sprintf("cable%d", i), fmt.Sprintf("end%d", i)
		steps = append(steps,
			[]string{"netns", "add", ns},
			[]string{"link", "add", cable, "type", "veth", "peer", "name", end},
			[]string{"link", "set", cable, "master", "hub", "up"},
			[]string{"link", "set", end, "netns", ns},
			[]string{"-n", ns, "link", "set", "lo", "up"},
			[]string{"-n", ns, "addr", "add", h.ip(i) + "/16", "dev", end},
			[]string{"-n", ns, "link", "set", end, "up"},
		)
		for j := range n {
			if i != j {
				steps = append(steps, []string{"addr", "add", h.proxyIP(i, j) + "/16", "dev", "hub"})
			}
		}
	}
	for _, s := range steps {
		if err := ip(s...); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *cabled) unplug(i int, out bool) error {
	state := "up"
	if out {
		state = "down"
	}
	return command("ip", "link", "set", fmt.Sprintf("cable%d", i), state)
}

func (h *cabled) cut(i, j int, cut bool) error {
	do := "del"
	if cut {
		do = "add"
	}
	return command("ip", "-n", h.namespace(i), "route", do, "blackhole", h.proxyIP(i, j)+"/32")
}
