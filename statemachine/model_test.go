package statemachine

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// naive is the rules in their plainest form: it remembers everything for ever
// beside what the table is supposed to remember.
type naive struct {
	limits    Limits
	sessions  map[int]*naiveSession
	forgotten Time
	ran       map[string]int // by request digest, over the whole history
}

type naiveSession struct {
	floor       uint64
	used        map[uint64]bool
	answers     map[uint64]string // seq to request digest
	maxDeadline Time
}

func (n *naive) judge(c int, r *Request, now Time) Status {
	d := r.Digest.Hex()
	s := n.sessions[c]
	floor := uint64(0)
	if s != nil {
		if have, ok := s.answers[r.Seq]; ok {
			if have == d {
				return Duplicate
			}
			return Conflict
		}
		if r.Seq <= s.floor || s.used[r.Seq] {
			return Forgotten
		}
		floor = s.floor
	}
	if now > r.Deadline {
		if r.Deadline <= n.forgotten {
			return Forgotten
		}
		return Expired
	}
	if r.Deadline > now+Time(n.limits.MaxLife) {
		return Early
	}
	low := min(r.Low, r.Seq)
	if low > 0 && low-1 > floor {
		floor = low - 1
	}
	if r.Seq > floor+uint64(n.limits.MaxInFlight) {
		return Window
	}
	if s == nil {
		if len(n.sessions) == n.limits.MaxSessions {
			victim := -1
			for k, v := range n.sessions {
				if victim < 0 || v.maxDeadline < n.sessions[victim].maxDeadline || v.maxDeadline == n.sessions[victim].maxDeadline && k < victim {
					victim = k
				}
			}
			if now <= n.sessions[victim].maxDeadline {
				return Busy
			}
			n.forgotten = max(n.forgotten, n.sessions[victim].maxDeadline)
			delete(n.sessions, victim)
		}
		s = &naiveSession{used: map[uint64]bool{}, answers: map[uint64]string{}}
		n.sessions[c] = s
	}
	s.floor = floor
	s.used[r.Seq] = true
	for s.used[s.floor+1] {
		s.floor++
	}
	s.maxDeadline = max(s.maxDeadline, r.Deadline)
	s.answers[r.Seq] = d
	for seq := range s.answers {
		if seq < low || seq+uint64(n.limits.MaxInFlight) <= s.floor {
			delete(s.answers, seq)
		}
	}
	n.ran[d]++
	return Executed
}

// Random requests, replays, evictions and orders against the naive model, with a
// snapshot and restore in between: the statuses agree, nothing runs twice, and
// what is called Expired has never run and never does.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := testLimits()
		l.MaxSessions = rapid.IntRange(1, 4).Draw(t, "sessions")
		l.MaxInFlight = rapid.SampledFrom([]int{64, 128}).Draw(t, "in flight")
		c := newChain(t, l)
		model := &naive{limits: l, sessions: map[int]*naiveSession{}, ran: map[string]int{}}
		type sent struct {
			client int
			r      Request
		}
		var all []sent
		expired := map[string]bool{}
		now := 1
		next := map[int]uint64{}
		blocks := rapid.IntRange(1, 40).Draw(t, "blocks")
		for range blocks {
			now += rapid.SampledFrom([]int{0, 0, 1, 5, 40}).Draw(t, "step")
			var block []sent
			for range rapid.IntRange(0, 12).Draw(t, "requests") {
				if len(all) > 0 && rapid.IntRange(0, 2).Draw(t, "replay") == 0 {
					block = append(block, rapid.SampledFrom(all).Draw(t, "which"))
					continue
				}
				k := rapid.IntRange(1, 6).Draw(t, "client")
				seq := next[k] + 1
				switch rapid.IntRange(0, 9).Draw(t, "order") {
				case 0:
					seq += rapid.Uint64Range(1, 200).Draw(t, "ahead")
				case 1:
					seq -= min(seq-1, rapid.Uint64Range(1, 70).Draw(t, "behind"))
				}
				next[k] = max(next[k], seq)
				low := rapid.SampledFrom([]uint64{0, 1, seq, seq + 1, seq - min(seq, 3), seq - min(seq, 60)}).Draw(t, "low")
				deadline := now + rapid.SampledFrom([]int{-1, 0, 1, 10, 10, 60, 100, 101}).Draw(t, "deadline")
				s := sent{k, request(k, seq, low, deadline, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "op"))}
				block, all = append(block, s), append(all, s)
			}
			requests := make([]Request, len(block))
			for i := range block {
				requests[i] = block[i].r
			}
			before := len(c.app.ran)
			replies := c.run(now, requests...)
			executed := 0
			for i, reply := range replies {
				want := model.judge(block[i].client, &block[i].r, Time(now)*second)
				require.Equal(t, want.String(), reply.Status.String(), "request %d of client %d: %+v", i, block[i].client, block[i].r)
				d := block[i].r.Digest.Hex()
				require.LessOrEqual(t, model.ran[d], 1, "ran twice")
				require.Equal(t, reply.Status.Ran(), reply.Results != nil)
				switch reply.Status {
				case Executed:
					executed++
					require.False(t, expired[d], "ran although it was said to have expired")
				case Expired:
					require.Zero(t, model.ran[d], "called expired although it ran")
					expired[d] = true
				}
				// Asking beside the log agrees with the table.
				got, known := c.Lookup(block[i].r.Client, block[i].r.Seq, block[i].r.Digest)
				s := model.sessions[block[i].client]
				if i == len(replies)-1 {
					require.Equal(t, s != nil && s.answers[block[i].r.Seq] == d, known)
				}
				if known {
					require.Equal(t, d, got.Request.Hex())
				}
			}
			require.Equal(t, before+executed, len(c.app.ran))
			require.Equal(t, len(model.sessions), c.Sessions())
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				b := snapshotBytes(t, mustSnapshot(t, c.Executor))
				fresh := newChain(t, l)
				require.NoError(t, fresh.Restore(bytes.NewReader(b)))
				fresh.height = c.height
				c = fresh
			}
		}
	})
}
