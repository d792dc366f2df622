package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range from which systems take the local ends of
// connections: one from that range could be gone when a replica starts again.
const (
	lowestPort  = 20000
	highestPort = 32000
)

// freePorts finds a base port such that the whole plan for n replicas is free.
func freePorts(host string, n int) (int, error) {
	for range 200 {
		base := lowestPort + rand.IntN(highestPort-lowestPort)
		plan := newPortPlan(base, n)
		if plan.last(n) <= highestPort && plan.free(host, n) {
			return base, nil
		}
	}
	return 0, errors.New("no free ports found: give --base-port")
}

func (p portPlan) free(host string, n int) bool {
	for i := range n {
		for _, port := range []int{p.peer(i), p.client(i), p.admin(i), p.rpc(i)} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				return false
			}
			_ = l.Close()
		}
	}
	return true
}
