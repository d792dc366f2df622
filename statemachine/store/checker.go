package store

import "fmt"

// Checker is implemented by handlers that can tell whether a state is theirs. [NewMachine]
// asks them about what the store holds, and [Machine.Restore] about what it has restored: that of an earlier version of the program, or
// under another configuration, they refuse. NewMachine changes nothing then.
type Checker interface {
	// CheckState returns what is wrong with a state.
	CheckState(r Reader) error
}

// check asks the handler about what the last process left.
func (m *Machine) check() error {
	c, ok := m.handler.(Checker)
	if !ok || m.store.incomplete {
		return nil // an incomplete one is to be restored
	}
	v, err := m.store.Last()
	if err != nil {
		return err
	}
	var wrong error
	if err := Catch(func() { wrong = c.CheckState(v) }); err != nil {
		return err
	}
	if wrong != nil {
		return fmt.Errorf("the state that is there, or was restored: %w", wrong)
	}
	return nil
}
