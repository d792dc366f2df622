package store

import "sync"

// users counts the reads that need the database.
type users struct {
	mu     sync.Mutex
	n      int
	closed bool
	last   chan struct{} // closed when the last one is gone; nil unless somebody waits
}

func (u *users) isShut() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// enter returns false if the database is closed, or is being replaced.
func (u *users) enter() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.n++
	return true
}

func (u *users) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n--; u.n == 0 && u.last != nil {
		close(u.last)
		u.last = nil
	}
}

// shut lets nobody in any more and waits for those who are in. It returns false if it
// was called before.
func (u *users) shut() bool {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return false
	}
	u.closed = true
	wait := make(chan struct{})
	if u.n == 0 {
		close(wait)
	} else {
		u.last = wait
	}
	u.mu.Unlock()
	<-wait
	return true
}

func (u *users) open() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = false
}
