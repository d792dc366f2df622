package endpoint

import "fmt"

// notServing says why the state is not to be read now; nil if it is.
func (c *Config) notServing() error {
	if c.Serving == nil {
		return nil
	}
	if err := c.Serving(); err != nil {
		return fmt.Errorf("%w: ask another replica", err)
	}
	return nil
}

// steady says why the state is not to be read now. If it is, the channel is closed once
// it is another one than now (see Config.Interrupted for the order of the two).
func (c *Config) steady() (interrupted <-chan struct{}, err error) {
	if c.Interrupted != nil {
		interrupted = c.Interrupted()
	}
	return interrupted, c.notServing()
}

// over tells whether a channel of steady is closed.
func over(interrupted <-chan struct{}) bool {
	select {
	case <-interrupted:
		return true
	default:
		return false
	}
}
