package replica

import (
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/pbft"
)

// A client believes what replicas of more than F weight say alike, so it may tell the
// others to speak when they are asked (see Replies in parley.proto). What is asked of a
// session is remembered until it is answered.

// spareFrom is how many replies a block must have for those that nobody asked for to be
// left out. Of fewer all are sent: who waits alone has the first ones of all replicas.
// Where clients have connections of their own, each reply is a message of its own.
const spareFrom = 4

// want sets which replies the session is to get.
func (s *replySession) want(what api.Replies) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case what == api.Replies_REPLIES_ALL:
		s.asked = nil
	case what == api.Replies_REPLIES_ASKED && s.asked == nil:
		s.asked = make(map[pbft.Digest]bool)
	}
}

// asks implements ingressSource. A session that asks for more than may wait for it
// gets everything again.
func (s *replySession) asks(request pbft.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.asked == nil:
	case len(s.asked) >= s.entries:
		s.asked = nil
	default:
		s.asked[request] = true
	}
}

// wanted tells whether an entry is to be sent, and notes that it was. The session's
// mutex is held.
func (s *replySession) wanted(e *replyEntry) bool {
	if s.asked == nil || e.attached {
		return true
	}
	request := e.reply.Request
	if e.reason != api.Reason_REASON_UNSPECIFIED {
		request = e.refused
	}
	asked := s.asked[request]
	delete(s.asked, request)
	return asked || !e.spare
}

// anyWants tells whether a session of the list will be sent the entry.
func anyWants(list []replyRoute, e *replyEntry) bool {
	for _, r := range list {
		r.session.mu.Lock()
		wants := r.session.asked == nil || !e.spare || r.session.asked[e.reply.Request]
		r.session.mu.Unlock()
		if wants {
			return true
		}
	}
	return false
}
