package replica

import "iter"

// errand is a piece of a Sim's work that waits for peers in its midst: a coroutine, which
// runs only within begin, resume and end, and so never beside anything else.
type errand struct {
	next func() (struct{}, bool)
	stop func()
	// yield is the coroutine's own side. It comes back when the errand goes on; false if
	// it is to end.
	yield func(struct{}) bool
	err   error
}

// waits tells whether there is one.
func (e *errand) waits() bool { return e.next != nil }

// begin runs f until it waits, or to its end, whose error it returns.
func (e *errand) begin(f func() error) error {
	e.next, e.stop = iter.Pull(func(yield func(struct{}) bool) {
		e.yield = yield
		e.err = f()
	})
	return e.resume()
}

// resume goes on until f waits again, or to its end.
func (e *errand) resume() error {
	if _, waits := e.next(); waits {
		return nil
	}
	err := e.err
	*e = errand{}
	return err
}

// wait is called by f. False says that it is to come to its end at once.
func (e *errand) wait() bool { return e.yield(struct{}{}) }

// end ends f, if it waits: wait returns false.
func (e *errand) end() {
	if e.waits() {
		e.stop()
		*e = errand{}
	}
}
