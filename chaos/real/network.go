package real

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"

	"github.com/parley-bft/parley/chaos/real/proxy"
)

// network is the proxies between everybody: one for each directed link between
// replicas, and one from the clients to each replica.
//
// A replica speaks on the connections it dialed itself, and only signs of life come
// back on them, but a network does not know that: what goes from i to j is what i
// says on its own connection and what it answers on j's.
type network struct {
	hosts   hosts
	links   [][]*proxy.Link // by who dials and who is dialed; nil on the diagonal
	clients []*proxy.Link

	mu    sync.Mutex
	lanes map[[2]int]proxy.Lane // faults, by who says it to whom; clients are -1
}

// everyClient stands for the clients in a pair of who speaks to whom.
const everyClient = -1

// hosts says where replicas listen and where the proxies do.
type hosts interface {
	// peer, client and admin are what replica i listens on.
	peer(i int) string
	client(i int) string
	admin(i int) string
	// proxy is what the proxy listens on that i dials to reach j.
	proxy(i, j int) string
	// enter wraps a command so that it runs where replica i lives.
	enter(i int, program string, args []string) (string, []string)
	// unplug takes the cable of replica i, cut drops all packets from i to the proxy
	// of its link to j. errNotHere where there are no cables.
	unplug(i int, out bool) error
	cut(i, j int, cut bool) error
	cables() bool
}

func newNetwork(h hosts, n int) (w *network, err error) {
	w = &network{hosts: h, lanes: map[[2]int]proxy.Lane{}}
	defer func() {
		if err != nil {
			_ = w.close()
		}
	}()
	for i := range n {
		row := make([]*proxy.Link, n)
		w.links = append(w.links, row)
		for j := range n {
			if i != j {
				if row[j], err = proxy.Listen(h.proxy(i, j), h.peer(j)); err != nil {
					return nil, err
				}
			}
		}
	}
	for j := range n {
		l, err := proxy.Listen("127.0.0.1:0", h.client(j))
		if err != nil {
			return nil, err
		}
		w.clients = append(w.clients, l)
	}
	return w, nil
}

func (w *network) n() int { return len(w.links) }

// set makes from -> to be like this.
func (w *network) set(from, to int, lane proxy.Lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from == to {
		return
	}
	w.lanes[[2]int{from, to}] = lane
	switch {
	case from == everyClient:
		w.apply(w.clients[to], from, to)
	case to == everyClient:
		w.apply(w.clients[from], to, from)
	default:
		w.apply(w.links[from][to], from, to)
		w.apply(w.links[to][from], to, from)
	}
}

// apply sets the conditions of the link that i dials to j.
func (w *network) apply(l *proxy.Link, i, j int) {
	l.Update(func(c proxy.Conditions) proxy.Conditions {
		c.Forward, c.Backward = w.lanes[[2]int{i, j}], w.lanes[[2]int{j, i}]
		return c
	})
}

// heal takes back everything that set, and refuse did.
func (w *network) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.lanes)
	for _, l := range w.all() {
		l.Set(proxy.Conditions{})
	}
}

func (w *network) all() (links []*proxy.Link) {
	for _, row := range w.links {
		for _, l := range row {
			if l != nil {
				links = append(links, l)
			}
		}
	}
	return append(links, w.clients...)
}

func (w *network) close() error {
	var errs []error
	for _, l := range w.all() {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// loopback is hosts that share this machine's loopback interface.
type loopback struct{ base, n int }

// Ports are taken from below the range from which systems take the local ends of
// connections: one from that range could be gone when a replica starts again.
const (
	lowestPort  = 12000
	highestPort = 20000
)

func newLoopback(n int) (*loopback, error) {
	for range 200 {
		h := &loopback{lowestPort + rand.IntN(highestPort-lowestPort-3*n), n}
		if h.free() {
			return h, nil
		}
	}
	return nil, errors.New("no free ports found on loopback")
}

func (h *loopback) free() bool {
	for p := range 3 * h.n {
		l, err := net.Listen("tcp", h.at(p))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func (h *loopback) at(k int) string       { return net.JoinHostPort("127.0.0.1", strconv.Itoa(h.base+k)) }
func (h *loopback) peer(i int) string     { return h.at(i) }
func (h *loopback) client(i int) string   { return h.at(h.n + i) }
func (h *loopback) admin(i int) string    { return h.at(2*h.n + i) }
func (h *loopback) proxy(_, _ int) string { return "127.0.0.1:0" }
func (h *loopback) enter(_ int, program string, args []string) (string, []string) {
	return program, args
}
func (h *loopback) unplug(int, bool) error   { return errNotHere }
func (h *loopback) cut(int, int, bool) error { return errNotHere }
func (h *loopback) cables() bool             { return false }

// cabled is hosts in network namespaces of their own, each with one cable (a veth
// pair) to a bridge, where the proxies are.
type cabled struct{ n int }

func (h *cabled) namespace(i int) string { return fmt.Sprintf("replica-%d", i) }
func (h *cabled) ip(i int) string        { return fmt.Sprintf("10.231.1.%d", i+1) }
func (h *cabled) peer(i int) string      { return h.ip(i) + ":7700" }
func (h *cabled) client(i int) string    { return h.ip(i) + ":7800" }
func (h *cabled) admin(i int) string     { return h.ip(i) + ":7900" }
func (h *cabled) proxyIP(i, j int) string {
	return fmt.Sprintf("10.231.%d.%d", 10+i, j+1)
}
func (h *cabled) proxy(i, j int) string { return h.proxyIP(i, j) + ":7700" }
func (h *cabled) cables() bool          { return true }

func (h *cabled) enter(i int, program string, args []string) (string, []string) {
	return "nsenter", append([]string{"--net=/run/netns/" + h.namespace(i), "--", program}, args...)
}
